//! Trains by (stochastic) gradient descent at a constant learning rate.

use crate::data::Data;
use crate::flags::Flags;
use crate::record::{Cost, Failures, SUMMARY_FILE, cost_table, costs, mean};
use crate::training::{Batches, train};
use anyhow::{Result, anyhow, ensure};
use burn::module::Module;
use burn_sharpness::Quantity::{
    BaseLoss, CriticalSharpness, DirectionalSharpness, HessianSharpness,
};
use burn_sharpness::hessian::{CurvatureConfig, gradient_descent_threshold};
use burn_sharpness::{SharpnessConfig, SharpnessProbe, TRAIN_TASK};
use gpt::run::write_result;
use gpt::say;
use gpt::small::{Examples, FullyConnected};
use serde::Serialize;
use sharpness_report::Run;
use sharpness_report::plot::{Axis, Chart, Series, Style};
use sharpness_report::shown::decimals;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A field that was not measured is `null`.
#[derive(Serialize)]
struct Summary {
    steps: u64,
    learning_rate: f64,
    batch: usize,
    threshold: f64,
    hessian_sharpness: Approach,
    critical_sharpness: Approach,
    directional_sharpness: Approach,
    /// The measured steps, and those with λ_dir above λ_max.
    compared: usize,
    directional_above_hessian: usize,
    first_loss: Option<f64>,
    last_loss: Option<f64>,
    failures: Failures,
    costs: Vec<Cost>,
}

#[derive(Serialize)]
struct Approach {
    first_above: Option<u64>,
    mean_over_threshold_afterwards: Option<f64>,
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
        let number = |value: Option<f64>| value.map_or("–".to_string(), |v| decimals(v, 3));
        let first = self
            .first_above
            .map_or("–".to_string(), |step| step.to_string());
        let afterwards = number(self.mean_over_threshold_afterwards);
        let last = number(self.mean_over_threshold_in_last_third);
        format!(
            "{name:<6} first above 2/η at step {first:<6} mean over 2/η from then on {afterwards}, in the last third {last}"
        )
    }
}

pub fn run(flags: &Flags, out: &Path) -> Result<()> {
    let steps = flags.steps;
    let device = gpt::device::open(&flags.device)?.autodiff();
    device.seed(flags.seed);
    let data = match &flags.cifar {
        Some(folder) => Data::cifar_10(folder, flags.examples)?,
        None => Data::mnist_1d(flags.examples, flags.seed),
    };
    let batch_size = flags.batch.unwrap_or(data.len());
    let network = flags.network(data.features, &device);
    let curvature = CurvatureConfig::new(flags.hessian_every);
    let config = SharpnessConfig::new()
        .with_every(flags.every)
        .with_curvature(curvature)
        .with_directory(out);
    let probe = SharpnessProbe::new(config)?;
    let order: Vec<usize> = (0..data.len()).collect();
    let whole = data.batch(&order, &device);
    let batches = Batches {
        data: Arc::new(data),
        size: batch_size,
        count: usize::try_from(steps)?,
        seed: flags.seed,
    };
    let trained = train(network, flags.lr, batches, &probe, out);
    let model = trained.network;
    let (planned, steps) = (steps, probe.step());
    let broke_off =
        |why: &str| anyhow!("the training broke off before step {steps} of {planned}: {why}");
    let record = match (Run::open(out), &trained.failure) {
        (Err(_), Some(why)) => return Err(broke_off(why)),
        (run, _) => run?,
    };
    if steps < planned && trained.failure.is_none() {
        say!("stopped before step {steps} of {planned}");
    }

    let threshold = gradient_descent_threshold(flags.lr, 0.0);
    let curve = |quantity| record.curve(TRAIN_TASK, quantity);
    let (critical, losses) = (curve(CriticalSharpness), curve(BaseLoss));
    let (directional, hessian) = (curve(DirectionalSharpness), curve(HessianSharpness));
    let compared = record
        .training()
        .filter_map(|m| Some((DirectionalSharpness.of(m)?, HessianSharpness.of(m)?)));
    let compared: Vec<(f64, f64)> = compared.collect();
    let above = compared.iter();
    let above = above.filter(|(directional, hessian)| *directional > 1.01 * hessian);
    let forward_seconds = seconds_of_forward(&model, &whole)?;
    let summary = Summary {
        steps,
        learning_rate: flags.lr,
        batch: batch_size,
        threshold,
        hessian_sharpness: Approach::new(&hessian, threshold, steps),
        critical_sharpness: Approach::new(&critical, threshold, steps),
        directional_sharpness: Approach::new(&directional, threshold, steps),
        directional_above_hessian: above.count(),
        compared: compared.len(),
        first_loss: record.training().next().and_then(|m| m.base_loss),
        last_loss: record.training().last().and_then(|m| m.base_loss),
        failures: Failures::of(&record),
        costs: costs(&record, forward_seconds),
    };

    say!("\n{}", summary.hessian_sharpness.line("λ_max"));
    say!("{}", summary.critical_sharpness.line("λ_c"));
    say!("{}", summary.directional_sharpness.line("λ_dir"));
    let (above, compared) = (summary.directional_above_hessian, summary.compared);
    say!("λ_dir was above λ_max at {above} of {compared} measured steps");
    say!("{}", summary.failures);
    for notice in probe.summary().notices {
        say!("note: {notice}");
    }
    say!("\n{}", cost_table(&summary.costs));
    if let Some(why) = trained.failure {
        return Err(broke_off(&why));
    }
    write_result(out, SUMMARY_FILE, serde_json::to_string_pretty(&summary)?)?;

    let ends = vec![(0.0, threshold), (steps as f64, threshold)];
    let (layers, width, lr, examples) = (flags.layers, flags.width, flags.lr, order.len());
    let title = format!(
        "{layers}-layer network, width {width}, η = {lr}, batch {batch_size} of {examples}"
    );
    let chart = Chart::new(&title, Axis::linear("step"), Axis::log("sharpness; loss"))
        .with_series(Series::new("2/η", ends).with_style(Style::Threshold))
        .with_series(Series::new("λ_max", hessian))
        .with_series(Series::new("λ_c", critical))
        .with_series(Series::new("λ_dir", directional))
        .with_series(Series::new("loss", losses));
    write_result(out, "edge.svg", chart.svg()?)?;
    say!("written to {}", out.display());
    let loss = model.valid().loss(&whole).try_into_scalar::<f64>()?;
    ensure!(
        loss.is_finite(),
        "the training failed: the loss after {steps} steps is {loss}: choose a lower --lr"
    );
    Ok(())
}

fn seconds_of_forward(model: &FullyConnected, batch: &Examples<2>) -> Result<f64> {
    const PASSES: u32 = 20;
    let model = model.valid();
    let started = Instant::now();
    for _ in 0..PASSES {
        model.loss(batch).try_into_scalar::<f64>()?;
    }
    Ok(started.elapsed().as_secs_f64() / f64::from(PASSES))
}
