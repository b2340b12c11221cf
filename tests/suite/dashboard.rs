use sharpness_tests::prelude::*;

const CHART: &str = "λ_c (Train), 2/η (Test), log10";

/// A run with the chart.
fn drawn(
    rate: impl Into<ModuleLrScheduler>,
    every: u64,
    change: impl FnOnce(&mut Training),
) -> Ran {
    Ran::every(every, (model(), sgd(), rate), |run| {
        run.has_dashboard = true;
        change(run);
    })
}

fn logarithms(measured: &[Measurement], of: fn(&Measurement) -> Option<f64>) -> Vec<f64> {
    measured.iter().map(|m| of(m).unwrap().log10()).collect()
}

fn ticks(recorder: &Recorder, series: &str) -> Vec<usize> {
    let curve = recorder.curve(CHART, series).into_iter();
    curve.map(|(tick, _)| tick).collect()
}

#[track_caller]
fn assert_draws_sharpness(recorder: &Recorder, measured: &[Measurement]) {
    let sharpness = logarithms(measured, |m| m.critical_sharpness);
    assert_eq!(recorder.values(CHART, TRAIN_SERIES), sharpness);
}

#[track_caller]
fn assert_draws_ratios(recorder: &Recorder, measured: &[Measurement]) {
    let ratios: Vec<f64> = measured.iter().filter_map(|m| m.edge_ratio()).collect();
    let name = Quantity::EdgeRatio.name();
    assert_eq!(recorder.values(name, TRAIN_SERIES), ratios);
}

#[test]
fn both_curves_have_a_point_a_measurement_on_a_logarithmic_scale() {
    let (recorder, measured) = drawn(0.1, 3, |_| {}).parts();
    assert_draws_sharpness(&recorder, &measured);
    // The first 2/η is more than ten times λ_c, and a warmup may follow.
    assert_eq!(
        recorder.values(CHART, "2/η"),
        logarithms(&measured[1..], Measurement::edge_threshold)
    );
    // Two curves take three ticks: with an odd number, each falls on every power of two.
    assert_eq!(ticks(&recorder, TRAIN_SERIES), [0, 3, 6, 9, 12]);
    assert_eq!(ticks(&recorder, "2/η"), [4, 7, 10, 13]);
    assert_eq!(recorder.chart(CHART).len(), 14);

    let text = recorder.text(CHART, TRAIN_SERIES);
    assert!(text.starts_with("λ_c "), "{text}");
    assert_says(&text, " at step 12");
    let last = measured.last().unwrap();
    assert_eq!(last.at_edge().is_some(), text.contains("edge"), "{text}");
    let text = recorder.text(CHART, "2/η");
    assert!(text.starts_with("20.000 (\"Test\" is burn's"), "{text}");
}

#[test]
fn all_else_reaches_the_renderer_as_it_is() {
    let wrapped = drawn(0.1, 3, |_| {});
    let bare = Ran::new(3, |_| {});
    assert_eq!(weights(&wrapped.model), weights(&bare.model));
    let (recorder, expected) = (wrapped.recorder, bare.recorder);
    assert_eq!(recorder.events(), expected.events());
    let registered = recorder.registered();
    assert_eq!(registered[0], CHART, "burn's dashboard opens with it");
    assert_eq!(registered[1..], expected.registered());
    let metrics = expected.registered().into_iter();
    for metric in metrics.filter(|metric| metric != Quantity::EdgeRatio.name()) {
        assert_eq!(recorder.chart(&metric), expected.chart(&metric), "{metric}");
        let [text, expected] = [&recorder, &expected].map(|of| of.text(&metric, TRAIN_SERIES));
        assert_eq!(text, expected);
    }
}

#[test]
fn the_chart_of_the_edge_ratio_has_a_line_at_1() {
    let (recorder, measured) = drawn(0.1, 2, |_| {}).parts();
    let name = Quantity::EdgeRatio.name();
    assert_draws_ratios(&recorder, &measured);
    assert_eq!(recorder.values(name, "edge"), [1.0; 7]);
    assert_says(&recorder.text(name, TRAIN_SERIES), "epoch mean");
    let text = recorder.text(name, "edge");
    assert!(text.starts_with("1 (\"Test\" is burn's word"), "{text}");
}

#[test]
fn a_warmup_leaves_critical_sharpness_its_room() {
    let (warmup, peak) = (20, 1.0);
    let scheduler = LinearLrSchedulerConfig::new(1e-10, peak, warmup);
    let ran = drawn(scheduler.init().unwrap(), 1, |run| run.epochs = 5);
    let measured = ran.measured;
    let [thresholds, sharpness] =
        ["2/η", TRAIN_SERIES].map(|series| ran.recorder.values(CHART, series));
    assert_eq!(sharpness.len(), measured.len());
    // 2/η is drawn while the rate is constant, and earlier while it is near.
    let peak = (2.0 / peak).log10();
    let is_at_peak = |value: &&f64| (**value - peak).abs() < 1e-9;
    let at_peak = thresholds.iter().filter(is_at_peak).count();
    assert!(at_peak + 1 >= measured.len() - warmup);
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
    let text_at = |rate: f64| {
        let ran = drawn(rate, 100, |_| {});
        let metrics = [CHART, Quantity::CriticalSharpness.name()];
        let texts = metrics.map(|metric| ran.recorder.text(metric, TRAIN_SERIES));
        (ran.measured[0].critical_lr.unwrap(), texts)
    };
    let (critical, texts) = text_at(0.01);
    assert!(texts.iter().all(|text| !text.contains("edge")), "{texts:?}");
    for (share, expected) in [(0.8, "at 0.8"), (1.5, "past the edge, at 1.5")] {
        let (_, texts) = text_at(share * critical);
        texts.iter().for_each(|text| assert_says(text, expected));
    }
}

#[test]
fn a_threshold_far_above_is_told_and_not_drawn() {
    let recorder = drawn(1e-8, 3, |_| {}).recorder;
    assert!(recorder.curve(CHART, "2/η").is_empty());
    assert!(!recorder.curve(CHART, TRAIN_SERIES).is_empty());
    let text = recorder.text(CHART, "2/η");
    assert_eq!(text, "200000000.000, above the chart");
}

#[test]
fn tasks_are_curves_of_the_same_chart_under_their_names() {
    let probe = |config: SharpnessConfig| {
        SharpnessProbe::builder(config.with_every(2))
            .with_task("small", vec![plain_batch_of(8)], task_loss)
            .with_task("large", vec![plain_batch_of(64)], task_loss)
            .build()
            .unwrap()
    };
    let run = Ran::of(probe, (model(), sgd(), 0.1), |run| run.has_dashboard = true);
    let (recorder, measured) = run.parts();
    let chart = recorder.chart(CHART);
    assert_eq!(chart.len(), 6 * 5 + 4);
    for block in chart.chunks(5) {
        for ((series, value), of) in block.iter().zip([TRAIN_SERIES, "2/η", "small", "large"]) {
            assert!(value.is_none() || series == of, "{block:?}");
        }
        assert!(block.get(4).is_none_or(|tick| tick.1.is_none()));
    }
    for task in ["small", "large"] {
        let mut of_task = measured.clone();
        of_task.retain(|m| m.task == task && m.critical_sharpness.is_some());
        let expected = logarithms(&of_task, |m| m.critical_sharpness);
        assert!(!expected.is_empty());
        assert_eq!(recorder.values(CHART, task), expected);
        assert_says(&recorder.text(CHART, task), "step 12");
    }
}

#[test]
fn what_gave_no_number_is_a_tick_without_a_point_and_is_named() {
    let recorder = drawn(0.1, 1, |run| {
        run.data = Data::new(7, 16, &device::autodiff()).with_poisoned(3);
        run.epochs = 1;
    })
    .recorder;
    assert_eq!(ticks(&recorder, TRAIN_SERIES), [0, 3, 6]);
    let threshold = ticks(&recorder, "2/η");
    assert_eq!(threshold, [4, 7, 10, 13, 16, 19], "is known without λ_c");
    for metric in [CHART, Quantity::CriticalSharpness.name()] {
        let text = recorder.text(metric, TRAIN_SERIES);
        assert_says(&text, "none since step 3: ");
    }
}

#[test]
fn a_resumed_run_is_drawn_whole() {
    let folder = tempfile::tempdir().unwrap();
    let run = |epochs, checkpoint| {
        let training = Training::new(folder.path()).with(|run| {
            (run.epochs, run.checkpoint) = (epochs, checkpoint);
            run.has_dashboard = true;
        });
        let probe = in_folder(2, folder.path());
        let (_, recorder) = training.fit(model(), sgd(), 0.1, Some(&probe));
        (recorder, measurements(folder.path()))
    };
    let (_, before) = run(1, None);
    let (recorder, measured) = run(3, Some(1));
    assert_eq!((before.len(), measured.len()), (4, 11));
    assert_draws_sharpness(&recorder, &measured);
    assert_draws_ratios(&recorder, &measured);
    assert_says(&recorder.text(CHART, TRAIN_SERIES), " at step 20");
}

#[test]
fn accumulated_updates_have_a_point_each() {
    let ran = drawn(0.1, 1, |run| run.accumulation = Some(3));
    assert_eq!(ran.measured.len(), 6, "three an epoch of seven batches");
    assert_draws_sharpness(&ran.recorder, &ran.measured);
}
