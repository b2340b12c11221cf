use sharpness_tests::prelude::*;

fn learned(
    config: &MlpConfig,
    scheduler: impl Into<ModuleLrScheduler>,
    step_first: bool,
) -> (Weights, Vec<Measurement>) {
    let probe =
        |config: SharpnessConfig| probe_of(config.with_every(1).with_step_first(step_first));
    let ran = Ran::of(probe, (config.start(), adamw(), scheduler), |_| {});
    (weights(&ran.model), ran.measured)
}

#[test]
fn the_learner_measures_the_same_after_the_step() {
    let warmup = || LinearLrSchedulerConfig::new(1e-12, 2e-2, 7).init().unwrap();
    for config in [
        MlpConfig::for_data(),
        MlpConfig::for_data().with_batch_norm(),
    ] {
        let (weights_before, before) = learned(&config, warmup(), false);
        let (weights_with, with) = learned(&config, warmup(), true);
        assert_eq!(weights_with, weights_before);
        assert_eq!(before.len(), 14);
        assert_eq!(with.len(), 14);
        for (before, with) in before.iter().zip(&with) {
            let name = format!("at {}", before.step);
            assert_eq!(with.outcome, before.outcome, "{name}");
            assert_eq!(with.slope_source, before.slope_source, "{name}");
            assert_close(&name, with.update_norm, before.update_norm, 1e-3);
            assert_close(&name, with.critical_lr, before.critical_lr, 2e-2);
        }
    }
}

fn distance(a: &impl Module, b: &impl Module) -> f64 {
    let pairs = values(a).into_iter().zip(values(b));
    let apart = pairs.map(|(a, b)| f64::from(a) - f64::from(b));
    apart.map(|apart| apart * apart).sum::<f64>().sqrt()
}

#[test]
fn what_the_model_does_to_the_weights_is_part_of_the_update_or_not() {
    let rate = 0.01;
    let mut network = MlpConfig::for_data();
    network.clips = true;
    let network = network.start();
    let far = |step_first: bool| {
        let config = SharpnessConfig::new().with_step_first(step_first);
        let probe = probe_of(config);
        let model = probe.attach(network.clone());
        let grads = TrainStep::step(&model, batch_of(16)).grads;
        let after = TrainStep::optimize(model, &mut sgd(), rate.into(), grads);
        let measured = probe.latest("train").unwrap();
        let moved = distance(&network, &after.into_inner());
        (rate * measured.update_norm.unwrap(), moved)
    };
    let (told, moved) = far(true);
    assert_near(told, moved, 1e-3);
    let (told, moved) = far(false);
    assert!(told < 0.5 * moved, "{told} {moved}");
}
