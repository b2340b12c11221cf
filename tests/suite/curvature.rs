//! The curvature that critical sharpness stands for, against float64 oracles and closed forms.

use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_sharpness::hessian::{CurvatureConfig, CurvatureOutcome, CurvatureValue, SpectrumConfig};
use burn_sharpness::{SharpnessConfig, SharpnessProbe};
use sharpness_tests::Fixture;

#[test]
fn curvatures_agree_with_the_oracles_or_say_why_not() {
    let device = Device::flex().autodiff();
    for (path, fixture) in Fixture::all() {
        println!("{}", path.display());
        let curvature = CurvatureConfig {
            spectrum: SpectrumConfig {
                max_products: 200,
                ..SpectrumConfig::default()
            },
            preconditioner: fixture.preconditioner(),
            ..CurvatureConfig::new(1)
        };
        let config = SharpnessConfig::new()
            .with_every(1)
            .with_curvature(curvature);
        let probe = SharpnessProbe::new(config).unwrap();
        let (mut optim, learning_rate) = fixture.optimizer();
        let mut model = fixture.model(&device);
        let batch = fixture.batch(&device);
        let last = fixture.rows.iter().map(|row| row.step).max().unwrap();
        for step in 0..=last {
            let grads = GradientsParams::from_grads(model.loss(&batch).backward(), &model);
            if let Some(row) = fixture.rows.iter().find(|row| row.step == step) {
                probe.set_step(step);
                let measured =
                    probe.measure_with_curvature(&model, &optim, learning_rate, &grads, |model| {
                        model.loss(&batch)
                    });
                let curvature = measured.unwrap().curvature.clone().unwrap();
                let check = |name: &str, value: &CurvatureValue, exact: f64, tolerance: f64| {
                    println!(
                        "  step {step} {name}: {:?} {:?} exact {exact} ratio {:?} error {:?} residual {:?} {:?}",
                        value.outcome,
                        value.value,
                        value.value.map(|value| value / exact - 1.0),
                        value.relative_error,
                        value.residual,
                        value.reason,
                    );
                    match value.value {
                        Some(value) => assert!((value / exact - 1.0).abs() < tolerance),
                        None => assert_ne!(value.outcome, CurvatureOutcome::Measured),
                    }
                };
                check(
                    "λ_dir",
                    &curvature.directional_sharpness,
                    row.directional_sharpness,
                    0.02,
                );
                check(
                    "λ_max",
                    &curvature.hessian_sharpness,
                    row.hessian_sharpness,
                    0.01,
                );
                if let (Some(value), Some(exact)) = (
                    &curvature.preconditioned_sharpness,
                    row.preconditioned_sharpness,
                ) {
                    check("λ_pre", value, exact, 0.02);
                }
                println!("  {} gradients", curvature.gradients);
            }
            model = optim.step(learning_rate, model, grads);
        }
    }
}
