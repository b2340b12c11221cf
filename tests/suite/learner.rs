use sharpness_tests::prelude::*;

#[test]
fn measurements_are_made_at_run_wide_steps_over_epochs() {
    let measured = Ran::new(3, |_| {}).measured;
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
    let ran = Ran::new(1, |run| (run.accumulation, run.epochs) = (Some(3), 1));
    assert_eq!(ran.measured.len(), 3);
    let (model, data) = (model(), Data::new(7, 16, &device::autodiff()));
    let losses = (0..3).map(|index| model.loss(&data.batch(index)).into_scalar::<f64>());
    let first = &ran.measured[0];
    assert_near(first.base_loss, losses.sum::<f64>() / 3.0, 1e-6);
    // The direction is the sum of three gradients, so the mean loss falls at a third of ‖Δθ‖².
    let slope = first.update_norm.unwrap().powi(2) / 3.0;
    assert_near(first.slope, slope, 1e-4);
}

#[test]
fn updates_of_several_workers_are_measured_once_on_the_batches_of_all() {
    let both = [
        MultiDeviceOptim::OptimMainDevice,
        MultiDeviceOptim::OptimSharded,
    ];
    for workers in both {
        let folder = tempfile::tempdir().unwrap();
        let model = model();
        let train = |probe: Option<&SharpnessProbe>| {
            let training = Training::new(folder.path()).with(|run| run.workers = Some(workers));
            training.fit(model.clone(), sgd(), 0.1, probe)
        };
        let (bare, _) = train(None);
        let (probed, recorder) = train(Some(&in_folder(2, folder.path())));
        // On two devices of wgpu, burn's own training without a probe is not repeatable.
        let [first, second] = device::two();
        if first == second {
            assert_eq!(weights(&probed), weights(&bare), "{workers:?}");
        } else {
            println!("left out: the weights of {workers:?}, which differ from run to run");
        }

        let measured = measurements(folder.path());
        let steps: Vec<_> = measured.iter().map(|m| m.step).collect();
        assert_eq!(steps, [0, 2, 4, 6, 8, 10, 12]);
        assert!(measured.iter().all(|m| m.epoch == Some(m.step / 7 + 1)));
        let first = &measured[0];
        let loss = model.loss(&plain_batch_of(16)).into_scalar::<f64>();
        // Both had the same batch.
        assert_near(first.base_loss, loss, 1e-6);
        // The mean loss of two equal batches falls at half of ‖Δθ‖².
        let slope = first.update_norm.unwrap().powi(2) / 2.0;
        assert_near(first.slope, slope, 1e-4);
        // Drawn at the next tick that the dashboard keeps; the last has none left.
        let points = recorder.points("Critical Sharpness");
        assert_eq!(points.len(), 6, "{workers:?}");
    }
}

#[test]
fn the_training_loss_serves_as_base_loss_where_it_agrees() {
    let train = |config: MlpConfig| {
        let ran = Ran::every(1, (config.start(), sgd(), 0.1), |_| {});
        let sources = ran.measured.iter();
        let sources = sources.map(|m| m.base_loss_source.unwrap());
        sources.collect::<Vec<_>>()
    };
    let is_evaluated = |source: &BaseLossSource| *source == BaseLossSource::Evaluated;
    let sources = train(MlpConfig::for_data());
    // The first three measurements compare the two losses.
    assert!(sources[..3].iter().all(is_evaluated));
    let later = &sources[4..];
    assert!(later.contains(&BaseLossSource::Training), "{sources:?}");
    // With dropout, the training step computes another loss.
    let dropout = train(MlpConfig::for_data().with_dropout(0.5));
    assert!(dropout.iter().all(is_evaluated));
}

#[test]
fn an_output_layer_that_starts_at_zero_does_not_hide_dropout() {
    let network = MlpConfig::for_data().with_dropout(0.4).with_zero_head();
    let measured = Ran::every(1, (network.start(), adam(), 0.01), |_| {}).measured;
    assert_eq!(measured.len(), 14);
    for measurement in measured {
        let source = measurement.base_loss_source;
        assert_eq!(source, Some(BaseLossSource::Evaluated));
        assert_eq!(measurement.slope_source, Some(SlopeSource::Hint));
    }
}

#[test]
fn metrics_tick_without_a_point_between_measurements() {
    let (recorder, measured) = Ran::new(3, |_| {}).parts();
    for quantity in Quantity::ALL {
        let ticks = recorder.ticks(quantity.name());
        assert_eq!(ticks.len(), 16, "{quantity:?}");
        assert!(matches!(ticks[7], Some(NumericEntry::Final(_))));
        let points = recorder.points(quantity.name());
        let point = |m: &Measurement| (m.step as usize, quantity.of(m).unwrap());
        let expected: Vec<_> = measured.iter().map(point).collect();
        assert_eq!(points, expected, "{quantity:?}");
    }
    let epoch = measured[..3].iter().map(|m| m.critical_sharpness.unwrap());
    let mean = epoch.sum::<f64>() / 3.0;
    let Some(NumericEntry::Final(value)) = recorder.ticks("Critical Sharpness")[7] else {
        panic!("the epoch ends with its mean");
    };
    assert!((value - mean).abs() <= 1e-12 * mean);
}

#[test]
fn points_of_accumulated_updates_fall_on_ticks_that_the_dashboard_keeps() {
    let ran = Ran::new(1, |run| {
        run.data = Data::new(24, 4, &device::autodiff());
        (run.accumulation, run.epochs) = (Some(4), 1);
    });
    // Drawn at the next multiple of 4; the last has none left.
    let points = ran.recorder.points("Critical Sharpness");
    let ticks: Vec<_> = points.iter().map(|(tick, _)| *tick).collect();
    assert_eq!(ticks, [4, 8, 12, 16, 20]);
    assert_eq!(ran.measured.len(), 6);
}

#[test]
fn the_last_partial_update_of_an_epoch_reaches_the_charts() {
    let (recorder, measured) = Ran::new(1, |run| {
        run.data = Data::new(5, 4, &device::autodiff());
        run.accumulation = Some(2);
        run.has_dashboard = true;
    })
    .parts();
    let sharpness = measured.iter().map(|m| m.critical_sharpness.unwrap());
    let sharpness: Vec<f64> = sharpness.collect();
    assert_eq!(sharpness.len(), 6);
    let points = recorder.points("Critical Sharpness");
    let (ticks, values): (Vec<usize>, Vec<f64>) = points.into_iter().unzip();
    assert_eq!(values, sharpness);
    assert_eq!(ticks, [2, 4, 5, 6, 8, 9]);
    let values = recorder.values("λ_c (Train), 2/η (Test), log10", TRAIN_SERIES);
    let expected: Vec<f64> = sharpness.iter().map(|value| value.log10()).collect();
    assert_eq!(values, expected);
    let mut ends = recorder.ticks("Critical Sharpness");
    ends.retain(|end| matches!(end, Some(NumericEntry::Final(_))));
    assert_eq!(ends.len(), 2);
    for (end, epoch) in ends.into_iter().flatten().zip(sharpness.chunks(3)) {
        assert_near(end.current(), epoch.iter().sum::<f64>() / 3.0, 1e-12);
    }
}

#[test]
fn the_metric_files_of_burn_hold_the_measured_points_only() {
    let ran = Ran::new(3, |_| {});
    for quantity in Quantity::ALL {
        let name = format!("{}.log", quantity.name().replace(' ', "_"));
        let log = ran.folder.path().join("train/epoch-1").join(name);
        let log = std::fs::read_to_string(&log).unwrap();
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 4, "three points and the epoch's mean: {log}");
        assert!(lines[3].ends_with(",final"), "{log}");
    }
}

#[test]
fn a_warmup_from_almost_nothing_does_not_flatten_the_chart_of_the_threshold() {
    let warmup = LinearLrSchedulerConfig::new(1e-10, 1e-1, 10).init();
    let start = (model(), sgd(), warmup.unwrap());
    let (recorder, measured) = Ran::every(1, start, |_| {}).parts();
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
    // burn's linear schedule cannot start at 0, but it can end there.
    let scheduler = LinearLrSchedulerConfig::new(1e-3, 0.0, 1).init().unwrap();
    let measured = Ran::every(1, (model(), adamw(), scheduler), |_| {}).measured;
    let zero = measured.iter().find(|m| m.learning_rate == Some(0.0));
    let zero = zero.unwrap();
    assert_eq!(zero.outcome, Bracketed, "{zero:?}");
    assert_eq!(zero.edge_ratio(), Some(0.0));
    assert_eq!(zero.edge_threshold(), None);
}
