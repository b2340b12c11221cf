use sharpness_tests::prelude::*;

#[test]
fn an_output_layer_that_starts_at_zero_does_not_hide_dropout() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let model = MlpConfig::for_data().with_dropout(0.4).with_zero_head();
    Training::new(folder.path()).fit(model.start(), adam(), 0.01, Some(&probe));

    let measured = measurements(folder.path());
    assert_eq!(measured.len(), 14);
    for measurement in measured {
        let source = measurement.base_loss_source;
        assert_eq!(source, Some(BaseLossSource::Evaluated));
        assert_eq!(measurement.slope_source, Some(SlopeSource::Hint));
    }
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

pub(crate) fn assert_scanned(measured: &Measurement, loss_at: impl Fn(f64) -> f64) {
    let critical_lr = measured.critical_lr.unwrap();
    let scanned = scanned(loss_at, critical_lr / 50.0);
    let margin = 1.0 + 3.0 * measured.critical_lr_error.unwrap() + 0.01;
    let is_there = |(low, high)| low / margin <= critical_lr && critical_lr <= high * margin;
    assert!(scanned.is_some_and(is_there), "{scanned:?}, {measured:?}");
}

/// Has its own running statistics, so that the scan flushes nothing of the model.
pub(crate) fn twin(config: &MlpConfig, model: &Mlp) -> Mlp {
    let record = model.clone().into_record();
    config.start().load_record(record).valid()
}

fn assert_true(config: &MlpConfig) {
    let (mut bracketed, mut not_descent) = (0, 0);
    let data = Data::new(20, 32, &device::autodiff());
    let probe = every(1);
    let mut at = AtStep::new(config.start(), adam(), 1e-2, data.batch(0));
    for step in 0..40 {
        let measured = at.measure(&probe);
        let valid = twin(config, &at.model);
        let base = valid.loss(&at.batch).into_scalar::<f64>();
        assert_eq!(measured.base_loss, Some(base));
        let line = direction(&valid, &at.optim, at.rate, &at.grads);
        let loss_at = |eta: f64| {
            let moved = line.apply(valid.clone(), eta);
            moved.loss(&at.batch).into_scalar::<f64>()
        };
        match measured.outcome {
            Bracketed => {
                bracketed += 1;
                let critical_lr = measured.critical_lr.unwrap();
                assert!(critical_lr > 1e-5, "made by rounding: {measured:?}");
                assert_scanned(&measured, loss_at);
            }
            NotDescent => {
                not_descent += 1;
                let falls = [1e-4, 1e-3, 1e-2].map(|eta| loss_at(eta) < base - 1e-6);
                let falls = falls == [true; 3];
                assert!(!falls, "step {step}: the loss falls: {measured:?}");
            }
            _ => {}
        }
        at = at.next(data.batch((step + 1) % 20));
    }
    println!("{bracketed} bracketed, {not_descent} not descent");
    assert!(bracketed >= 10);
}

#[test]
fn with_dropout_every_bracket_is_of_the_loss_that_was_measured() {
    for dropout in [0.1, 0.4] {
        assert_true(&MlpConfig::for_data().with_dropout(dropout));
    }
}

#[test]
fn with_batch_norm_every_bracket_is_of_the_loss_that_was_measured() {
    assert_true(&MlpConfig::for_data().with_batch_norm());
}

fn mapped_and_saved(probe: Option<&SharpnessProbe>) -> Weights {
    let config = MlpConfig::for_data().with_batch_norm();
    let data = Data::new(6, 16, &device::autodiff());
    let (mut model, mut optim) = (config.start(), sgd());
    for step in 0..6 {
        let at = AtStep::new(model, optim, 0.1, data.batch(step));
        if let Some(probe) = probe {
            at.measure(probe);
        }
        (model, optim) = at.step();
        if step < 5 {
            model = clipped(model);
        }
    }
    let saved = model.into_record();
    weights(&config.init(&device::plain()).load_record(saved))
}

#[test]
fn running_statistics_are_not_flushed() {
    let bare = mapped_and_saved(None);
    let probe = every(1);
    assert_eq!(mapped_and_saved(Some(&probe)), bare);
    assert_eq!(probe.summary().measurements, 6);
}

#[test]
fn a_loss_that_draws_is_refused_for_good() {
    let at = AtStep::new(model(), sgd(), 0.1, batch_of(16));
    let probe = every(1);
    let mut passes = 0;
    for _ in 0..3 {
        let loss = |model: &Mlp| {
            passes += 1;
            model.loss(&at.batch) + f64::from(passes)
        };
        if let Some(measured) = probe.measure_update(at.update(), loss) {
            assert_eq!(measured.outcome, Failed);
            assert_says(measured.reason.as_ref().unwrap(), "not repeatable");
        }
    }
    assert_eq!(passes, 2);
    let summary = probe.summary();
    assert_eq!(summary.measurements, 1);
    assert_says(&summary.notices[0], "not repeatable");
}
