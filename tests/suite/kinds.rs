//! Small networks of many kinds, each measured at every step of a short training and held against a dense
//! scan of the very loss that was measured.
//!
//! `cargo test --workspace --test suite -- --ignored --nocapture ten_thousand` makes ten thousand
//! measurements and counts the wrong ones.

mod count;

use burn::module::Module;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, FloatDType, Tensor};
use burn_sharpness::{
    Linearity, Measurement, SharpnessConfig, SharpnessProbe, Step, TRAIN_TASK, Update,
    UpdateDirection,
};
use count::{Case, Count};
use sharpness_tests::{Batch, Data, Kind, Zoo, copied_gradients};

/// The optimizers, with a learning rate that trains.
fn optimizers() -> [(&'static str, ModuleOptimizer, f64); 4] {
    let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new().with_momentum(0.9)));
    [
        ("SGD", SgdConfig::new().init(), 0.2),
        ("momentum", momentum.init(), 0.05),
        ("Adam", AdamConfig::new().with_epsilon(1e-4).init(), 1e-2),
        ("AdamW", AdamWConfig::new().with_epsilon(1e-4).init(), 3e-3),
    ]
}

fn value(loss: Tensor<1>) -> f64 {
    let losses: Vec<f64> = loss.into_data().iter().collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn mean(loss: Tensor<1>) -> Tensor<1> {
    loss.mean()
}

/// Trains, measures and scans. `see` looks at each measurement.
fn train(case: Case, mut see: impl FnMut(&Zoo, &Batch, &ModuleOptimizer, &Measurement)) -> Count {
    let device = Device::flex().autodiff();
    let (_, mut optim, rate) = optimizers().into_iter().nth(case.optimizer).unwrap();
    let mut model = case.kind.init(case.seed, &device);
    let data = Data::new(64, case.batch_size, &device);
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
    let mut count = Count::default();
    for step in 0..case.steps {
        let batch = data.batch(((case.seed * 11 + step) % 64) as usize);
        let loss = model.loss(&batch);
        let grads = GradientsParams::from_grads(mean(loss.clone()).backward(), &model);
        // To compute them once more would draw another dropout.
        let of_scan = copied_gradients(&model, &grads);
        let (before, optim_before) = (model.clone(), optim.clone());
        let of_batch = |model: &Zoo| model.loss(&batch);
        // Half of the optimizers' steps are measured with the step, the others before it.
        model = if case.optimizer % 2 == 1 {
            let step = Step::new(model, &mut optim, rate, grads);
            let step = if case.is_loss_told {
                step.with_training_loss(loss)
            } else {
                step
            };
            probe.optimize_step(step, of_batch)
        } else {
            let update = Update::new(&model, &optim, rate, &grads);
            let update = if case.is_loss_told {
                update.with_training_loss(loss)
            } else {
                update
            };
            probe.measure_update(update, of_batch);
            optim.step(rate, model, grads)
        };
        let measured = probe.latest(TRAIN_TASK).unwrap();
        let valid = if case.kind == Kind::BatchNorm {
            // A copy of its own, so that the scan flushes nothing of the model.
            let copy = case.kind.init(case.seed, &device);
            copy.load_record(before.clone().into_record()).valid()
        } else {
            before.valid()
        };
        let scale = measured.critical_lr.unwrap_or(rate);
        let line = UpdateDirection::new(
            &valid,
            &optim_before,
            &rate.into(),
            &of_scan,
            scale,
            Linearity::Linear,
        );
        if let Ok(line) = line {
            let base = value(valid.loss(&batch));
            count.check(case, &measured, |eta| {
                value(line.apply(valid.clone(), eta).loss(&batch)) - base
            });
        }
        see(&before, &batch, &optim_before, &measured);
    }
    count
}

fn report(name: &str, count: &Count) {
    println!(
        "{name:28} {:5} measured, {:5} bracketed, {:.2} evaluations, {} later crossings, {} wrong, {:?}",
        count.measured,
        count.bracketed,
        count.evaluations as f64 / count.measured as f64,
        count.later,
        count.wrong.len(),
        count.outcomes,
    );
    for wrong in count.wrong.iter().take(3) {
        println!("    {wrong}");
    }
}

/// Trains every kind with each optimizer, from several seeds.
fn all(seeds: std::ops::Range<u64>, optimizers: std::ops::Range<usize>, steps: u64) -> Count {
    let mut total = Count::default();
    for kind in Kind::ALL {
        let mut count = Count::default();
        for seed in seeds.clone() {
            for optimizer in optimizers.clone() {
                let batch_size = [8, 16, 32][(seed as usize + optimizer) % 3];
                let is_loss_told = seed % 2 == 0;
                let case = Case {
                    kind,
                    optimizer,
                    seed,
                    steps,
                    batch_size,
                    is_loss_told,
                };
                count.add(train(case, |_, _, _, _| {}));
            }
        }
        report(&format!("{kind:?}"), &count);
        total.add(count);
    }
    report("all", &total);
    total
}

/// η_c of the same weights in 64 bits: the first crossing from an eighth of a place on.
fn exact_critical_lr(
    model: &Zoo,
    batch: &Batch,
    optim: &ModuleOptimizer,
    near: f64,
) -> Option<f64> {
    let exact = model.exact();
    let batch = Batch {
        x: batch.x.clone().cast(FloatDType::F64),
        y: batch.y.clone(),
    };
    let grads = GradientsParams::from_grads(mean(exact.loss(&batch)).backward(), &exact);
    let valid = exact.valid();
    let line =
        UpdateDirection::new(&valid, optim, &near.into(), &grads, near, Linearity::Linear).ok()?;
    let base = value(valid.loss(&batch));
    let rise = |eta: f64| value(line.apply(valid.clone(), eta).loss(&batch)) - base;
    let mut low = near / 8.0;
    if rise(low) > 0.0 {
        return None;
    }
    let mut high = low;
    while rise(high) <= 0.0 {
        low = high;
        high *= 1.1;
        if high > 8.0 * near {
            return None;
        }
    }
    for _ in 0..30 {
        let middle = 0.5 * (low + high);
        if rise(middle) > 0.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// Measures in 16 bits, and compares with the same weights in 64.
fn against_64_bits(seeds: std::ops::Range<u64>, steps: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    for kind in Kind::ALL
        .into_iter()
        .filter(|kind| kind.sixteen_bits().is_some())
    {
        let (mut errors, mut stated, mut within, mut none) = (vec![], vec![], 0, 0);
        for seed in seeds.clone() {
            let batch_size = [8, 16, 32][seed as usize % 3];
            let case = Case {
                kind,
                optimizer: 0,
                seed,
                steps,
                batch_size,
                is_loss_told: seed % 2 == 0,
            };
            train(case, |model, batch, optim, measured| {
                let (Some(critical_lr), Some(error)) =
                    (measured.critical_lr, measured.critical_lr_error)
                else {
                    return;
                };
                let Some(exact) = exact_critical_lr(model, batch, optim, critical_lr) else {
                    none += 1;
                    return;
                };
                let off = (critical_lr / exact - 1.0).abs();
                if off <= 3.0 * error {
                    within += 1;
                }
                if off > 0.5 {
                    wrong.push(format!("{case:?}: {exact} in 64 bits, {measured:?}"));
                }
                errors.push(off);
                stated.push(error);
            });
        }
        errors.sort_by(f64::total_cmp);
        stated.sort_by(f64::total_cmp);
        let part = |of: &[f64], part: usize| 100.0 * of[(of.len() - 1) * part / 100];
        println!(
            "{:28} {:4} compared: off by {:.2}% (median), {:.2}% (95 of 100), {:.1}% (most); stated {:.2}% (median); {:.1}% within 3 stated; {none} without a crossing nearby",
            format!("{kind:?}"),
            errors.len(),
            part(&errors, 50),
            part(&errors, 95),
            part(&errors, 100),
            part(&stated, 50),
            100.0 * within as f64 / errors.len() as f64,
        );
    }
    wrong
}

#[test]
fn every_bracket_is_true_on_every_kind_of_network() {
    let count = all(0..1, 1..3, 8);
    // One line with weight norm bends so much that its η_c is off by 11%, and states 2%.
    assert!(count.wrong.len() <= 1, "{:#?}", count.wrong);
    assert!(count.bracketed * 2 > count.measured);
}

#[test]
fn in_16_bits_it_is_what_64_bits_give_to_the_stated_error() {
    let wrong = against_64_bits(0..2, 8);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "takes minutes: run it after a change of the search, by hand"]
fn ten_thousand_measurements() {
    let count = all(1..5, 0..4, 28);
    let far = against_64_bits(1..7, 28);
    assert!(count.measured >= 10_000);
    // What docs/design.md says of them: six, and a few by chance of the numbers drawn.
    assert!(count.wrong.len() <= 8, "{} wrong", count.wrong.len());
    // One step of each type, of which an earlier crossing is in 64 bits and a later one is found in 16.
    assert!(far.len() <= 10, "{far:#?}");
}
