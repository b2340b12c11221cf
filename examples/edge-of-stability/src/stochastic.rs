//! Trains by SGD on batches of four sizes, and compares batch sharpness with its thresholds.

use crate::data::Data;
use crate::flags::Flags;
use crate::record::{SUMMARY_FILE, mean};
use crate::training::Batches;
use anyhow::{Result, ensure};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_sharpness::hessian::{
    BatchSharpnessConfig, CurvatureConfig, heavy_ball_small_batch_threshold, heavy_ball_threshold,
};
use burn_sharpness::{Quantity, SharpnessConfig, SharpnessProbe, Step, TRAIN_TASK, Thresholds};
use gpt::optimizer::sgd;
use gpt::run::write_result;
use gpt::say;
use gpt::small::{Examples, FullyConnected};
use serde::Serialize;
use sharpness_report::Run;
use sharpness_report::plot::{Axis, Chart, Series, Style};
use sharpness_report::shown::decimals;
use std::path::Path;
use std::sync::Arc;

const MOMENTA: [f64; 2] = [0.0, 0.9];
const FACTOR: usize = 4;
/// The largest batch has all examples.
const SIZES: u32 = 4;
const BATCHES: usize = 16;

#[derive(Clone, Copy, Debug, Serialize)]
struct Cell {
    momentum: f64,
    batch: usize,
    learning_rate: f64,
    /// 2(1 − β)/η.
    small_batch_threshold: f64,
    /// 2(1 + β)/η.
    large_batch_threshold: f64,
}

/// A field that was not measured is `null`.
#[derive(Clone, Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    cell: Cell,
    /// The mean over the last third of the steps, and over the third before.
    batch_sharpness: [Option<f64>; 2],
    interaction_aware_sharpness: [Option<f64>; 2],
    hessian_sharpness: [Option<f64>; 2],
    loss: f64,
}

impl Cell {
    /// Chooses the learning rate so that both thresholds have the geometric mean 2/η of plain SGD at `learning_rate`.
    fn new(momentum: f64, batch: usize, learning_rate: f64) -> Self {
        let learning_rate = learning_rate * (1.0 - momentum * momentum).sqrt();
        Self {
            momentum,
            batch,
            learning_rate,
            small_batch_threshold: heavy_ball_small_batch_threshold(learning_rate, momentum),
            large_batch_threshold: heavy_ball_threshold(learning_rate, momentum, 0.0),
        }
    }
}

pub fn run(flags: &Flags, out: &Path) -> Result<()> {
    let device = gpt::device::open(&flags.device)?.autodiff();
    let data = Arc::new(Data::mnist_1d(flags.examples, flags.seed));
    let (mut outcomes, mut table) = (Vec::new(), HEAD.to_string());
    for momentum in MOMENTA {
        let mut curves = Vec::new();
        let mut chart = None;
        for power in 0..SIZES {
            let batch = (data.len() / FACTOR.pow(power)).max(1);
            let cell = Cell::new(momentum, batch, flags.lr);
            let folder = out.join(format!("beta-{momentum}-batch-{batch}"));
            let (outcome, run) = train(flags, cell, &data, &device, &folder)?;
            let name = format!("batches of {batch}");
            curves.push(Series::new(
                name,
                run.curve(TRAIN_TASK, Quantity::BatchSharpness),
            ));
            let row = row(&outcome);
            say!("{row}");
            table += &row;
            table.push('\n');
            outcomes.push(outcome);
            chart.get_or_insert(cell);
        }
        if let Some(cell) = chart {
            let drawn = draw(cell, flags.steps, curves)?;
            write_result(out, &format!("batch-sharpness-{momentum}.svg"), drawn)?;
        }
    }
    write_result(out, "table.md", &table)?;
    write_result(out, SUMMARY_FILE, serde_json::to_string_pretty(&outcomes)?)?;
    say!("written to {}", out.display());
    Ok(())
}

fn draw(cell: Cell, steps: u64, curves: Vec<Series>) -> Result<String> {
    let title = format!("β = {}, η = {:.3}", cell.momentum, cell.learning_rate);
    let line = |name: &str, value: f64| {
        let ends = vec![(0.0, value), (steps as f64, value)];
        Series::new(name, ends).with_style(Style::Threshold)
    };
    let y = Axis::log("batch sharpness");
    let mut chart = Chart::new(&title, Axis::linear("step"), y);
    if cell.momentum > 0.0 {
        chart = chart
            .with_series(line("2(1+β)/η", cell.large_batch_threshold))
            .with_series(line("2(1−β)/η", cell.small_batch_threshold));
    } else {
        chart = chart.with_series(line("2/η", cell.large_batch_threshold));
    }
    let chart = curves.into_iter().fold(chart, Chart::with_series);
    Ok(chart.svg()?)
}

fn train(
    flags: &Flags,
    cell: Cell,
    data: &Arc<Data>,
    device: &Device,
    folder: &Path,
) -> Result<(Outcome, Run)> {
    device.seed(flags.seed);
    let mut model = flags.network(data.features, device);
    let order: Vec<usize> = (0..data.len()).collect();
    let whole = data.batch(&order, device);
    let batches = Batches {
        data: data.clone(),
        size: cell.batch,
        count: usize::try_from(flags.steps)?,
        seed: flags.seed,
    };
    // A batch of all examples needs no second one.
    let count = if cell.batch == data.len() { 1 } else { BATCHES };
    let fresh = Batches {
        seed: flags.seed + 1,
        ..batches.clone()
    };
    let every = BatchSharpnessConfig::new(flags.hessian_every).with_batches(count);
    let config = SharpnessConfig::new()
        .with_every(flags.hessian_every)
        .with_curvature(CurvatureConfig::new(flags.hessian_every))
        .with_thresholds(Thresholds::HeavyBall {
            momentum: cell.momentum,
            dampening: 0.0,
        })
        .with_directory(folder);
    let of_batch = |model: &FullyConnected, batch: Examples<2>| model.loss(&batch);
    let probe = SharpnessProbe::builder(config)
        .with_batch_sharpness(every, fresh.loader(), of_batch)
        .build()?;
    let mut optim = sgd(cell.momentum);
    for batch in batches.loader().to_device(device).iter() {
        let batch = batch?;
        let loss = model.loss(&batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        // λ_max belongs to the loss on all examples.
        let step = Step::new(model, &mut optim, cell.learning_rate, grads)
            .with_training_loss(loss)
            .with_curvature(|model: &FullyConnected| model.loss(&whole));
        model = probe.optimize_step(step, |model| model.loss(&batch));
    }
    for notice in probe.summary().notices {
        say!("note: {notice}");
    }
    let loss = model.valid().loss(&whole).try_into_scalar::<f64>()?;
    let (momentum, batch) = (cell.momentum, cell.batch);
    ensure!(
        loss.is_finite(),
        "the training with momentum {momentum} on batches of {batch} failed: its loss is {loss}: choose a lower --lr"
    );
    let run = Run::open(folder)?;
    let thirds = |quantity| {
        let points = run.curve(TRAIN_TASK, quantity);
        let third = flags.steps as f64 / 3.0;
        [2.0, 1.0].map(|first: f64| {
            let within = |step: f64| (first * third..(first + 1.0) * third).contains(&step);
            let values = points.iter().filter(|(step, _)| within(*step));
            mean(values.map(|(_, value)| *value))
        })
    };
    let outcome = Outcome {
        cell,
        batch_sharpness: thirds(Quantity::BatchSharpness),
        interaction_aware_sharpness: thirds(Quantity::InteractionAwareSharpness),
        hessian_sharpness: thirds(Quantity::HessianSharpness),
        loss,
    };
    Ok((outcome, run))
}

const HEAD: &str = "| β | batch | 2(1−β)/η | 2(1+β)/η | batch sharpness (the third before) | over 2(1−β)/η | over 2(1+β)/η | interaction-aware | λ_max | loss |
|---|---|---|---|---|---|---|---|---|---|
";

fn row(outcome: &Outcome) -> String {
    let number = |value: Option<f64>, places| {
        value.map_or("–".to_string(), |value| decimals(value, places))
    };
    let cell = outcome.cell;
    let [last, before] = outcome.batch_sharpness;
    let over = |threshold: f64| number(last.map(|value| value / threshold), 2);
    format!(
        "| {} | {} | {:.1} | {:.1} | {} ({}) | {} | {} | {} | {} | {:.1e} |",
        cell.momentum,
        cell.batch,
        cell.small_batch_threshold,
        cell.large_batch_threshold,
        number(last, 1),
        number(before, 1),
        over(cell.small_batch_threshold),
        over(cell.large_batch_threshold),
        number(outcome.interaction_aware_sharpness[0], 1),
        number(outcome.hessian_sharpness[0], 1),
        outcome.loss,
    )
}
