//! Compares the cost and the error of gᵀHg/‖g‖² of a batch, in three ways, against float64. The book has an excerpt of
//! the table: `cargo test --workspace --test suite -- --ignored --nocapture batch_sharpness_costs`

use crate::float64::curvature::product;
use crate::float64::network::{Loss, Network, dot};
use crate::float64::{parameters, rows};
use sharpness_tests::prelude::*;

/// The lengths of a step along the gradient, as parts of ‖θ‖.
const STEPS: [f64; 6] = [1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4];
/// In forward passes.
const GRADIENT: f64 = 3.0;

fn exact(fixture: &Fixture, theta: &[f64], batch: &Batch) -> f64 {
    let network = Network {
        layers: fixture.layers.clone(),
        loss: match fixture.loss {
            LossKind::Xent => Loss::CrossEntropy,
            LossKind::Mse => Loss::SquaredDistance,
        },
        inputs: rows(&batch.x),
        classes: batch
            .y
            .to_data()
            .iter::<i64>()
            .map(|y| y as usize)
            .collect(),
    };
    let gradient = network.gradient(theta);
    dot(&gradient, &product(&network, theta, &gradient)) / dot(&gradient, &gradient)
}

fn gradient(model: &Mlp, batch: &Batch) -> GradientsParams {
    GradientsParams::from_grads(model.loss(batch).backward(), model)
}

fn product_of(model: &Mlp, a: &GradientsParams, b: &GradientsParams) -> f64 {
    let numbers = |grads| {
        let mut numbers = Vec::new();
        mapped_gradients(model, grads, |value| {
            numbers.push(value);
            value
        });
        numbers
    };
    dot(&numbers(a), &numbers(b))
}

struct Way {
    name: String,
    values: Vec<f64>,
    passes: f64,
}

fn ways(model: &Mlp, batches: &[Batch]) -> Vec<Way> {
    let sgd = || -> ModuleOptimizer { SgdConfig::new().init() };
    let norm_of_weights = {
        let values = values(model);
        values
            .iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let count = batches.len() as f64;
    let mut ways = Vec::new();
    for step in STEPS {
        let (mut by_gradients, mut by_losses) = (Vec::new(), Vec::new());
        for batch in batches {
            let grads = gradient(model, batch);
            let square = product_of(model, &grads, &grads);
            let rate = step * norm_of_weights / square.sqrt();
            let moved =
                |rate: f64| sgd().step(rate, model.clone(), copied_gradients(model, &grads));
            let [ahead, behind] = [-rate, rate].map(moved);
            let slopes = [&ahead, &behind].map(|m| product_of(m, &gradient(m, batch), &grads));
            by_gradients.push((slopes[0] - slopes[1]) / (2.0 * rate * square));
            let value = |m: &Mlp| m.loss(batch).into_scalar::<f64>();
            let bend = value(&ahead) + value(&behind) - 2.0 * value(model);
            by_losses.push(bend / (rate * rate * square));
        }
        ways.push(Way {
            name: format!("gradients, {step:.0e}"),
            values: by_gradients,
            passes: 3.0 * GRADIENT,
        });
        ways.push(Way {
            name: format!("losses, {step:.0e}"),
            values: by_losses,
            passes: GRADIENT + 2.0,
        });
    }
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
    let (mut values, mut evaluations) = (Vec::new(), 0);
    // The first round has no guess yet.
    for round in 0..2 {
        for batch in batches {
            let loss = model.loss(batch);
            let grads = GradientsParams::from_grads(loss.clone().backward(), model);
            let (optim, rate) = (sgd(), 1e-3);
            let update = Update::new(model, &optim, rate, &grads).with_training_loss(loss);
            let measured = probe.measure_update(update, |model: &Mlp| model.loss(batch));
            let measured = measured.unwrap();
            probe.set_step(measured.step + 1);
            if round == 1 {
                values.push(measured.critical_sharpness.unwrap_or(f64::NAN));
                evaluations += measured.evaluations;
            }
        }
    }
    ways.push(Way {
        name: "line search".to_string(),
        values,
        passes: GRADIENT + evaluations as f64 / count,
    });
    ways
}

#[test]
#[ignore = "prints a table for the book"]
fn batch_sharpness_costs() {
    let device = device::autodiff();
    for (path, fixture) in Fixture::all() {
        println!("{}", path.file_stem().unwrap().display());
        let (mut optim, rate) = fixture.optimizer();
        let mut model = fixture.model(&device);
        let whole = fixture.batch(&device);
        let batches = fixture.batches(16, &device);
        let count = batches.len() as f64;
        let config = BatchSharpnessConfig::new(1).with_batches(batches.len());
        let loss = |model: &Mlp, batch: Batch| model.loss(&batch);
        let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1))
            .with_batch_sharpness(config, batches.clone(), loss)
            .build()
            .unwrap();
        let last = fixture.rows.iter().map(|row| row.step).max().unwrap();
        for step in 0..=last {
            let grads = gradient(&model, &whole);
            if fixture.rows.iter().any(|row| row.step == step) {
                let theta = parameters(&model);
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
                for way in ways(&model, &batches) {
                    let off = (mean(&way.values) / of_all - 1.0).abs();
                    print(&way.name, way.passes, off);
                }
                probe.set_step(step);
                let update = Update::new(&model, &optim, rate, &grads);
                let measured = probe.measure_update(update, |model: &Mlp| model.loss(&whole));
                let measured = measured.unwrap().batch_sharpness.clone().unwrap();
                let passes = GRADIENT * measured.gradients as f64 + measured.evaluations as f64;
                let off = measured
                    .value
                    .map_or(f64::NAN, |value| (value / of_all - 1.0).abs());
                print("as built", passes / count, off);
                println!(
                    "  {:<18} {:>34.1e}",
                    "  which states",
                    measured.relative_error.unwrap()
                );
            }
            model = optim.step(rate, model, grads);
        }
    }
}
