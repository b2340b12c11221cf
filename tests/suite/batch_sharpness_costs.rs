//! Compares the cost and the error of gᵀHg/‖g‖² of a batch, in three ways, against float64. The book quotes the table:
//! `cargo test --workspace --test suite -- --ignored --nocapture batch_sharpness_costs`

use crate::float64::curvature::product;
use crate::float64::network::{Loss, Network, dot};
use crate::float64::{parameters, rows};
use sharpness_tests::prelude::*;

/// The lengths of a step along the gradient, as parts of ‖θ‖.
const STEPS: [f64; 6] = [1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4];
/// In forward passes.
const GRADIENT: f64 = 3.0;

fn exact(fixture: &Fixture, theta: &[f64], batch: &Batch) -> f64 {
    let classes = batch.y.to_data();
    let network = Network {
        layers: fixture.layers.clone(),
        loss: match fixture.loss {
            LossKind::Xent => Loss::CrossEntropy,
            LossKind::Mse => Loss::SquaredDistance,
        },
        inputs: rows(&batch.x),
        classes: classes.iter::<i64>().map(|y| y as usize).collect(),
    };
    let gradient = network.gradient(theta);
    dot(&gradient, &product(&network, theta, &gradient)) / dot(&gradient, &gradient)
}

/// The name, the values of the batches, and the passes for each.
type Way = (String, Vec<f64>, f64);

fn ways(model: &Mlp, batches: &[Batch]) -> Vec<Way> {
    let squares = values(model).into_iter().map(|v| f64::from(v).powi(2));
    let norm_of_weights = squares.sum::<f64>().sqrt();
    let product = |model: &Mlp, a: &GradientsParams, b: &GradientsParams| {
        dot(&numbers(model, a), &numbers(model, b))
    };
    let mut ways = Vec::new();
    for step in STEPS {
        let (mut by_gradients, mut by_losses) = (Vec::new(), Vec::new());
        for batch in batches {
            let grads = gradients(model, batch);
            let square = product(model, &grads, &grads);
            let rate = step * norm_of_weights / square.sqrt();
            let moved =
                |rate: f64| sgd().step(rate, model.clone(), copied_gradients(model, &grads));
            let [ahead, behind] = [-rate, rate].map(moved);
            let slopes = [&ahead, &behind].map(|m| product(m, &gradients(m, batch), &grads));
            by_gradients.push((slopes[0] - slopes[1]) / (2.0 * rate * square));
            let value = |m: &Mlp| m.loss(batch).into_scalar::<f64>();
            let bend = value(&ahead) + value(&behind) - 2.0 * value(model);
            by_losses.push(bend / (rate * rate * square));
        }
        ways.extend([
            (
                format!("gradients, {step:.0e}"),
                by_gradients,
                3.0 * GRADIENT,
            ),
            (format!("losses, {step:.0e}"), by_losses, GRADIENT + 2.0),
        ]);
    }
    let probe = every(1);
    let (mut values, mut evaluations) = (Vec::new(), 0);
    // The first round has no guess yet.
    for round in 0..2 {
        for batch in batches {
            let at = AtStep::new(model.clone(), sgd(), 1e-3, batch.clone());
            let measured = at.measure_told(&probe);
            probe.set_step(measured.step + 1);
            if round == 1 {
                values.push(measured.critical_sharpness.unwrap_or(f64::NAN));
                evaluations += measured.evaluations;
            }
        }
    }
    let passes = GRADIENT + evaluations as f64 / batches.len() as f64;
    ways.push(("line search".to_string(), values, passes));
    ways
}

#[test]
#[ignore = "prints a table for the book"]
fn batch_sharpness_costs() {
    for (path, fixture) in Fixture::all() {
        println!("{}", path.file_stem().unwrap().display());
        let batches = fixture.batches(16);
        let count = batches.len() as f64;
        let config = BatchSharpnessConfig::new(1).with_batches(batches.len());
        let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1))
            .with_batch_sharpness(config, batches.clone(), task_loss)
            .build()
            .unwrap();
        fixture.train(|step, row, at| {
            if row.is_none() {
                return;
            }
            let theta = parameters(&at.model);
            let exact = batches.iter().map(|batch| exact(&fixture, &theta, batch));
            let exact: Vec<f64> = exact.collect();
            let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
            let of_all = mean(&exact);
            let squares: f64 = exact.iter().map(|value| (value - of_all).powi(2)).sum();
            let error = (squares / (count - 1.0) / count).sqrt();
            println!("step {step}: {of_all:.4} ± {error:.4}");
            let print = |name: &str, passes: f64, off: f64| {
                println!("  {name:<18} {passes:>5.1} passes a batch, off by {off:.1e}");
            };
            for (name, values, passes) in ways(&at.model, &batches) {
                print(&name, passes, (mean(&values) / of_all - 1.0).abs());
            }
            probe.set_step(step);
            let measured = at.measure(&probe).batch_sharpness.clone().unwrap();
            let passes = GRADIENT * measured.gradients as f64 + measured.evaluations as f64;
            let off = measured.value.map(|value| (value / of_all - 1.0).abs());
            print("as built", passes / count, off.unwrap_or(f64::NAN));
            let stated = measured.relative_error.unwrap();
            println!("  {:<18} {stated:>34.1e}", "  which states");
        });
    }
}
