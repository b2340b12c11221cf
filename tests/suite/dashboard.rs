//! The chart of λ_c and 2/η, as a wrapped renderer receives it.

use sharpness_tests::prelude::*;

const CHART: &str = "λ_c (Train), 2/η (Test), log10";

fn loss(model: &Mlp, batch: Batch) -> Tensor<1> {
    model.loss(&batch)
}

fn run(training: Training, learning_rate: f64, probe: &SharpnessProbe) -> (Mlp, Recorder) {
    let training = Training {
        has_dashboard: true,
        ..training
    };
    let (model, recorder) =
        training.launch(probe.attach(model()), sgd(), learning_rate, Some(probe));
    (model.into_inner(), recorder)
}

fn logarithms(measured: &[Measurement], of: fn(&Measurement) -> Option<f64>) -> Vec<f64> {
    measured.iter().map(|m| of(m).unwrap().log10()).collect()
}

fn values(curve: &[(usize, f64)]) -> Vec<f64> {
    curve.iter().map(|point| point.1).collect()
}

fn ticks(curve: &[(usize, f64)]) -> Vec<usize> {
    curve.iter().map(|point| point.0).collect()
}

#[test]
fn both_curves_have_a_point_a_measurement_on_a_logarithmic_scale() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    let (_, recorder) = run(Training::new(folder.path()), 0.1, &probe);

    let measured = measurements(folder.path());
    let sharpness = recorder.curve(CHART, TRAIN_SERIES);
    let threshold = recorder.curve(CHART, "2/η");
    assert_eq!(
        values(&sharpness),
        logarithms(&measured, |m| m.critical_sharpness)
    );
    // The first 2/η is more than ten times λ_c, and a warmup may follow.
    assert_eq!(
        values(&threshold),
        logarithms(&measured[1..], Measurement::edge_threshold)
    );
    // Two curves take three ticks: with an odd number, each falls on every power of two.
    assert_eq!(ticks(&sharpness), [0, 3, 6, 9, 12]);
    assert_eq!(ticks(&threshold), [4, 7, 10, 13]);
    assert_eq!(recorder.chart(CHART).len(), 14);

    let last = measured.last().unwrap();
    let text = recorder.text(CHART, TRAIN_SERIES);
    assert!(
        text.starts_with("λ_c ") && text.contains(" at step 12"),
        "{text}"
    );
    assert_eq!(last.at_edge().is_some(), text.contains("edge"), "{text}");
    let text = recorder.text(CHART, "2/η");
    assert!(
        text.starts_with("20.000 (\"Test\" is burn's word"),
        "{text}"
    );
}

#[test]
fn all_else_reaches_the_renderer_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let bare_folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    let (wrapped, recorder) = run(Training::new(folder.path()), 0.1, &probe);
    let probe = in_folder(3, bare_folder.path());
    let training = Training::new(bare_folder.path());
    let (bare, expected) = training.launch(probe.attach(model()), sgd(), 0.1, Some(&probe));

    assert_eq!(weights(&wrapped), weights(&bare.into_inner()));
    assert_eq!(recorder.events(), expected.events());
    let registered = recorder.registered();
    assert_eq!(
        registered[0], CHART,
        "burn opens the dashboard with the first"
    );
    assert_eq!(registered[1..], expected.registered());
    let metrics = expected.registered().into_iter();
    for metric in metrics.filter(|metric| metric != Quantity::EdgeRatio.name()) {
        assert_eq!(recorder.chart(&metric), expected.chart(&metric), "{metric}");
        assert_eq!(
            recorder.text(&metric, TRAIN_SERIES),
            expected.text(&metric, TRAIN_SERIES)
        );
    }
}

#[test]
fn the_chart_of_the_edge_ratio_has_a_line_at_1() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(2, folder.path());
    let (_, recorder) = run(Training::new(folder.path()), 0.1, &probe);

    let name = Quantity::EdgeRatio.name();
    let measured = measurements(folder.path());
    let ratios: Vec<f64> = measured.iter().filter_map(|m| m.edge_ratio()).collect();
    assert_eq!(values(&recorder.curve(name, TRAIN_SERIES)), ratios);
    assert_eq!(values(&recorder.curve(name, "edge")), vec![1.0; 7]);
    assert!(recorder.text(name, TRAIN_SERIES).contains("epoch mean"));
    assert!(
        recorder
            .text(name, "edge")
            .starts_with("1 (\"Test\" is burn's word")
    );
}

#[test]
fn a_warmup_leaves_critical_sharpness_its_room() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let (warmup, peak) = (20, 1.0);
    let scheduler = LinearLrSchedulerConfig::new(1e-10, peak, warmup);
    let training = Training {
        epochs: 5,
        has_dashboard: true,
        ..Training::new(folder.path())
    };
    let model = probe.attach(model());
    let (_, recorder) = training.launch(model, sgd(), scheduler.init().unwrap(), Some(&probe));

    let measured = measurements(folder.path());
    let thresholds = values(&recorder.curve(CHART, "2/η"));
    let sharpness = values(&recorder.curve(CHART, TRAIN_SERIES));
    assert_eq!(sharpness.len(), measured.len());
    // 2/η is drawn while the rate is constant, and earlier while it is near.
    let peak = (2.0 / peak).log10();
    let at_peak = thresholds
        .iter()
        .filter(|value| (**value - peak).abs() < 1e-9);
    assert!(at_peak.count() + 1 >= measured.len() - warmup);
    assert!(thresholds.len() < measured.len());
    let highest = |of: &[f64]| of.iter().copied().fold(f64::MIN, f64::max);
    let of_first = measured[0].edge_threshold().unwrap();
    assert!(of_first > 1e9, "{of_first}");
    let room = highest(&thresholds).max(highest(&sharpness)) - highest(&sharpness);
    assert!(room <= 1.0, "{room} decades above it");
}

#[test]
fn a_run_near_the_edge_and_past_it_says_so() {
    // λ_c stays, 2/η moves past it.
    let text_at = |learning_rate: f64| {
        let folder = tempfile::tempdir().unwrap();
        let probe = in_folder(100, folder.path());
        let (_, recorder) = run(Training::new(folder.path()), learning_rate, &probe);
        let critical = measurements(folder.path())[0].critical_lr.unwrap();
        let name = Quantity::CriticalSharpness.name();
        let texts = [(CHART, TRAIN_SERIES), (name, TRAIN_SERIES)]
            .map(|(metric, series)| recorder.text(metric, series));
        (critical, texts)
    };
    let (critical, texts) = text_at(0.01);
    assert!(texts.iter().all(|text| !text.contains("edge")), "{texts:?}");
    for (share, expected) in [(0.8, "at 0.8"), (1.5, "past the edge, at 1.5")] {
        let (_, texts) = text_at(share * critical);
        assert!(
            texts.iter().all(|text| text.contains(expected)),
            "{texts:?}"
        );
    }
}

#[test]
fn a_threshold_far_above_is_told_and_not_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    let (_, recorder) = run(Training::new(folder.path()), 1e-8, &probe);
    assert!(recorder.curve(CHART, "2/η").is_empty());
    assert!(!recorder.curve(CHART, TRAIN_SERIES).is_empty());
    let text = recorder.text(CHART, "2/η");
    assert_eq!(text, "200000000.000, above the chart");
}

#[test]
fn tasks_are_curves_of_the_same_chart_under_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let batches = |examples| vec![Data::new(1, examples, &device::plain()).batch(0)];
    let config = SharpnessConfig::new()
        .with_every(2)
        .with_directory(folder.path());
    let probe = SharpnessProbe::builder(config)
        .with_task("small", batches(8), loss)
        .with_task("large", batches(64), loss)
        .build()
        .unwrap();
    let (_, recorder) = run(Training::new(folder.path()), 0.1, &probe);

    let chart = recorder.chart(CHART);
    let measured = measurements(folder.path());
    assert_eq!(chart.len(), 6 * 5 + 4);
    for block in chart.chunks(5) {
        for ((series, value), expected) in block.iter().zip([TRAIN_SERIES, "2/η", "small", "large"])
        {
            assert!(value.is_none() || series == expected, "{block:?}");
        }
        assert!(block.get(4).is_none_or(|tick| tick.1.is_none()));
    }
    for task in ["small", "large"] {
        let of_task: Vec<Measurement> = measured
            .iter()
            .filter(|m| m.task == task && m.critical_sharpness.is_some())
            .cloned()
            .collect();
        let expected = logarithms(&of_task, |m| m.critical_sharpness);
        assert!(!expected.is_empty());
        assert_eq!(values(&recorder.curve(CHART, task)), expected);
        assert!(recorder.text(CHART, task).contains("step 12"));
    }
}

#[test]
fn what_gave_no_number_is_a_tick_without_a_point_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let training = Training {
        data: Data::new(7, 16, &device::autodiff()).with_poisoned(3),
        epochs: 1,
        ..Training::new(folder.path())
    };
    let (_, recorder) = run(training, 0.1, &probe);

    assert_eq!(ticks(&recorder.curve(CHART, TRAIN_SERIES)), [0, 3, 6]);
    let threshold = ticks(&recorder.curve(CHART, "2/η"));
    assert_eq!(
        threshold,
        [4, 7, 10, 13, 16, 19],
        "2/η is known without λ_c"
    );
    for metric in [CHART, Quantity::CriticalSharpness.name()] {
        let text = recorder.text(metric, TRAIN_SERIES);
        assert!(text.contains("none since step 3: "), "{text}");
    }
}

#[test]
fn a_resumed_run_is_drawn_whole() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(2, folder.path());
    let training = Training {
        epochs: 1,
        ..Training::new(folder.path())
    };
    run(training, 0.1, &probe);
    drop(probe);
    let before = measurements(folder.path());
    let probe = in_folder(2, folder.path());
    let training = Training {
        epochs: 3,
        checkpoint: Some(1),
        ..Training::new(folder.path())
    };
    let (_, recorder) = run(training, 0.1, &probe);

    let measured = measurements(folder.path());
    assert_eq!((before.len(), measured.len()), (4, 11));
    assert_eq!(
        values(&recorder.curve(CHART, TRAIN_SERIES)),
        logarithms(&measured, |m| m.critical_sharpness)
    );
    let ratios: Vec<f64> = measured.iter().filter_map(|m| m.edge_ratio()).collect();
    let ratio = Quantity::EdgeRatio.name();
    assert_eq!(values(&recorder.curve(ratio, TRAIN_SERIES)), ratios);
    assert!(recorder.text(CHART, TRAIN_SERIES).contains(" at step 20"));
}

#[test]
fn accumulated_updates_have_a_point_each() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let training = Training {
        accumulation: Some(3),
        ..Training::new(folder.path())
    };
    let (_, recorder) = run(training, 0.1, &probe);
    let measured = measurements(folder.path());
    assert_eq!(measured.len(), 6, "three updates an epoch of seven batches");
    assert_eq!(
        values(&recorder.curve(CHART, TRAIN_SERIES)),
        logarithms(&measured, |m| m.critical_sharpness)
    );
}
