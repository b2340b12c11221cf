use sharpness_tests::prelude::*;

fn square(point: &Point, factor: f64) -> Tensor<1> {
    (point.theta.val().square() * factor).sum()
}

#[test]
fn the_points_lie_on_the_line_in_closed_form() {
    let config = SharpnessConfig::new().with_every(1).with_lines(true);
    let probe = SharpnessProbe::builder(config).with_task("other", vec![5.0], square);
    let probe = probe.build().unwrap();
    let point = Point::at([2.0]);
    let grads = GradientsParams::from_grads(square(&point, 3.0).backward(), &point);
    let training = probe.measure(&point, &sgd(), 0.1, &grads, |point| square(point, 3.0));

    // The gradient of 3θ² at 2 is 12: any factor times (2 − 12η)² − 4.
    for (measurement, factor) in [
        (training.unwrap(), 3.0),
        (probe.latest("other").unwrap(), 5.0),
    ] {
        let points = measurement.line.as_ref().unwrap();
        assert_eq!(points.len(), measurement.evaluations);
        for point in points {
            let (eta, rise) = (point.learning_rate, point.rise.unwrap());
            let loss = factor * (2.0 - 12.0 * eta) * (2.0 - 12.0 * eta);
            let rounding = 1e-6 * (loss + 4.0 * factor);
            assert!((rise - (loss - 4.0 * factor)).abs() < rounding, "{point:?}");
            assert!(point.error.unwrap() > 0.0);
        }
        let rise_at = |eta: Option<f64>| {
            let mut points = points.iter();
            let point = points.find(|point| Some(point.learning_rate) == eta);
            point.unwrap().rise.unwrap()
        };
        assert!(rise_at(measurement.lower) <= 0.0 && rise_at(measurement.upper) > 0.0);
    }
}

#[test]
fn keeping_them_changes_nothing_else() {
    let trained = |lines: bool| {
        let probe = |config: SharpnessConfig| probe_of(config.with_every(2).with_lines(lines));
        let ran = Ran::of(probe, (model(), sgd(), 0.1), |_| {});
        let record = std::fs::read_to_string(ran.folder.path().join(MEASUREMENTS_FILE));
        (weights(&ran.model), ran.measured, record.unwrap())
    };
    let (bare, expected, record) = trained(false);
    let (kept, measured, _) = trained(true);
    assert_eq!(bare, kept);
    assert!(!record.contains("\"line\""), "{record}");
    assert_same_records(&measured, &expected, &["line"]);
    for measured in measured {
        assert_eq!(measured.line.unwrap().len(), measured.evaluations);
    }
}
