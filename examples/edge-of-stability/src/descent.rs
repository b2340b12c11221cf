//! The network under (stochastic) gradient descent at a constant learning rate.

use crate::data::Data;
use crate::flags::Flags;
use crate::network::Network;
use crate::record::{Cost, Record, SUMMARY_FILE, cost_table, mean, series};
use anyhow::{Result, ensure};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn_sharpness::hessian::{CurvatureConfig, gradient_descent_threshold};
use burn_sharpness::{Measurement, SharpnessConfig, SharpnessProbe, Update};
use gpt::run::write_result;
use gpt::say;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;
use sharpness_report::plot::{Axis, Chart, Series, Style};
use std::path::Path;
use std::time::Instant;

/// What a run comes to: `summary.json`. A field that was not measured is `null`.
#[derive(Serialize)]
struct Summary {
    steps: u64,
    learning_rate: f64,
    batch: usize,
    /// 2/η.
    threshold: f64,
    hessian_sharpness: Approach,
    critical_sharpness: Approach,
    directional_sharpness: Approach,
    /// Measured steps, and those at which λ_dir was above λ_max.
    compared: usize,
    directional_above_hessian: usize,
    first_loss: Option<f64>,
    last_loss: Option<f64>,
    costs: Vec<Cost>,
}

/// How a sharpness came to the threshold.
#[derive(Serialize)]
struct Approach {
    /// The first step at which it was above.
    first_above: Option<u64>,
    /// Its mean over the threshold from then on.
    mean_over_threshold_afterwards: Option<f64>,
    /// Its mean over the threshold in the last third of the steps.
    mean_over_threshold_in_last_third: Option<f64>,
}

impl Approach {
    fn new(points: &[(f64, f64)], threshold: f64, steps: u64) -> Self {
        let first = points.iter().find(|(_, value)| *value > threshold);
        let from = |first: f64| {
            let later = points.iter().filter(move |(step, _)| *step >= first);
            mean(later.map(|(_, value)| value / threshold))
        };
        Self {
            first_above: first.map(|(step, _)| *step as u64),
            mean_over_threshold_afterwards: first.and_then(|(step, _)| from(*step)),
            mean_over_threshold_in_last_third: from(steps as f64 * 2.0 / 3.0),
        }
    }

    fn line(&self, name: &str) -> String {
        let number = |value: Option<f64>| value.map_or("–".to_string(), |v| format!("{v:.3}"));
        format!(
            "{name:<6} first above 2/η at step {:<6} mean over 2/η from then on {}, in the last third {}",
            self.first_above
                .map_or("–".to_string(), |step| step.to_string()),
            number(self.mean_over_threshold_afterwards),
            number(self.mean_over_threshold_in_last_third),
        )
    }
}

/// Trains, measures, and writes summary and plot.
///
/// # Errors
///
/// If the data cannot be read or the results not written.
pub fn run(flags: &Flags, out: &Path) -> Result<()> {
    let steps = flags.steps.unwrap_or(3000);
    let device = gpt::device::open(&flags.device)?.autodiff();
    device.seed(flags.seed);
    let data = match &flags.cifar {
        Some(folder) => Data::cifar_10(folder, flags.examples)?,
        None => Data::mnist_1d(flags.examples, flags.seed),
    };
    let batch_size = flags.batch.unwrap_or(data.len());
    let mut model = Network::new(
        data.features,
        flags.layers,
        flags.width,
        flags.activation,
        flags.loss,
        &device,
    );
    let mut optim: ModuleOptimizer = SgdConfig::new().init();
    let curvature = CurvatureConfig::new(flags.hessian_every.unwrap_or(25));
    let config = SharpnessConfig::new()
        .with_every(flags.every)
        .with_curvature(curvature)
        .with_directory(out);
    let probe = SharpnessProbe::new(config)?;

    let mut random = StdRng::seed_from_u64(flags.seed);
    let mut order: Vec<usize> = (0..data.len()).collect();
    let whole = data.batch(&order, &device);
    let mut next = 0;
    let mut record = Record::default();
    let mut forward = Vec::new();
    for step in 0..steps {
        let batch = if batch_size == data.len() {
            whole.clone()
        } else {
            if next + batch_size > data.len() || step == 0 {
                order.shuffle(&mut random);
                next = 0;
            }
            next += batch_size;
            data.batch(&order[next - batch_size..next], &device)
        };
        let grads = GradientsParams::from_grads(model.loss(&batch).backward(), &model);
        let loss = |model: &Network| model.loss(&batch);
        let update = Update::new(&model, &optim, flags.lr, &grads).with_curvature(loss);
        let measured = probe.measure_update(update, loss);
        if let Some(measurement) = &measured {
            let started = Instant::now();
            model.valid().loss(&batch).try_into_scalar::<f64>()?;
            forward.push(started.elapsed().as_secs_f64());
            if step.is_multiple_of(20 * flags.every) {
                print_line(measurement);
            }
        }
        record.0.extend(measured);
        model = optim.step(flags.lr, model, grads);
    }

    let threshold = gradient_descent_threshold(flags.lr, 0.0);
    let critical = record.points(|m| m.critical_sharpness);
    let directional = record.curvature(|c| Some(&c.directional_sharpness));
    let hessian = record.curvature(|c| Some(&c.hessian_sharpness));
    let losses = record.points(|m| m.base_loss);
    let compared = record.0.iter().filter_map(|m| {
        let curvature = m.curvature.as_ref()?;
        let directional = curvature.directional_sharpness.value?;
        Some((directional, curvature.hessian_sharpness.value?))
    });
    let compared: Vec<(f64, f64)> = compared.collect();
    let forward_seconds = mean(forward.into_iter()).unwrap_or(f64::NAN);
    let summary = Summary {
        steps,
        learning_rate: flags.lr,
        batch: batch_size,
        threshold,
        hessian_sharpness: Approach::new(&hessian, threshold, steps),
        critical_sharpness: Approach::new(&critical, threshold, steps),
        directional_sharpness: Approach::new(&directional, threshold, steps),
        directional_above_hessian: compared
            .iter()
            .filter(|(directional, hessian)| *directional > 1.01 * hessian)
            .count(),
        compared: compared.len(),
        first_loss: losses.first().map(|point| point.1),
        last_loss: losses.last().map(|point| point.1),
        costs: record.costs(forward_seconds),
    };

    say!("\n{}", summary.hessian_sharpness.line("λ_max"));
    say!("{}", summary.critical_sharpness.line("λc"));
    say!("{}", summary.directional_sharpness.line("λ_dir"));
    say!(
        "λ_dir was above λ_max at {} of {} measured steps",
        summary.directional_above_hessian,
        summary.compared
    );
    say!("\n{}", cost_table(&summary.costs));
    write_result(out, SUMMARY_FILE, &serde_json::to_string_pretty(&summary)?)?;

    let ends = [(0.0, threshold), (steps as f64, threshold)];
    let title = format!(
        "{}-layer network, width {}, η = {}, batch {batch_size} of {}",
        flags.layers,
        flags.width,
        flags.lr,
        data.len()
    );
    let chart = Chart::new(&title, Axis::linear("step"), Axis::log("sharpness; loss"))
        .with_series(Series {
            style: Style::Threshold,
            ..series("2/η", ends.to_vec())
        })
        .with_series(series("λ_max", hessian))
        .with_series(series("λc", critical))
        .with_series(series("λ_dir", directional))
        .with_series(series("loss", losses));
    write_result(out, "edge.svg", &chart.svg()?)?;
    say!("written to {}", out.display());
    let loss = model.valid().loss(&whole).try_into_scalar::<f64>()?;
    ensure!(
        loss.is_finite(),
        "the training failed: the loss after {steps} steps is {loss}: choose a lower --lr"
    );
    Ok(())
}

fn print_line(measurement: &Measurement) {
    let number = |value: Option<f64>| value.map_or("–".to_string(), |v| format!("{v:.3}"));
    let curvature = measurement.curvature.as_ref();
    say!(
        "step {:>6}  loss {:<8} λc {:<9} λ_dir {:<9} λ_max {:<9} 2/η {}",
        measurement.step,
        number(measurement.base_loss),
        number(measurement.critical_sharpness),
        number(curvature.and_then(|c| c.directional_sharpness.value)),
        number(curvature.and_then(|c| c.hessian_sharpness.value)),
        number(measurement.edge_threshold()),
    );
}
