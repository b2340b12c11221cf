// ANCHOR: use
use burn_sharpness::{
    ConfigError, SharpnessConfig, SharpnessMetrics, SharpnessProbe, Step, Update,
};
// ANCHOR_END: use
use burn::train::metric::AccuracyMetric;
use sharpness_tests::prelude::*;

fn device() -> Device {
    device::autodiff()
}

fn batches() -> Vec<Batch> {
    Data::new(8, 16, &device()).all()
}

fn loss(model: &Mlp, batch: &Batch) -> Tensor<1> {
    model.loss(batch)
}

#[test]
fn classification() -> Result<(), ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let [train, valid] = loaders();
    let (model, optim, scheduler) = (model(), sgd(), 0.1);
    // ANCHOR: classification
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2).with_directory(dir))?;
    let training = SupervisedTraining::new(dir, train, valid)
        .metric_train_numeric(AccuracyMetric::new())
        .metric_train_numeric(LossMetric::new())
        .metrics_sharpness(&probe)
        .num_epochs(2);
    // ANCHOR_END: classification
    let training = silent(training);
    // ANCHOR: classification_launch
    let result = training.launch(Learner::new(probe.attach(model), optim, scheduler));
    let model = result.model.into_inner();
    // ANCHOR_END: classification_launch
    assert_eq!(probe.summary().measurements, 8);
    assert_eq!(probe.summary().bracketed, 8);
    assert!(!weights(&model).is_empty());
    Ok(())
}

#[test]
fn accumulation_and_several_devices() -> Result<(), ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let [train, valid] = loaders();
    let devices = vec![device(); 2];
    let config = SharpnessConfig::new().with_every(1);
    let probe = SharpnessProbe::new(config)?;
    // ANCHOR: accumulation
    let training = SupervisedTraining::new(dir, train, valid)
        .metrics_sharpness(&probe)
        .grads_accumulation(4);
    // ANCHOR_END: accumulation
    silent(training).launch(Learner::new(probe.attach(model()), sgd(), 0.1));
    assert_eq!(probe.summary().bracketed, 2);

    let [train, valid] = loaders();
    // ANCHOR: devices
    let strategy = ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice);
    let training = SupervisedTraining::new(dir, train, valid)
        .metrics_sharpness(&probe)
        .with_training_strategy(strategy.into());
    // ANCHOR_END: devices
    silent(training).launch(Learner::new(probe.attach(model()), sgd(), 0.1));
    assert!(probe.summary().bracketed > 2);
    Ok(())
}

#[test]
fn a_loop_of_ones_own() -> Result<(), ConfigError> {
    let (mut model, mut optim, lr) = (model(), sgd(), 0.1);
    // ANCHOR: loop
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2))?;
    for batch in batches() {
        let value = loss(&model, &batch);
        let grads = GradientsParams::from_grads(value.backward(), &model);
        let update = Update::new(&model, &optim, lr, &grads).with_training_loss(value);
        probe.measure_update(update, |model| loss(model, &batch));
        model = optim.step(lr, model, grads);
    }
    // ANCHOR_END: loop
    assert_eq!(probe.summary().bracketed, 4);
    Ok(())
}

#[test]
fn a_loop_whose_steps_the_probe_makes() -> Result<(), ConfigError> {
    let (mut model, mut optim, lr) = (model(), sgd(), 0.1);
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2))?;
    // ANCHOR: loop_step
    for batch in batches() {
        let value = loss(&model, &batch);
        let grads = GradientsParams::from_grads(value.backward(), &model);
        let step = Step::new(model, &mut optim, lr, grads).with_training_loss(value);
        model = probe.optimize_step(step, |model| loss(model, &batch));
    }
    // ANCHOR_END: loop_step
    assert_eq!(probe.summary().bracketed, 4);
    Ok(())
}

#[test]
fn a_loop_that_accumulates() -> Result<(), ConfigError> {
    let (mut model, mut optim, lr) = (model(), sgd(), 0.02);
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1))?;
    // ANCHOR: loop_accumulation
    let mut accumulator = GradientsAccumulator::new();
    for micro_batches in batches().chunks(4) {
        for batch in micro_batches {
            let grads = loss(&model, batch).backward();
            accumulator.accumulate(&model, GradientsParams::from_grads(grads, &model));
        }
        let grads = accumulator.grads();
        // The losses add up, as the gradients did.
        probe.measure(&model, &optim, lr, &grads, |model| {
            let losses = micro_batches.iter().map(|batch| loss(model, batch));
            Tensor::cat(losses.collect(), 0).sum()
        });
        model = optim.step(lr, model, grads);
    }
    // ANCHOR_END: loop_accumulation
    assert_eq!(probe.summary().bracketed, 2);
    let first = probe.latest("train").unwrap();
    assert_near(first.slope, first.update_norm.unwrap().powi(2), 1e-3);
    Ok(())
}

#[test]
fn two_optimizers() -> Result<(), ConfigError> {
    let mut model = model();
    let mut of_body = sgd();
    let mut of_head = AdamWConfig::new().init();
    let (lr_of_body, lr_of_head) = (0.1, 1e-2);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    // ANCHOR: two_optimizers
    let config = SharpnessConfig::new().with_every(2);
    let probe_of_body = SharpnessProbe::new(config.clone().with_directory(dir.join("body")))?;
    let probe_of_head = SharpnessProbe::new(config.with_directory(dir.join("head")))?;
    for batch in batches() {
        let mut grads = loss(&model, &batch).backward();
        let body = GradientsParams::from_module(&mut grads, &model.layers[0]);
        let head = GradientsParams::from_module(&mut grads, &model.layers[1]);
        let loss = |model: &Mlp| loss(model, &batch);
        probe_of_body.measure(&model, &of_body, lr_of_body, &body, loss);
        probe_of_head.measure(&model, &of_head, lr_of_head, &head, loss);
        model = of_body.step(lr_of_body, model, body);
        model = of_head.step(lr_of_head, model, head);
    }
    // ANCHOR_END: two_optimizers
    for probe in [probe_of_body, probe_of_head] {
        let summary = probe.summary();
        let last = probe.latest("train").unwrap();
        assert_eq!(summary.measurements, 4, "{summary}");
        assert!([Bracketed, NoIncrease].contains(&last.outcome), "{last:?}");
    }
    Ok(())
}

#[test]
fn batch_norm() -> Result<(), ConfigError> {
    // ANCHOR: batch_statistics
    let config = SharpnessConfig::new().with_every(2);
    let probe = SharpnessProbe::new(config.with_batch_statistics(true))?;
    // ANCHOR_END: batch_statistics
    let model = MlpConfig::for_data().with_batch_norm().start();
    let measured = AtStep::new(model, sgd(), 0.1, batch_of(16)).measure_told(&probe);
    assert_eq!(measured.batch_statistics, Some(true));
    assert_eq!(measured.outcome, Bracketed);
    Ok(())
}

#[test]
fn fine_tuning_with_frozen_layers() -> Result<(), ConfigError> {
    let (mut model, mut optim, lr) = (model(), sgd(), 0.1);
    let before = model.layers[0].weight.val().into_data();
    let pretraining = batches();
    // ANCHOR: frozen
    model.layers[0] = model.layers[0].clone().no_grad();
    let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(2))
        .with_task("pretrain", pretraining, |model: &Mlp, batch: Batch| {
            loss(model, &batch)
        })
        .build()?;
    // ANCHOR_END: frozen
    for batch in batches() {
        let grads = GradientsParams::from_grads(loss(&model, &batch).backward(), &model);
        probe.measure(&model, &optim, lr, &grads, |model| loss(model, &batch));
        model = optim.step(lr, model, grads);
    }
    assert_eq!(probe.summary().bracketed, 4);
    assert!(probe.latest("pretrain").is_some());
    assert_eq!(model.layers[0].weight.val().into_data(), before);
    Ok(())
}
