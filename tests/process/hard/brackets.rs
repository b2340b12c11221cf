use super::alone;
use sharpness_tests::prelude::*;

const SEEDS: u64 = 6;
/// In the end the loss is small, but its rounding is not, because it is a difference of large logits.
const PASSES: usize = 8;
const BATCHES: usize = 12;
const RATE: f64 = 1e-2;

fn true_to_the_loss(dropout: f64, batch_norm: bool) {
    let (mut bracketed, mut below, mut not_descent) = (0, 0, 0);
    for seed in 0..SEEDS {
        device::plain().seed(seed);
        let mut network = MlpConfig::random();
        (network.dropout, network.batch_norm) = (dropout, batch_norm);
        let (mut model, mut optim) = (network.start(), adam());
        // With running statistics of its own, so that nothing of the model is flushed.
        let twin = network.start();
        let probe = every(2);
        let data = Data::new(BATCHES, 16, &device::autodiff());
        for step in 0..PASSES * BATCHES {
            let at = AtStep::new(model, optim, RATE, data.batch(step % BATCHES));
            if let Some(measured) = at.measured(&probe, at.update()) {
                let record = at.model.clone().into_record();
                let valid = twin.clone().load_record(record).valid();
                let base = valid.loss(&at.batch).into_scalar::<f64>();
                assert_eq!(measured.base_loss, Some(base), "{measured:?}");
                assert_ne!(measured.outcome, Failed, "{measured:?}");
                if let Some(critical_lr) = measured.critical_lr {
                    bracketed += 1;
                    below += usize::from(critical_lr < 1e-5);
                }
                if measured.outcome == NotDescent {
                    not_descent += 1;
                    let line = direction(&valid, &at.optim, RATE, &at.grads);
                    let falls = [RATE / 10.0, RATE].map(|eta| {
                        let moved = line.apply(valid.clone(), eta);
                        moved.loss(&at.batch).into_scalar::<f64>() < base
                    });
                    let is_wrong = falls == [true, true];
                    assert!(!is_wrong, "seed {seed}: the loss falls: {measured:?}");
                }
            }
            (model, optim) = at.step();
        }
    }
    println!("{bracketed} bracketed, {below} below 1e-5, {not_descent} not descent");
    assert_eq!(below, 0, "made by rounding");
    assert!(bracketed >= 60);
}

alone! {
    without_dropout => true_to_the_loss(0.0, false);
    with_a_little_dropout => true_to_the_loss(0.1, false);
    with_much_dropout => true_to_the_loss(0.4, false);
    with_batch_norm => true_to_the_loss(0.0, true);
}
