//! Every row of the float64 oracles, reached by training in burn from the given weights.

use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_sharpness::{Measurement, MeasurementOutcome, SharpnessConfig, SharpnessProbe};
use sharpness_tests::{Fixture, Row};

#[test]
fn brackets_contain_the_critical_learning_rates_of_the_oracles() {
    let device = Device::flex().autodiff();
    let fixtures = Fixture::all();
    assert!(fixtures.len() >= 4, "gradient descent, momentum and AdamW");
    for (path, fixture) in fixtures {
        println!("{}", path.display());
        let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
        let (mut optim, learning_rate) = fixture.optimizer();
        let mut model = fixture.model(&device);
        let batch = fixture.batch(&device);
        let last = fixture.rows.iter().map(|row| row.step).max().unwrap();
        for step in 0..=last {
            let grads = GradientsParams::from_grads(model.loss(&batch).backward(), &model);
            let measurement = probe
                .measure(&model, &optim, learning_rate, &grads, |model| {
                    model.loss(&batch)
                })
                .unwrap();
            if let Some(row) = fixture.rows.iter().find(|row| row.step == step) {
                assert_agrees(&measurement, row);
            }
            model = optim.step(learning_rate, model, grads);
        }
    }
}

fn assert_agrees(measurement: &Measurement, row: &Row) {
    println!("{row:?} {measurement:?}");
    assert_eq!(measurement.outcome, MeasurementOutcome::Bracketed);
    let relative = |value: Option<f64>, exact: f64| (value.unwrap() / exact - 1.0).abs();
    assert!(relative(measurement.base_loss, row.loss) < 0.01);
    assert!(relative(measurement.slope, row.slope) < 0.01);

    let (lower, upper) = (measurement.lower.unwrap(), measurement.upper.unwrap());
    // Weights trained in 32 bits are not quite the oracle's.
    assert!(0.99 * lower <= row.critical_lr && row.critical_lr <= 1.01 * upper);
    let critical_lr = measurement.critical_lr.unwrap();
    assert!(lower <= critical_lr && critical_lr <= upper);
    let error = (critical_lr / row.critical_lr - 1.0).abs();
    let stated = measurement.critical_lr_error.unwrap();
    assert!(error <= 0.01, "{critical_lr} is {error} off");
    // After some hundred steps the weights alone make up to 0.05% of difference.
    assert!(
        error <= 3.0 * stated + 1e-3,
        "{error} where {stated} was stated"
    );
    assert_eq!(measurement.critical_sharpness, Some(2.0 / critical_lr));
}
