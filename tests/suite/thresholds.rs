use sharpness_tests::prelude::*;

const SGD: Thresholds = Thresholds::HeavyBall {
    momentum: 0.9,
    dampening: 0.1,
};

fn loss(point: &Point, sharpness: f64) -> Tensor<1> {
    (point.theta.val().square() * (0.5 * sharpness)).sum()
}

/// Measures at a point of sharpness 1.
fn measured(probe: &SharpnessProbe, optim: &ModuleOptimizer, rate: f64) -> Arc<Measurement> {
    let start = Point::at([1.0]);
    let grads = GradientsParams::from_grads(loss(&start, 1.0).backward(), &start);
    let measured = probe.measure(&start, optim, rate, &grads, |point| loss(point, 1.0));
    measured.unwrap()
}

#[test]
fn burns_momentum_is_stable_just_below_its_threshold_and_not_above() {
    let rate = 0.1;
    let config = SharpnessConfig::new().with_thresholds(SGD);
    let measured = measured(&probe_of(config), &momentum(), rate);
    let threshold = measured.large_batch_threshold.unwrap();
    let small = measured.small_batch_threshold.unwrap();
    assert!((small / threshold - 0.1 / 1.9).abs() < 1e-9);
    assert_eq!(measured.adam_threshold, None);

    for (factor, is_stable) in [(0.97, true), (1.03, false)] {
        let (mut point, mut optim) = (Point::at([1.0]), momentum());
        for _ in 0..1500 {
            let grads = loss(&point, factor * threshold).backward();
            let grads = GradientsParams::from_grads(grads, &point);
            point = optim.step(rate, point, grads);
        }
        let end = point.theta.val().into_scalar::<f64>().abs();
        // An overflow is not below either.
        assert_eq!(end < 1.0, is_stable, "{factor}: {end}");
    }
}

#[test]
fn without_momentum_both_are_the_edge_of_gradient_descent() {
    let thresholds = Thresholds::HeavyBall {
        momentum: 0.0,
        dampening: 0.0,
    };
    let config = SharpnessConfig::new().with_thresholds(thresholds);
    for (rate, expected) in [(0.1, Some(20.0)), (0.0, None)] {
        let measured = measured(&probe_of(config.clone()), &sgd(), rate);
        assert_eq!(measured.large_batch_threshold, expected);
        assert_eq!(measured.small_batch_threshold, expected);
        assert_eq!(measured.edge_threshold(), expected);
    }
}

#[test]
fn the_charts_of_the_curvature_have_lines_of_their_own() {
    let names = [Quantity::HessianSharpness, Quantity::DirectionalSharpness].map(|q| q.name());
    for thresholds in [None, Some(SGD)] {
        let probe = |config: SharpnessConfig| {
            let config = config.with_every(1);
            let config = config.with_curvature(CurvatureConfig::new(2));
            probe_of(match thresholds {
                Some(thresholds) => config.with_thresholds(thresholds),
                None => config,
            })
        };
        let start = (model(), momentum(), 1.0);
        let ran = Ran::of(probe, start, |run| run.has_dashboard = true);
        let (recorder, measured) = ran.parts();
        let with_curvature = || measured.iter().filter(|m| m.curvature.is_some());
        for (name, symbol) in names.into_iter().zip(["2(1+β)/η", "2/η"]) {
            let line = recorder.curve(name, symbol);
            if thresholds.is_none() {
                assert!(line.is_empty(), "{name}");
                continue;
            }
            let exact = if symbol == "2/η" { 2.0 } else { 3.8 / 0.9 };
            assert!(!line.is_empty() && line.len() <= with_curvature().count());
            assert!(line.iter().all(|(_, value)| (value - exact).abs() < 1e-9));
        }
        let expected = with_curvature().filter_map(|m| Quantity::HessianSharpness.of(m));
        let expected: Vec<f64> = expected.collect();
        assert_eq!(recorder.values(names[0], TRAIN_SERIES), expected);
    }
}
