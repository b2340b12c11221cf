//! Compares the guided search with the published estimator on the same steps of real training: the
//! evaluations that they take, whether their brackets agree, the time and the memory they cost.
//!
//! ```sh
//! cargo run -p search-bench
//! ```

mod lines;
mod picture;
mod table;
mod workload;

use anyhow::{Context, Result};
use burn_sharpness::{Measurement, Method, SharpnessConfig, SharpnessProbe, Update};
use clap::{Parser, ValueEnum};
use gpt::run::exit_code;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use table::{Evaluations, Row, markdown};
use workload::{FullyConnected, GptPretraining, Step, Workload, train};

/// The measurements that warm a search up.
const WARM_UP: usize = 5;
/// How often a process measures whose memory is compared: as often as `gpt-pretrain` does.
const MEMORY_EVERY: u64 = 10;
const TOLERANCES: [f64; 2] = [1.0 / 16.0, 1.0 / 256.0];

/// Compare the searches for the critical learning rate on the same steps of real training.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Steps of the GPT's training
    #[arg(long, default_value_t = 800)]
    gpt_steps: usize,
    /// Steps from one measurement of the GPT to the next, each made by every method
    #[arg(long, default_value_t = 10)]
    gpt_every: u64,
    /// Windows of text in a batch of the GPT
    #[arg(long, default_value_t = 16)]
    gpt_batch: usize,
    /// Steps of the fully connected networks' trainings, each measured by every method
    #[arg(long, default_value_t = 600)]
    steps: usize,
    /// Run only these workloads
    #[arg(long, value_enum)]
    only: Vec<WorkloadName>,
    /// Print an array of objects instead of a table
    #[arg(long)]
    json: bool,
    /// Record the lines f(η) of each workload's steps to this file instead
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Draw one search on one line of the GPT's training, as SVG, to this file instead
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Train in this process, with or without a probe, and print its peak memory (used internally)
    #[arg(long, value_enum, hide = true)]
    memory: Option<Memory>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorkloadName {
    Gpt,
    Full,
    Momentum,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Memory {
    With,
    Without,
}

fn main() -> ExitCode {
    exit_code(run(&Flags::parse()))
}

fn run(flags: &Flags) -> Result<()> {
    let gpt = GptPretraining {
        steps: flags.gpt_steps,
        every: flags.gpt_every,
        batch: flags.gpt_batch,
    };
    let fully_connected = |full_batch| FullyConnected {
        steps: flags.steps,
        full_batch,
    };
    let (full, momentum) = (fully_connected(true), fully_connected(false));
    let wanted = |name| flags.only.is_empty() || flags.only.contains(&name);

    if let Some(path) = &flags.lines {
        let mut recorded = Vec::new();
        if wanted(WorkloadName::Gpt) {
            recorded.extend(lines::record(&gpt)?);
        }
        if wanted(WorkloadName::Full) {
            recorded.extend(lines::record(&full)?);
        }
        if wanted(WorkloadName::Momentum) {
            recorded.extend(lines::record(&momentum)?);
        }
        let json = serde_json::to_string(&recorded)?;
        return std::fs::write(path, json)
            .with_context(|| format!("{} cannot be written", path.display()));
    }

    if let Some(path) = &flags.picture {
        return std::fs::write(path, picture::draw(&gpt)?)
            .with_context(|| format!("{} cannot be written", path.display()));
    }

    let mut rows = Vec::new();
    if wanted(WorkloadName::Gpt) {
        rows.extend(benchmark(&gpt, WorkloadName::Gpt, flags)?);
    }
    if wanted(WorkloadName::Full) {
        rows.extend(benchmark(&full, WorkloadName::Full, flags)?);
    }
    if wanted(WorkloadName::Momentum) {
        rows.extend(benchmark(&momentum, WorkloadName::Momentum, flags)?);
    }
    if flags.memory.is_some() {
        return Ok(());
    }
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", markdown(&rows));
    }
    Ok(())
}

fn benchmark<W: Workload>(workload: &W, name: WorkloadName, flags: &Flags) -> Result<Vec<Row>> {
    if let Some(memory) = flags.memory {
        peak_memory(workload, memory)?;
        return Ok(Vec::new());
    }
    eprintln!("{} …", workload.name());
    let with = memory_of(name, flags, "with");
    let without = memory_of(name, flags, "without");

    let mut contenders = Vec::new();
    for tolerance in TOLERANCES {
        for (label, method) in [("guided", Method::Guided), ("published", Method::Published)] {
            let config = SharpnessConfig::new()
                .with_every(workload.every())
                .with_tolerance(tolerance)
                .with_method(method);
            contenders.push((tolerance, label, SharpnessProbe::new(config)?, Vec::new()));
        }
    }
    let step_seconds = train(workload, |step: Step<'_, W>| {
        for (_, _, probe, measurements) in &mut contenders {
            measurements.extend(measure(probe, workload, &step));
        }
    })?;

    let brackets: Vec<Vec<Arc<Measurement>>> = contenders
        .iter()
        .map(|(_, _, _, all)| all.clone())
        .collect();
    let rows = contenders.iter().enumerate();
    Ok(rows
        .map(|(index, (tolerance, method, _, measurements))| {
            // Its rival at the same tolerance stands next to it.
            let rival = &brackets[index ^ 1];
            let counted = &measurements[WARM_UP.min(measurements.len())..];
            let pairs = measurements.iter().zip(rival).skip(WARM_UP);
            let overlaps: Vec<bool> = pairs.filter_map(|(a, b)| overlap(a, b)).collect();
            let evaluations = counted.iter().map(|measurement| measurement.evaluations);
            let evaluations = Evaluations::new(evaluations.collect());
            let bracketed = counted.iter().filter(|m| m.critical_lr.is_some()).count();
            Row {
                workload: workload.name(),
                tolerance: *tolerance,
                method,
                steps: counted.len(),
                mean_evaluations: evaluations.mean(),
                median_evaluations: evaluations.quantile(0.5),
                p95_evaluations: evaluations.quantile(0.95),
                overlap: overlaps.iter().filter(|overlap| **overlap).count() as f64
                    / overlaps.len() as f64,
                failures: counted.len() - bracketed,
                step_seconds,
                measurement_seconds: counted.iter().map(|m| m.seconds).sum::<f64>()
                    / counted.len() as f64,
                peak_rss_bytes: with,
                peak_rss_bytes_without_probe: without,
            }
        })
        .collect())
}

/// One measurement of a step, if it is due.
fn measure<W: Workload>(
    probe: &SharpnessProbe,
    workload: &W,
    step: &Step<'_, W>,
) -> Option<Arc<Measurement>> {
    let update = Update::new(step.model, step.optim, step.learning_rate, step.grads)
        .with_training_loss(step.training_loss);
    probe.measure_update(update, |model| workload.loss(model, step.batch))
}

/// Whether two brackets share a learning rate, if both were found.
fn overlap(a: &Measurement, b: &Measurement) -> Option<bool> {
    a.critical_lr.and(b.critical_lr)?;
    Some(a.lower? <= b.upper? && b.lower? <= a.upper?)
}

/// Trains with or without a probe, and prints the peak memory of this process.
fn peak_memory<W: Workload>(workload: &W, memory: Memory) -> Result<()> {
    let config = SharpnessConfig::new().with_every(MEMORY_EVERY);
    let probe = (memory == Memory::With)
        .then(|| SharpnessProbe::new(config))
        .transpose()?;
    train(workload, |step: Step<'_, W>| {
        if let Some(probe) = &probe {
            measure(probe, workload, &step);
        }
    })?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .context("the system does not tell the peak memory of a process")?;
    println!("{}", peak * 1024);
    Ok(())
}

/// The peak memory of another process that trains the same, where the system tells it.
fn memory_of(name: WorkloadName, flags: &Flags, memory: &str) -> Option<u64> {
    let name = name.to_possible_value()?;
    let output = Command::new(std::env::current_exe().ok()?)
        .args(["--memory", memory, "--only", name.get_name()])
        .args(["--gpt-steps", &flags.gpt_steps.min(30).to_string()])
        .args(["--gpt-batch", &flags.gpt_batch.to_string()])
        .args(["--steps", &flags.steps.min(100).to_string()])
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
