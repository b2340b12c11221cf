//! Measures a training step and a measurement at a size of the GPT: time, and the peak memory of a process with and
//! without a probe.

use crate::memory::{Probe, peak};
use crate::statistics::quantile;
use crate::workload::{GptPretraining, VOCAB, Workload, make_step};
use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::optim::GradientsParams;
use clap::Args;
use gpt::model::{Gpt, GptConfig};
use gpt::terminal::print;
use serde::{Deserialize, Serialize};
use sharpness_report::shown::decimals;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The uncounted first steps, which allocate and compile kernels.
const WARM_UP: usize = 2;

/// The shape of the GPT.
#[derive(Args)]
pub struct Shape {
    /// Transformer blocks of the GPT
    #[arg(long, default_value_t = 4)]
    gpt_layers: usize,
    /// Width of its residual stream
    #[arg(long, default_value_t = 128)]
    gpt_width: usize,
    /// Attention heads of a block
    #[arg(long, default_value_t = 4)]
    gpt_heads: usize,
    /// Tokens that it sees at a time
    #[arg(long, default_value_t = 128)]
    gpt_context: usize,
    /// Rows of its embedding: the text uses 1,024 of them
    #[arg(long, default_value_t = VOCAB)]
    gpt_vocab: usize,
}

impl Shape {
    /// Returns the shape of the model.
    pub fn config(&self) -> Result<GptConfig> {
        ensure!(
            self.gpt_vocab >= VOCAB,
            "--gpt-vocab is {}, but the text has {VOCAB} tokens",
            self.gpt_vocab
        );
        let config = GptConfig::new(
            self.gpt_vocab,
            self.gpt_context,
            self.gpt_layers,
            self.gpt_heads,
            self.gpt_width,
        );
        config.validate().map_err(anyhow::Error::msg)?;
        Ok(config)
    }
}

/// The cost of one process.
#[derive(Serialize, Deserialize)]
struct Taken {
    weights: usize,
    steps: usize,
    /// The median of the counted steps, with their measurements if there is a probe.
    step_seconds: f64,
    /// The median of the counted measurements, and their mean number of evaluations; `None` without a probe.
    measurement_seconds: Option<f64>,
    evaluations: Option<f64>,
    bracketed: usize,
    peak_bytes: u64,
}

/// Trains in this process, measures at every step if there is a probe, and prints the cost.
pub fn run(workload: &GptPretraining, probe: Probe) -> Result<()> {
    let probe = probe.of_each_step()?;
    let (mut model, mut optim) = workload.init();
    let mut steps = Vec::new();
    let mut measurements = Vec::new();
    for (step, batch) in workload.batches()?.iter().enumerate() {
        let started = Instant::now();
        let loss = workload.loss(&model, batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let value = loss.try_into_scalar::<f64>()?;
        let step = (&mut optim, workload.learning_rate(step).into());
        let again = |model: &Gpt| workload.loss(model, batch);
        let measured;
        (model, measured) = make_step(probe.as_ref(), model, step, grads, value, again);
        measurements.extend(measured);
        workload.device.sync()?;
        steps.push(started.elapsed().as_secs_f64());
    }
    let counted = measurements.get(WARM_UP..).unwrap_or_default();
    let seconds: Vec<f64> = counted.iter().map(|m| m.seconds).collect();
    let evaluations = counted.iter().map(|m| m.evaluations).sum::<usize>();
    let taken = Taken {
        weights: model.num_params(),
        steps: steps.len().saturating_sub(WARM_UP),
        step_seconds: quantile(steps.get(WARM_UP..).unwrap_or_default(), 0.5),
        measurement_seconds: probe.as_ref().map(|_| quantile(&seconds, 0.5)),
        evaluations: probe.map(|_| evaluations as f64 / counted.len() as f64),
        bracketed: counted.iter().filter(|m| m.critical_lr.is_some()).count(),
        peak_bytes: peak()?,
    };
    Ok(print(&(serde_json::to_string(&taken)? + "\n"))?)
}

/// Runs two processes with the arguments of this process, and prints a table.
pub fn compare(device: &str, arguments: &[String]) -> Result<()> {
    let with = of_process(arguments, "with")?;
    let without = of_process(arguments, "without")?;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let measurement = with.measurement_seconds.context("nothing was measured")?;
    let row = format!(
        "| {device} | {:.1}M | {} s | {} s | {:.2} | {} of {} | {:.2} GB | {:.2} GB |",
        without.weights as f64 / 1e6,
        decimals(without.step_seconds, 2),
        decimals(measurement, 2),
        with.evaluations.unwrap_or(f64::NAN),
        with.bracketed,
        with.steps,
        gigabytes(without.peak_bytes),
        gigabytes(with.peak_bytes),
    );
    let head = "| device | weights | step | measurement | evaluations | bracketed | peak memory without probe | with |\n|---|---|---|---|---|---|---|---|";
    Ok(print(&format!("{head}\n{row}\n"))?)
}

fn of_process(arguments: &[String], memory: &str) -> Result<Taken> {
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .args(["--size-run", memory])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the run {memory} a probe failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}
