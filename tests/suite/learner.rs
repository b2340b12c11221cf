//! The hook in burn's `Learner`: which steps it measures, and how metrics, record and log show them.

use sharpness_tests::prelude::*;

#[test]
fn measurements_are_made_at_run_wide_steps_over_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    Training::new(folder.path()).launch(probe.attach(model()), sgd(), 0.1, Some(&probe));

    let measured = measurements(folder.path());
    let steps: Vec<_> = measured.iter().map(|m| (m.step, m.epoch)).collect();
    // Seven updates an epoch.
    let (one, two) = (Some(1), Some(2));
    assert_eq!(steps, [(0, one), (3, one), (6, one), (9, two), (12, two)]);
    for measurement in &measured {
        assert_eq!(measurement.outcome, Bracketed);
        assert_eq!(measurement.learning_rate, Some(0.1));
        assert_eq!(measurement.task, "train");
        assert!(measurement.evaluations >= 2 && measurement.seconds > 0.0);
    }
}

#[test]
fn an_accumulated_update_is_measured_on_all_its_micro_batches() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let model = model();
    let training = Training {
        accumulation: Some(3),
        epochs: 1,
        ..Training::new(folder.path())
    };
    let data = training.data.clone();
    training.launch(probe.attach(model.clone()), sgd(), 0.1, Some(&probe));

    let measured = measurements(folder.path());
    assert_eq!(measured.len(), 3);
    let losses = (0..3).map(|index| model.loss(&data.batch(index)).into_scalar::<f64>());
    let mean = losses.sum::<f64>() / 3.0;
    let first = &measured[0];
    assert!(
        (first.base_loss.unwrap() - mean).abs() < 1e-6,
        "{first:?} {mean}"
    );
    // The direction is the sum of three gradients, so the mean loss falls at a third of ‖Δθ‖².
    let slope = first.update_norm.unwrap().powi(2) / 3.0;
    assert!(
        (first.slope.unwrap() / slope - 1.0).abs() < 1e-4,
        "{first:?}"
    );
}

#[test]
fn updates_of_several_workers_are_measured_once_on_the_batches_of_all() {
    for workers in [
        MultiDeviceOptim::OptimMainDevice,
        MultiDeviceOptim::OptimSharded,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = model();
        let train = |probe: Option<&SharpnessProbe>| {
            let training = Training {
                workers: Some(workers),
                ..Training::new(folder.path())
            };
            match probe {
                None => training.launch(model.clone(), sgd(), 0.1, None),
                Some(probe) => {
                    let probed = probe.attach(model.clone());
                    let (model, recorder) = training.launch(probed, sgd(), 0.1, Some(probe));
                    (model.into_inner(), recorder)
                }
            }
        };
        let probe = in_folder(2, folder.path());
        let (bare, _) = train(None);
        let (probed, recorder) = train(Some(&probe));
        // On two devices of wgpu, burn's own training without a probe is not repeatable.
        let [first, second] = device::two();
        if first == second {
            assert_eq!(weights(&probed), weights(&bare), "{workers:?}");
        } else {
            println!("left out: the weights of {workers:?}, which differ from run to run");
        }

        let measured = measurements(folder.path());
        let steps: Vec<_> = measured
            .iter()
            .map(|m| (m.step, m.epoch.unwrap()))
            .collect();
        assert_eq!(
            steps,
            [(0, 1), (2, 1), (4, 1), (6, 1), (8, 2), (10, 2), (12, 2)]
        );
        let batch = Data::new(7, 16, &device::plain()).batch(0);
        let loss = model.loss(&batch).into_scalar::<f64>();
        assert!(
            (measured[0].base_loss.unwrap() - loss).abs() < 1e-6,
            "both had the same batch"
        );
        // The mean loss of two equal batches falls at half of ‖Δθ‖².
        let slope = measured[0].update_norm.unwrap().powi(2) / 2.0;
        assert!((measured[0].slope.unwrap() / slope - 1.0).abs() < 1e-4);
        // Drawn at the next tick that the dashboard keeps; the last has none left.
        assert_eq!(
            recorder.points("Critical Sharpness").len(),
            6,
            "{workers:?}"
        );
    }
}

#[test]
fn the_training_loss_serves_as_base_loss_where_it_agrees() {
    let train = |config: MlpConfig| {
        let folder = tempfile::tempdir().unwrap();
        let probe = in_folder(1, folder.path());
        let model = probe.attach(config.init(&device::autodiff()));
        Training::new(folder.path()).launch(model, sgd(), 0.1, Some(&probe));
        let measured = measurements(folder.path());
        let sources = measured.iter().map(|m| m.base_loss_source.unwrap());
        sources.collect::<Vec<_>>()
    };
    let config = MlpConfig::for_data();
    let sources = train(config.clone());
    // The first three measurements compare the two losses.
    assert!(
        sources[..3]
            .iter()
            .all(|source| *source == BaseLossSource::Evaluated)
    );
    let later = &sources[4..];
    assert!(later.contains(&BaseLossSource::Training), "{sources:?}");
    // With dropout, the training step computes another loss.
    let dropout = train(config.with_dropout(0.5));
    assert!(
        dropout
            .iter()
            .all(|source| *source == BaseLossSource::Evaluated)
    );
}

#[test]
fn metrics_tick_without_a_point_between_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    let training = Training::new(folder.path());
    let (_, recorder) = training.launch(probe.attach(model()), sgd(), 0.1, Some(&probe));

    let measured = measurements(folder.path());
    for quantity in Quantity::ALL {
        let ticks = recorder.ticks(quantity.name());
        assert_eq!(ticks.len(), 16, "{quantity:?}");
        assert!(matches!(ticks[7], Some(NumericEntry::Final(_))));
        let points = recorder.points(quantity.name());
        let expected: Vec<_> = measured
            .iter()
            .map(|m| (m.step as usize, quantity.of(m).unwrap()))
            .collect();
        assert_eq!(points, expected, "{quantity:?}");
    }
    let epoch: Vec<_> = measured[..3]
        .iter()
        .map(|m| m.critical_sharpness.unwrap())
        .collect();
    let mean = epoch.iter().sum::<f64>() / 3.0;
    let Some(NumericEntry::Final(value)) = recorder.ticks("Critical Sharpness")[7] else {
        panic!("the epoch ends with its mean");
    };
    assert!((value - mean).abs() <= 1e-12 * mean);
}

#[test]
fn points_of_accumulated_updates_fall_on_ticks_that_the_dashboard_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let training = Training {
        data: Data::new(24, 4, &device::autodiff()),
        accumulation: Some(4),
        epochs: 1,
        ..Training::new(folder.path())
    };
    let (_, recorder) = training.launch(probe.attach(model()), sgd(), 0.1, Some(&probe));
    // Drawn at the next multiple of 4; the last has none left.
    let points = recorder.points("Critical Sharpness");
    let ticks: Vec<_> = points.iter().map(|(tick, _)| *tick).collect();
    assert_eq!(ticks, [4, 8, 12, 16, 20]);
    assert_eq!(measurements(folder.path()).len(), 6);
}

#[test]
fn the_last_partial_update_of_an_epoch_reaches_the_charts() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let training = Training {
        data: Data::new(5, 4, &device::autodiff()),
        accumulation: Some(2),
        has_dashboard: true,
        ..Training::new(folder.path())
    };
    let (_, recorder) = training.launch(probe.attach(model()), sgd(), 0.1, Some(&probe));
    let measured = measurements(folder.path());
    let sharpness: Vec<_> = measured
        .iter()
        .map(|m| m.critical_sharpness.unwrap())
        .collect();
    assert_eq!(sharpness.len(), 6);
    let points = recorder.points("Critical Sharpness");
    let (ticks, values): (Vec<usize>, Vec<f64>) = points.into_iter().unzip();
    assert_eq!(values, sharpness);
    assert_eq!(ticks, [2, 4, 5, 6, 8, 9]);
    let chart = recorder.curve("λ_c (Train), 2/η (Test), log10", TRAIN_SERIES);
    let values: Vec<f64> = chart.into_iter().map(|(_, value)| value).collect();
    let expected: Vec<f64> = sharpness.iter().map(|value| value.log10()).collect();
    assert_eq!(values, expected);
    let ends = recorder.ticks("Critical Sharpness").into_iter().flatten();
    let means: Vec<f64> = ends
        .filter(|end| matches!(end, NumericEntry::Final(_)))
        .map(|end| end.current())
        .collect();
    let expected = sharpness
        .chunks(3)
        .map(|epoch| epoch.iter().sum::<f64>() / 3.0);
    for (mean, expected) in means.iter().zip(expected) {
        assert!((mean / expected - 1.0).abs() < 1e-12, "{mean} {expected}");
    }
    assert_eq!(means.len(), 2);
}

#[test]
fn the_metric_files_of_burn_hold_the_measured_points_only() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    Training::new(folder.path()).launch(probe.attach(model()), sgd(), 0.1, Some(&probe));
    for quantity in Quantity::ALL {
        let name = format!("{}.log", quantity.name().replace(' ', "_"));
        let log = folder.path().join("train").join("epoch-1").join(name);
        let log = std::fs::read_to_string(&log).unwrap();
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 4, "three points and the epoch's mean: {log}");
        assert!(lines[3].ends_with(",final"), "{log}");
    }
}

#[test]
fn a_warmup_from_almost_nothing_does_not_flatten_the_chart_of_the_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let scheduler = LinearLrSchedulerConfig::new(1e-10, 1e-1, 10);
    let scheduler = scheduler.init().unwrap();
    let training = Training::new(folder.path());
    let (_, recorder) = training.launch(probe.attach(model()), sgd(), scheduler, Some(&probe));

    let measured = measurements(folder.path());
    let far = |m: &&Measurement| m.edge_ratio().is_some_and(|ratio| ratio < 1e-3);
    let far_above = measured.iter().filter(far).count();
    assert!((1..=3).contains(&far_above), "{measured:?}");
    let points = recorder.points("Edge Threshold");
    assert_eq!(points.len(), measured.len() - far_above);
    assert!(points.iter().all(|(_, threshold)| *threshold < 1e4));
    let ratios = recorder.points("Edge Ratio");
    assert_eq!(ratios.len(), measured.len());
}

#[test]
fn a_warmup_that_starts_at_zero_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    // burn's linear schedule cannot start at 0, but it can end there.
    let scheduler = LinearLrSchedulerConfig::new(1e-3, 0.0, 1).init().unwrap();
    let optim = AdamWConfig::new().init();
    Training::new(folder.path()).launch(probe.attach(model()), optim, scheduler, Some(&probe));

    let measured = measurements(folder.path());
    let zero = measured
        .iter()
        .find(|m| m.learning_rate == Some(0.0))
        .unwrap();
    assert_eq!(zero.outcome, Bracketed, "{zero:?}");
    assert_eq!(zero.edge_ratio(), Some(0.0));
    assert_eq!(zero.edge_threshold(), None);
}
