//! In burn's `Learner`, the model steps before the measurement, and the update is the whole change of its weights.

use sharpness_tests::prelude::*;

fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(0.1).init()
}

fn learned(
    config: &MlpConfig,
    scheduler: impl Into<ModuleLrScheduler>,
    step_first: bool,
) -> (Weights, Vec<Measurement>) {
    let folder = tempfile::tempdir().unwrap();
    let config_of_probe = SharpnessConfig::new()
        .with_every(1)
        .with_directory(folder.path())
        .with_step_first(step_first);
    let probe = SharpnessProbe::new(config_of_probe).unwrap();
    let model = probe.attach(config.init(&device::autodiff()));
    let training = Training::new(folder.path());
    let (model, _) = training.launch(model, adamw(), scheduler, Some(&probe));
    drop(probe);
    (weights(&model.into_inner()), measurements(folder.path()))
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
    let device = device::autodiff();
    let batch = Data::new(1, 16, &device).batch(0);
    let network = MlpConfig {
        clips: true,
        ..MlpConfig::for_data()
    };
    let network = network.init(&device);
    let far = |step_first: bool| {
        let config = SharpnessConfig::new().with_step_first(step_first);
        let probe = SharpnessProbe::new(config).unwrap();
        let model = probe.attach(network.clone());
        let grads = TrainStep::step(&model, batch.clone()).grads;
        let after = TrainStep::optimize(model, &mut sgd(), rate.into(), grads);
        let measured = probe.latest("train").unwrap();
        let moved = distance(&network, &after.into_inner());
        (rate * measured.update_norm.unwrap(), moved)
    };
    let (told, moved) = far(true);
    assert!((told / moved - 1.0).abs() < 1e-3, "{told} {moved}");
    let (told, moved) = far(false);
    assert!(told < 0.5 * moved, "{told} {moved}");
}
