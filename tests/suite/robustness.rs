use sharpness_tests::prelude::*;

fn device() -> Device {
    device::autodiff()
}

fn batch() -> Batch {
    Data::new(1, 32, &device()).batch(0)
}

fn step() -> (Mlp, Batch, GradientsParams) {
    let model = model();
    let batch = batch();
    let grads = gradients(&model, &batch);
    (model, batch, grads)
}

fn measure(model: &Mlp, batch: &Batch, grads: &GradientsParams) -> Arc<Measurement> {
    every(1)
        .measure(model, &sgd(), 0.1, grads, |model| model.loss(batch))
        .unwrap()
}

fn assert_failed(measurement: &Measurement, words: &str) {
    assert_not_measured(measurement, Failed);
    let reason = measurement.reason.as_ref().unwrap();
    assert!(reason.contains(words), "{reason}");
}

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
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let training = Training {
        data: Data::new(7, 16, &device()).with_poisoned(4),
        epochs: 1,
        ..Training::new(folder.path())
    };
    let model = probe.attach(model());
    let (_, recorder) = training.launch(model, sgd(), 0.1, Some(&probe));

    let measured = measurements(folder.path());
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
    let folder = tempfile::tempdir().unwrap();
    let probe = every(1);
    let training = Training {
        data: Data::new(3, 16, &device()).with_poisoned(0),
        ..Training::new(folder.path())
    };
    let model = probe.attach(model());
    let (_, recorder) = training.launch(model, sgd(), 0.1, Some(&probe));

    for name in ["Critical Sharpness", "Edge Ratio", "Critical Learning Rate"] {
        assert!(recorder.points(name).is_empty());
        let ends = recorder.ticks(name).into_iter().flatten();
        assert!(ends.map(|end| end.current()).all(f64::is_nan));
        let log = format!("{}.log", name.replace(' ', "_"));
        assert!(!folder.path().join("train/epoch-1").join(log).exists());
    }
    assert_eq!(probe.summary().bracketed, 0);
    assert_eq!(probe.summary().last, None);
}

#[test]
fn a_gradient_of_zero_is_not_a_descent_direction() {
    let model = model();
    let batch = batch();
    let zero = (model.loss(&batch) * 0.0).backward();
    let grads = GradientsParams::from_grads(zero, &model);
    let measurement = measure(&model, &batch, &grads);
    assert_not_measured(&measurement, NotDescent);
    assert_eq!(measurement.slope, Some(0.0));
}

#[test]
fn an_update_uphill_is_not_a_descent_direction() {
    let model = model();
    let batch = batch();
    let uphill = GradientsParams::from_grads((-model.loss(&batch)).backward(), &model);
    let measurement = measure(&model, &batch, &uphill);
    assert_eq!(measurement.critical_sharpness, None, "{measurement:?}");
    assert_ne!(measurement.outcome, Failed);
}

#[test]
fn a_frozen_parameter_does_not_move() {
    let batch = batch();
    let free = model();
    let mut frozen = free.clone();
    frozen.layers[0] = frozen.layers[0].clone().no_grad();

    let grads = gradients(&frozen, &batch);
    let before = weights(&frozen.layers[0]);
    let mut seen = Vec::new();
    let measurement = every(1)
        .measure(&frozen, &sgd(), 0.1, &grads, |model| {
            seen.push(weights(&model.layers[0]));
            model.loss(&batch)
        })
        .unwrap();

    assert_eq!(measurement.outcome, Bracketed);
    assert!(seen.len() > 2 && seen.iter().all(|weights| *weights == before));
    let free = measure(&free, &batch, &gradients(&free, &batch));
    assert!(
        measurement.update_norm < free.update_norm,
        "{measurement:?} {free:?}"
    );
}

#[test]
fn a_model_with_batch_norm_is_measured_with_its_running_statistics() {
    let model = MlpConfig::for_data().with_batch_norm().init(&device());
    let batch = batch();
    let grads = gradients(&model, &batch);
    let expected = model.valid().loss(&batch).into_scalar::<f64>();
    let before = weights(&model);
    let measurement = measure(&model, &batch, &grads);
    assert_eq!(measurement.base_loss, Some(expected));
    assert_eq!(measurement.outcome, Bracketed);
    assert_eq!(weights(&model), before);
}

#[test]
fn a_loss_that_draws_random_numbers_is_named() {
    let (model, batch, grads) = step();
    let measurement = every(1)
        .measure(&model, &sgd(), 0.1, &grads, |model| {
            let noise = Tensor::<1>::random([1], Distribution::Default, &device::plain());
            model.loss(&batch) + noise
        })
        .unwrap();
    assert_failed(&measurement, "not repeatable");
}

#[test]
fn losses_of_examples_give_an_interval_and_parts_of_a_batch_are_stated() {
    let model = model();
    let batch = Data::new(1, 1024, &device()).batch(0);
    let grads = gradients(&model, &batch);
    let measure = |loss: &dyn Fn(&Mlp) -> Loss| {
        every(1)
            .measure(&model, &sgd(), 0.1, &grads, |model| loss(model))
            .unwrap()
    };
    let whole = measure(&|model: &Mlp| model.losses(&batch).into_loss().unwrap());
    let (low, high) = whole
        .critical_lr_interval
        .unwrap_or_else(|| panic!("{whole:?}"));
    let critical_lr = whole.critical_lr.unwrap();
    assert!(low < critical_lr && critical_lr < high, "{whole:?}");
    assert_eq!(whole.batch_fraction, 1.0);

    let scalar = measure(&|model: &Mlp| model.loss(&batch).into_loss().unwrap());
    assert!((scalar.critical_lr.unwrap() / critical_lr - 1.0).abs() < 1.0 / 16.0);
    assert_eq!(scalar.critical_lr_interval, None);

    let half = measure(&|model: &Mlp| {
        let losses = model.losses(&batch).narrow(0, 0, 512).into_loss().unwrap();
        losses.with_batch_fraction(0.5)
    });
    assert_eq!(half.batch_fraction, 0.5);
    assert_eq!(half.outcome, Bracketed);
}

#[test]
fn a_verified_bracket_says_so() {
    let (model, batch, grads) = step();
    for verification in [0, 3] {
        let config = SharpnessConfig::new().with_verification(verification);
        let probe = SharpnessProbe::new(config).unwrap();
        let measurement = probe
            .measure(&model, &sgd(), 0.1, &grads, |model| model.loss(&batch))
            .unwrap();
        assert_eq!(measurement.first_crossing_verified, Some(verification > 0));
    }
}

#[test]
fn a_loss_that_panics_ends_the_probing_and_not_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let model = model();
    let probed = probe.attach_with(model, |_: &Mlp, _: Batch| -> f64 { panic!("on purpose") });
    Training::new(folder.path()).launch(probed, sgd(), 0.1, Some(&probe));

    let measured = measurements(folder.path());
    assert_eq!(measured.len(), 1);
    assert_failed(&measured[0], "panicked");
}

#[test]
fn a_loss_that_cannot_be_evaluated_says_why() {
    let model = model();
    let grads = gradients(&model, &batch());
    let mut calls = 0;
    let measurement = every(1)
        .measure(&model, &sgd(), 0.1, &grads, |model| {
            calls += 1;
            if calls < 4 {
                Ok(model.loss(&batch()))
            } else {
                Err("out of memory")
            }
        })
        .unwrap();
    assert_failed(&measurement, "out of memory");
    assert!(measurement.base_loss.is_some() && measurement.slope.is_some());
    assert_eq!(measurement.evaluations, 1);
}

#[test]
fn gradients_of_another_model_and_impossible_rates_are_named() {
    let (model, other) = (model(), model());
    let batch = batch();
    let other = gradients(&other, &batch);
    let measurement = measure(&model, &batch, &other);
    assert_failed(&measurement, "no parameter");

    let grads = gradients(&model, &batch);
    for learning_rate in [-0.1, f64::NAN, f64::INFINITY] {
        let measurement = every(1)
            .measure(&model, &sgd(), learning_rate, &grads, |model| {
                model.loss(&batch)
            })
            .unwrap();
        assert_failed(&measurement, "learning rate");
    }
}

#[test]
fn a_folder_that_disappears_stops_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let lost = folder.path().join("lost");
    let probe = in_folder(1, &lost);
    std::fs::remove_dir_all(&lost).unwrap();
    std::fs::write(&lost, "a file where the folder was").unwrap();

    let (model, batch, grads) = step();
    for _ in 0..2 {
        let measurement = probe.measure(&model, &sgd(), 0.1, &grads, |model| model.loss(&batch));
        assert_eq!(measurement.unwrap().outcome, Bracketed);
    }
}

#[test]
fn nonsense_in_the_configuration_is_refused_with_the_value() {
    let refused = |config: SharpnessConfig| match SharpnessProbe::new(config) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    assert!(refused(SharpnessConfig::new().with_every(0)).contains("every 0 steps"));
    assert!(refused(SharpnessConfig::new().with_tolerance(1.5)).contains("1.5"));
    assert!(refused(SharpnessConfig::new().with_max_evaluations(1)).contains("budget is 1"));
    let limits = SharpnessConfig::new().with_learning_rate_limits(1.0, 0.5);
    assert!(refused(limits).contains("1 to 0.5"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = SharpnessConfig::new().with_directory(file.join("run"));
    let error = SharpnessProbe::new(config).err().unwrap();
    assert!(matches!(error, ConfigError::Directory { .. }), "{error}");
}

#[test]
fn a_metric_registered_for_validation_too_counts_training_items_only() {
    use burn::data::dataloader::Progress;
    use burn::train::metric::{Metric, MetricMetadata, Numeric};

    let probe = every(1);
    let mut metric = SharpnessMetric::new(&probe, Quantity::CriticalSharpness);
    let (model, batch, grads) = step();
    let measured = probe
        .measure(&model, &sgd(), 0.1, &grads, |model| model.loss(&batch))
        .unwrap();

    let metadata = |lr: Option<f64>| MetricMetadata {
        progress: Progress::new(1, 1, None),
        iteration: Some(1),
        lr: lr.map(Into::into),
    };
    let entry = metric.update(&(), &metadata(None)).unwrap();
    assert!(entry.is_not_available() && metric.value().is_none());
    let entry = metric.update(&(), &metadata(Some(0.1))).unwrap();
    assert!(!entry.is_not_available());
    let Some(NumericEntry::Value(value)) = metric.value() else {
        panic!("the measured point");
    };
    assert_eq!(Some(value), measured.critical_sharpness);
    let entry = metric.update(&(), &metadata(Some(0.1))).unwrap();
    assert!(entry.is_not_available() && metric.value().is_none());
}
