use crate::training_mode::{assert_scanned, device, twin};
use sharpness_tests::prelude::*;

fn with_batch_statistics() -> SharpnessProbe {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_batch_statistics(true);
    SharpnessProbe::new(config).unwrap()
}

#[test]
fn with_batch_statistics_the_loss_of_the_gradient_is_measured() {
    let (mut bracketed, mut known) = (0, 0);
    let device = device();
    let config = MlpConfig::for_data().with_batch_norm();
    let data = Data::new(20, 32, &device);
    let mut model = config.init(&device);
    let mut optim = adam();
    let probe = with_batch_statistics();
    let rate = 1e-2;
    for step in 0..40 {
        let batch = data.batch(step % 20);
        let loss = model.loss(&batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let update = Update::new(&model, &optim, rate, &grads).with_training_loss(loss.clone());
        let measured = probe
            .measure_update(update, |model| model.loss(&batch))
            .unwrap();
        assert_eq!(measured.batch_statistics, Some(true));
        let valid = twin(&config, &model);
        let line = direction(&valid, &optim, rate, &grads);
        let at = |eta: f64| {
            let moved = line.apply(valid.clone(), eta).train();
            moved.loss(&batch).into_scalar::<f64>()
        };
        assert!((measured.base_loss.unwrap() - at(0.0)).abs() < 1e-6);
        assert_eq!(measured.base_loss, Some(loss.into_scalar::<f64>()));
        if let Some(critical_lr) = measured.critical_lr {
            bracketed += 1;
            assert_scanned(&measured, at);
            let h = critical_lr / 50.0;
            let slope = (at(-h) - at(h)) / (2.0 * h);
            let apart = measured.slope.unwrap() / slope - 1.0;
            // The smallest falls are some hundred times the rounding of a loss near 1.
            assert!(apart.abs() < 0.01, "step {step}: {slope}, {measured:?}");
        }
        known += usize::from(measured.slope_source == Some(SlopeSource::Known));
        model = optim.step(rate, model, grads);
    }
    println!("{bracketed} bracketed, {known} slopes known");
    assert!(bracketed >= 35, "{bracketed}");
    assert!(known >= 36, "{known}");
    assert!(probe.summary().notices.is_empty(), "{}", probe.summary());
}

#[test]
fn with_batch_statistics_and_dropout_the_slope_is_a_hint() {
    let device = device();
    let batch = Data::new(1, 32, &device).batch(0);
    let config = MlpConfig::for_data().with_batch_norm().with_dropout(0.3);
    let model = config.init(&device);
    let probe = with_batch_statistics();
    let loss = model.loss(&batch);
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    let before = weights(&model);
    let measured = probe
        .measure(&model, &adam(), 1e-2, &grads, |model| model.loss(&batch))
        .unwrap();
    assert_eq!(measured.outcome, Bracketed);
    assert_eq!(measured.slope_source, Some(SlopeSource::Hint));
    assert_eq!(weights(&model), before);
    // Batch norm comes before the dropout here.
    let record = model.into_record();
    let trained = MlpConfig::for_data().with_batch_norm().init(&device);
    let without_dropout = trained.load_record(record).loss(&batch);
    let apart = measured.base_loss.unwrap() - without_dropout.into_scalar::<f64>();
    assert!(apart.abs() < 1e-6, "{measured:?}");
}

#[test]
fn batch_statistics_need_no_autodiff_of_the_batch() {
    let device = device();
    let model = MlpConfig::for_data().with_batch_norm().init(&device);
    let with = Data::new(1, 32, &device).batch(0);
    let without = Batch {
        x: with.x.clone().inner(),
        y: with.y.clone().inner(),
    };
    let measure = |batch: &Batch| {
        let grads = gradients(&model, &with);
        let measured = with_batch_statistics()
            .measure(&model, &adam(), 1e-2, &grads, |model| model.loss(batch))
            .unwrap();
        measured
            .critical_lr
            .unwrap_or_else(|| panic!("{measured:?}"))
    };
    assert_eq!(measure(&with), measure(&without));
}

#[test]
fn a_batch_norm_that_cannot_see_autodiff_is_named_and_not_measured() {
    let device = device();
    let model = MlpConfig::for_data().with_batch_norm().init(&device);
    let batch = Data::new(1, 32, &device).batch(0);
    let grads = gradients(&model, &batch);
    let probe = with_batch_statistics();
    let in_validation = |model: &Mlp| model.valid().loss(&batch);
    for _ in 0..2 {
        if let Some(measured) = probe.measure(&model, &adam(), 1e-2, &grads, in_validation) {
            assert_eq!(measured.outcome, Failed);
            let reason = measured.reason.as_ref().unwrap();
            assert!(reason.contains("with batch statistics"), "{reason}");
        }
    }
    assert_eq!(probe.summary().measurements, 1);
}

#[test]
fn the_curvature_is_that_of_the_loss_with_batch_statistics() {
    let device = device();
    let batch = Data::new(1, 32, &device).batch(0);
    let config = MlpConfig::for_data().with_batch_norm();
    let model = config.init(&device);
    let optim = sgd();
    let loss = |model: &Mlp| model.loss(&batch);
    let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
    let probe = SharpnessConfig::new()
        .with_batch_statistics(true)
        .with_curvature(CurvatureConfig::new(1));
    let probe = SharpnessProbe::new(probe).unwrap();
    let update = Update::new(&model, &optim, 0.1, &grads).with_curvature(loss);
    let measured = probe.measure_update(update, loss).unwrap();
    let curvature = measured.curvature.as_ref().unwrap();

    let valid = twin(&config, &model);
    let line = direction(&valid, &optim, 0.1, &grads);
    let at = |eta: f64| {
        let moved = line.apply(valid.clone(), eta).train();
        moved.loss(&batch).into_scalar::<f64>()
    };
    let h = measured.critical_lr.unwrap() / 20.0;
    let bend = (at(h) - 2.0 * at(0.0) + at(-h)) / (h * h);
    let expected = bend / line.slope();
    let found = curvature.directional_sharpness.value.unwrap();
    assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
}

#[test]
fn a_batch_norm_that_is_frozen_in_the_middle_of_a_run_keeps_its_running_statistics() {
    let device = device();
    let batch = Data::new(1, 32, &device).batch(0);
    let mut model = MlpConfig::for_data().with_batch_norm().init(&device);
    let probe = with_batch_statistics();
    let measure = |model: &Mlp| {
        let loss = model.loss(&batch);
        let grads = GradientsParams::from_grads(loss.backward(), model);
        let loss_of = |model: &Mlp| model.loss(&batch);
        let measured = probe
            .measure(model, &adam(), 1e-2, &grads, loss_of)
            .unwrap();
        assert_eq!(measured.base_loss, Some(loss.into_scalar::<f64>()));
    };
    measure(&model);
    model = model.freeze_group(ParamGroup::from_predicate("norm"));
    measure(&model);
}

#[test]
fn several_workers_are_measured_with_batch_statistics_and_told_what_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let probe = with_batch_statistics();
    let model = MlpConfig::for_data().with_batch_norm().init(&device());
    let training = Training {
        workers: Some(MultiDeviceOptim::OptimMainDevice),
        ..Training::new(folder.path())
    };
    training.launch(probe.attach(model), adam(), 0.01, Some(&probe));
    let summary = probe.summary();
    assert_eq!(summary.measurements, 14, "{summary}");
    assert!(summary.bracketed >= 12, "{summary}");
    assert_eq!(summary.notices.len(), 1, "{summary}");
    assert!(summary.notices[0].contains("copying the running statistics"));
}

#[test]
fn without_batch_norm_batch_statistics_change_nothing() {
    let device = device();
    let model = MlpConfig::for_data().init(&device);
    let batch = Data::new(1, 32, &device).batch(0);
    let grads = gradients(&model, &batch);
    let measure = |probe: SharpnessProbe| {
        let loss = |model: &Mlp| model.loss(&batch);
        let measured = probe.measure(&model, &adam(), 1e-2, &grads, loss).unwrap();
        (measured.critical_lr.unwrap(), measured.evaluations)
    };
    assert_eq!(
        measure(with_batch_statistics()),
        measure(SharpnessProbe::new(SharpnessConfig::new()).unwrap())
    );
}
