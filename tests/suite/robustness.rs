use sharpness_tests::prelude::*;

fn at(model: Mlp) -> AtStep {
    AtStep::new(model, sgd(), 0.1, batch_of(32))
}

#[track_caller]
fn assert_failed(measurement: &Measurement, words: &str) {
    assert_not_measured(measurement, Failed);
    assert_says(measurement.reason.as_ref().unwrap(), words);
}

#[track_caller]
fn assert_not_measured(measurement: &Measurement, outcome: MeasurementOutcome) {
    assert_eq!(measurement.outcome, outcome, "{measurement:?}");
    assert_eq!(measurement.critical_lr, None);
    assert_eq!(measurement.critical_sharpness, None);
    assert_eq!(measurement.edge_ratio(), None);
    let json = serde_json::to_value(measurement).unwrap();
    assert!(json["critical_sharpness"].is_null() && json["critical_lr"].is_null());
}

#[test]
fn a_batch_whose_loss_is_nan_is_recorded_and_training_goes_on() {
    let (recorder, measured) = Ran::new(1, |run| {
        run.data = Data::new(7, 16, &device::autodiff()).with_poisoned(4);
        run.epochs = 1;
    })
    .parts();
    assert_eq!(measured.len(), 7);
    for measurement in &measured[..4] {
        assert_eq!(measurement.outcome, Bracketed);
    }
    for measurement in &measured[4..] {
        assert_not_measured(measurement, NonFiniteBaseLoss);
        assert_eq!(measurement.base_loss, None);
    }
    for quantity in Quantity::ALL {
        for tick in recorder.ticks(quantity.name()).into_iter().flatten() {
            assert!(tick.current().is_finite(), "{quantity:?} {tick:?}");
        }
    }
    assert_eq!(recorder.points("Critical Sharpness").len(), 4);
}

#[test]
fn a_run_without_any_measurement_draws_no_point_and_logs_nothing() {
    let ran = Ran::new(1, |run| {
        run.data = Data::new(3, 16, &device::autodiff()).with_poisoned(0);
    });
    for name in ["Critical Sharpness", "Edge Ratio", "Critical Learning Rate"] {
        assert!(ran.recorder.points(name).is_empty());
        let ends = ran.recorder.ticks(name).into_iter().flatten();
        assert!(ends.map(|end| end.current()).all(f64::is_nan));
        let log = format!("train/epoch-1/{}.log", name.replace(' ', "_"));
        assert!(!ran.folder.path().join(log).exists());
    }
    assert_eq!(ran.probe.summary().bracketed, 0);
    assert_eq!(ran.probe.summary().last, None);
}

#[test]
fn a_gradient_of_zero_is_not_a_descent_direction() {
    let mut at = at(model());
    let zero = at.model.loss(&at.batch) * 0.0;
    at.grads = GradientsParams::from_grads(zero.backward(), &at.model);
    let measurement = at.measure(&every(1));
    assert_not_measured(&measurement, NotDescent);
    assert_eq!(measurement.slope, Some(0.0));
}

#[test]
fn an_update_uphill_is_not_a_descent_direction() {
    let mut at = at(model());
    let negative = -at.model.loss(&at.batch);
    at.grads = GradientsParams::from_grads(negative.backward(), &at.model);
    let measurement = at.measure(&every(1));
    assert_eq!(measurement.critical_sharpness, None, "{measurement:?}");
    assert_ne!(measurement.outcome, Failed);
}

#[test]
fn a_frozen_parameter_does_not_move() {
    let free = at(model());
    let mut frozen = free.model.clone();
    frozen.layers[0] = frozen.layers[0].clone().no_grad();
    let at = at(frozen);
    let before = weights(&at.model.layers[0]);
    let mut seen = Vec::new();
    let loss = |model: &Mlp| {
        seen.push(weights(&model.layers[0]));
        model.loss(&at.batch)
    };
    let measurement = every(1).measure_update(at.update(), loss).unwrap();

    assert_eq!(measurement.outcome, Bracketed);
    assert!(seen.len() > 2 && seen.iter().all(|weights| *weights == before));
    let free = free.measure(&every(1)).update_norm;
    assert!(measurement.update_norm < free, "{measurement:?} {free:?}");
}

#[test]
fn losses_of_examples_give_an_interval_and_parts_of_a_batch_are_stated() {
    let at = AtStep::new(model(), sgd(), 0.1, batch_of(1024));
    let measure = |loss: &dyn Fn(&Mlp) -> Loss| {
        let loss = |model: &Mlp| loss(model);
        every(1).measure_update(at.update(), loss).unwrap()
    };
    let whole = measure(&|model| model.losses(&at.batch).into_loss().unwrap());
    let (low, high) = whole.critical_lr_interval.unwrap();
    let critical_lr = whole.critical_lr.unwrap();
    assert!(low < critical_lr && critical_lr < high, "{whole:?}");
    assert_eq!(whole.batch_fraction, 1.0);

    let scalar = measure(&|model| model.loss(&at.batch).into_loss().unwrap());
    assert_near(scalar.critical_lr, critical_lr, 1.0 / 16.0);
    assert_eq!(scalar.critical_lr_interval, None);

    let half = measure(&|model| {
        let losses = model.losses(&at.batch).narrow(0, 0, 512);
        losses.into_loss().unwrap().with_batch_fraction(0.5)
    });
    assert_eq!(half.batch_fraction, 0.5);
    assert_eq!(half.outcome, Bracketed);
}

#[test]
fn a_verified_bracket_says_so() {
    for verification in [0, 3] {
        let config = SharpnessConfig::new().with_verification(verification);
        let measurement = at(model()).measure(&probe_of(config));
        assert_eq!(measurement.first_crossing_verified, Some(verification > 0));
    }
}

#[test]
fn a_loss_that_panics_ends_the_probing_and_not_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let probed = probe.attach_with(model(), |_: &Mlp, _: Batch| -> f64 { panic!("on purpose") });
    Training::new(folder.path()).launch(probed, sgd(), 0.1, Some(&probe));

    let measured = measurements(folder.path());
    assert_eq!(measured.len(), 1);
    assert_failed(&measured[0], "panicked");
}

#[test]
fn a_loss_that_draws_is_refused_for_good() {
    let at = at(model());
    let probe = every(1);
    let mut passes = 0;
    for _ in 0..3 {
        let loss = |model: &Mlp| {
            passes += 1;
            model.loss(&at.batch) + f64::from(passes)
        };
        if let Some(measured) = probe.measure_update(at.update(), loss) {
            assert_failed(&measured, "not repeatable");
        }
    }
    assert_eq!(passes, 2);
    let summary = probe.summary();
    assert_eq!(summary.measurements, 1);
    assert_says(&summary.notices[0], "not repeatable");
}

#[test]
fn a_loss_that_cannot_be_evaluated_says_why() {
    let at = at(model());
    let mut calls = 0;
    let loss = |model: &Mlp| {
        calls += 1;
        match calls < 4 {
            true => Ok(model.loss(&at.batch)),
            false => Err("out of memory"),
        }
    };
    let measurement = every(1).measure_update(at.update(), loss).unwrap();
    assert_failed(&measurement, "out of memory");
    assert!(measurement.base_loss.is_some() && measurement.slope.is_some());
    assert_eq!(measurement.evaluations, 1);
}

#[test]
fn impossible_rates_are_named() {
    for learning_rate in [-0.1, f64::NAN, f64::INFINITY] {
        let at = AtStep::new(model(), sgd(), learning_rate, batch_of(32));
        assert_failed(&at.measure(&every(1)), "learning rate");
    }
}

#[test]
fn a_folder_that_disappears_stops_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let lost = folder.path().join("lost");
    let probe = in_folder(1, &lost);
    std::fs::remove_dir_all(&lost).unwrap();
    std::fs::write(&lost, "a file where the folder was").unwrap();

    let at = at(model());
    for _ in 0..2 {
        assert_eq!(at.measure(&probe).outcome, Bracketed);
    }
}

#[test]
fn a_metric_registered_for_validation_too_counts_training_items_only() {
    use burn::train::metric::{Metric, Numeric};

    let probe = every(1);
    let mut metric = SharpnessMetric::new(&probe, Quantity::CriticalSharpness);
    let measured = at(model()).measure(&probe);
    for (lr, value) in [
        (None, None),
        (Some(0.1), measured.critical_sharpness),
        (Some(0.1), None),
    ] {
        let entry = metric.update(&(), &metadata(lr)).unwrap();
        assert_eq!(entry.is_not_available(), value.is_none());
        match metric.value() {
            Some(NumericEntry::Value(seen)) => assert_eq!(Some(seen), value),
            none => assert!(none.is_none() && value.is_none()),
        }
    }
}
