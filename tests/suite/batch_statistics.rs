use sharpness_tests::prelude::*;

fn with_batch_statistics() -> SharpnessProbe {
    let config = SharpnessConfig::new().with_every(1);
    probe_of(config.with_batch_statistics(true))
}

fn network() -> MlpConfig {
    MlpConfig::for_data().with_batch_norm()
}

/// By a dense scan of the measured loss, which falls first.
fn scanned(loss_at: impl Fn(f64) -> f64, from: f64) -> Option<(f64, f64)> {
    let base = loss_at(0.0);
    let rates = (0..400).map(|i| from * 1.03_f64.powi(i));
    let mut fallen = false;
    let mut last = None;
    for rate in rates {
        let rise = loss_at(rate) - base;
        if rise > 0.0 {
            return last.filter(|_| fallen).map(|last| (last, rate));
        }
        // Above the rounding of a loss near 1.
        fallen |= rise < -5e-7;
        last = Some(rate);
    }
    None
}

fn assert_scanned(measured: &Measurement, loss_at: impl Fn(f64) -> f64) {
    let critical_lr = measured.critical_lr.unwrap();
    let scanned = scanned(loss_at, critical_lr / 50.0);
    let margin = 1.0 + 3.0 * measured.critical_lr_error.unwrap() + 0.01;
    let is_there = |(low, high)| low / margin <= critical_lr && critical_lr <= high * margin;
    assert!(scanned.is_some_and(is_there), "{scanned:?}, {measured:?}");
}

/// Has its own running statistics, so that the scan flushes nothing of the model.
fn twin(model: &Mlp) -> Mlp {
    let record = model.clone().into_record();
    network().start().load_record(record).valid()
}

/// The loss along the step, with batch statistics.
fn along(at: &AtStep) -> (impl Fn(f64) -> f64 + use<>, f64) {
    let valid = twin(&at.model);
    let line = direction(&valid, &at.optim, at.rate, &at.grads);
    let (slope, batch) = (line.slope(), at.batch.clone());
    let loss = move |eta: f64| {
        let moved = line.apply(valid.clone(), eta).train();
        moved.loss(&batch).into_scalar::<f64>()
    };
    (loss, slope)
}

#[test]
fn with_batch_statistics_the_loss_of_the_gradient_is_measured() {
    let (mut bracketed, mut known) = (0, 0);
    let data = Data::new(20, 32, &device::autodiff());
    let probe = with_batch_statistics();
    let mut at = AtStep::new(network().start(), adam(), 1e-2, data.batch(0));
    for step in 0..40 {
        let measured = at.measure_told(&probe);
        assert_eq!(measured.batch_statistics, Some(true));
        let (loss_at, _) = along(&at);
        assert!((measured.base_loss.unwrap() - loss_at(0.0)).abs() < 1e-6);
        assert_eq!(measured.base_loss, Some(at.loss.clone().into_scalar()));
        if let Some(critical_lr) = measured.critical_lr {
            bracketed += 1;
            assert_scanned(&measured, &loss_at);
            let h = critical_lr / 50.0;
            let slope = (loss_at(-h) - loss_at(h)) / (2.0 * h);
            // The smallest falls are some hundred times the rounding of a loss near 1.
            assert_near(measured.slope, slope, 0.01);
        }
        known += usize::from(measured.slope_source == Some(SlopeSource::Known));
        at = at.next(data.batch((step + 1) % 20));
    }
    println!("{bracketed} bracketed, {known} slopes known");
    assert!(bracketed >= 35, "{bracketed}");
    assert!(known >= 36, "{known}");
    assert_silent(&probe);
}

#[test]
fn with_batch_statistics_and_dropout_the_slope_is_a_hint() {
    let model = network().with_dropout(0.3).start();
    let before = weights(&model);
    let at = AtStep::new(model, adam(), 1e-2, batch_of(32));
    let measured = at.measure(&with_batch_statistics());
    assert_eq!(measured.outcome, Bracketed);
    assert_eq!(measured.slope_source, Some(SlopeSource::Hint));
    assert_eq!(weights(&at.model), before);
    // Batch norm comes before the dropout here.
    let without_dropout = network().start().load_record(at.model.into_record());
    let loss = without_dropout.loss(&at.batch).into_scalar::<f64>();
    assert_near(measured.base_loss, loss, 1e-6);
}

#[test]
fn batch_statistics_need_no_autodiff_of_the_batch() {
    let mut at = AtStep::new(network().start(), adam(), 1e-2, batch_of(32));
    let with = at.measure(&with_batch_statistics());
    at.batch.x = at.batch.x.inner();
    at.batch.y = at.batch.y.inner();
    let without = at.measure(&with_batch_statistics());
    assert!(with.critical_lr.is_some(), "{with:?}");
    assert_eq!(with.critical_lr, without.critical_lr);
}

#[test]
fn a_batch_norm_that_cannot_see_autodiff_is_named_and_not_measured() {
    let at = AtStep::new(network().start(), adam(), 1e-2, batch_of(32));
    let probe = with_batch_statistics();
    for _ in 0..2 {
        let in_validation = |model: &Mlp| model.valid().loss(&at.batch);
        if let Some(measured) = probe.measure_update(at.update(), in_validation) {
            assert_eq!(measured.outcome, Failed);
            let reason = measured.reason.as_ref().unwrap();
            assert_says(reason, "with batch statistics");
        }
    }
    assert_eq!(probe.summary().measurements, 1);
}

#[test]
fn the_curvature_is_that_of_the_loss_with_batch_statistics() {
    let at = AtStep::new(network().start(), sgd(), 0.1, batch_of(32));
    let loss = |model: &Mlp| model.loss(&at.batch);
    let probe = SharpnessConfig::new()
        .with_batch_statistics(true)
        .with_curvature(CurvatureConfig::new(1));
    let update = at.update().with_curvature(loss);
    let measured = at.measured(&probe_of(probe), update).unwrap();
    let curvature = measured.curvature.as_ref().unwrap();

    let (loss_at, slope) = along(&at);
    let h = measured.critical_lr.unwrap() / 20.0;
    let bend = (loss_at(h) - 2.0 * loss_at(0.0) + loss_at(-h)) / (h * h);
    assert_near(curvature.directional_sharpness.value, bend / slope, 0.05);
}

#[test]
fn a_batch_norm_that_is_frozen_in_the_middle_of_a_run_keeps_its_running_statistics() {
    let probe = with_batch_statistics();
    let measure = |model: Mlp| {
        let at = AtStep::new(model, adam(), 1e-2, batch_of(32));
        let measured = at.measure(&probe);
        assert_eq!(measured.base_loss, Some(at.loss.into_scalar()));
        at.model
    };
    let model = measure(network().start());
    measure(model.freeze_group(ParamGroup::from_predicate("norm")));
}

#[test]
fn several_workers_are_measured_with_batch_statistics_and_told_what_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let probe = with_batch_statistics();
    let workers = Some(MultiDeviceOptim::OptimMainDevice);
    let training = Training::new(folder.path()).with(|run| run.workers = workers);
    training.fit(network().start(), adam(), 0.01, Some(&probe));
    let summary = probe.summary();
    assert_eq!(summary.measurements, 14, "{summary}");
    assert!(summary.bracketed >= 12, "{summary}");
    assert_eq!(summary.notices.len(), 1, "{summary}");
    assert_says(&summary.notices[0], "copying the running statistics");
}

#[test]
fn without_batch_norm_batch_statistics_change_nothing() {
    let at = AtStep::new(model(), adam(), 1e-2, batch_of(32));
    let [with, without] = [with_batch_statistics(), every(1)].map(|probe| at.measure(&probe));
    assert!(with.critical_lr.is_some());
    assert_eq!(with.critical_lr, without.critical_lr);
    assert_eq!(with.evaluations, without.evaluations);
}
