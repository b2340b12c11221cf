use sharpness_tests::prelude::*;

/// The largest relative rounding of a resolved η_c.
const RESOLVED: f64 = 0.003;

#[test]
fn the_critical_learning_rates_are_those_of_the_oracles() {
    let fixtures = Fixture::all();
    assert!(fixtures.len() >= 4, "gradient descent, momentum and AdamW");
    let mut resolved = 0;
    for (path, fixture) in fixtures {
        println!("{}", path.display());
        // Without the training step's loss, the slope is a hint.
        for with_training_loss in [false, true] {
            let probe = every(1);
            fixture.train(|_, row, at| {
                let measured = match with_training_loss {
                    true => at.measure_told(&probe),
                    false => at.measure(&probe),
                };
                if let Some(row) = row {
                    resolved += usize::from(assert_agrees(&measured, row));
                }
            });
        }
    }
    println!("{resolved} rows are resolved");
    assert!(resolved >= 40);
}

fn is_resolved(row: &Row) -> bool {
    let resolution = 4.0 * f64::from(f32::EPSILON) * row.loss;
    resolution <= RESOLVED * row.slope * row.critical_lr
}

fn assert_agrees(measurement: &Measurement, row: &Row) -> bool {
    println!("{row:?} {measurement:?}");
    assert_near(measurement.base_loss, row.loss, device::ORACLE);
    let is_resolved = is_resolved(row);
    if is_resolved {
        assert_near(measurement.slope, row.slope, device::ORACLE);
        assert_eq!(measurement.outcome, Bracketed);
    }
    if measurement.outcome != Bracketed {
        assert_eq!(measurement.critical_lr, None);
        return is_resolved;
    }
    let (lower, upper) = (measurement.lower.unwrap(), measurement.upper.unwrap());
    let critical_lr = measurement.critical_lr.unwrap();
    assert!(lower <= critical_lr && critical_lr <= upper);
    assert_eq!(measurement.critical_sharpness, Some(2.0 / critical_lr));
    let error = (critical_lr / row.critical_lr - 1.0).abs();
    let stated = measurement.critical_lr_error.unwrap();
    let drift = device::drift();
    let most = 3.0 * stated + drift;
    assert!(error <= most, "{error} where {stated} was stated");
    if is_resolved {
        assert!(error <= device::ORACLE, "{critical_lr} is {error} off");
        assert!((1.0 - drift) * lower <= row.critical_lr);
        assert!(row.critical_lr <= (1.0 + drift) * upper);
    }
    is_resolved
}
