//! Measures how early the alarm comes in short runs, some with faults that break them.

mod rule;

use crate::network::{Network, Task, fully_connected, of_gpt};
use crate::results::Results;
use anyhow::{Context, Result};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_sharpness::{SharpnessConfig, SharpnessProbe, Step, TRAIN_TASK};
use gpt::model::GptConfig;
use gpt::optimizer::{adamw, sgd};
use gpt::small::{Examples, VOCAB};
use gpt::tokens::TokenBatch;
use rule::{Judged, ROWS, SIGNALS, Score, chosen};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

const STEPS: usize = 150;
const WARMUP: usize = 10;
const FAULT: usize = 75;
/// The even seeds choose the thresholds, and the odd seeds test them.
const SEEDS: u64 = 6;
/// The steps in the mean loss that decides whether a run has broken.
const MEAN: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Momentum,
    Adamw,
    Gpt,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    None,
    /// From the fault on, so many times the tuned rate.
    Rate(f64),
    /// Rises from the end of the warmup to so many times the tuned rate.
    Ramp(f64),
    /// So many batches in a row with nothing in common with the others.
    Batches(usize),
}

const FAULTS: [Fault; 8] = [
    Fault::None,
    Fault::Rate(2.0),
    Fault::Rate(8.0),
    Fault::Rate(64.0),
    Fault::Ramp(16.0),
    Fault::Ramp(256.0),
    Fault::Batches(1),
    Fault::Batches(4),
];

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Trial {
    kind: Kind,
    fault: Fault,
    seed: u64,
}

/// The signals before a step; `None` if not finite.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    loss: Option<f64>,
    edge_ratio: Option<f64>,
    slope: Option<f64>,
    gradient_norm: Option<f64>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Trace {
    trial: Trial,
    steps: Vec<Seen>,
}

/// Makes the missing runs if `trains` is set, and returns the table of all runs.
pub fn study(folder: &Path, device: &Device, trains: bool) -> Result<String> {
    let mut traces = Results::<Trace>::open(folder, "alarms.jsonl")?;
    for kind in [Kind::Momentum, Kind::Adamw, Kind::Gpt] {
        for fault in FAULTS {
            for seed in (0..SEEDS).filter(|_| trains) {
                let trial = Trial { kind, fault, seed };
                if traces.all().iter().all(|trace| trace.trial != trial) {
                    gpt::warn!("{kind:?}, {fault:?}, seed {seed} …");
                    let steps = run(trial, device).with_context(|| format!("{trial:?}"))?;
                    traces.push(Trace { trial, steps })?;
                }
            }
        }
    }
    Ok(table(traces.all()))
}

fn run(trial: Trial, device: &Device) -> Result<Vec<Seen>> {
    let (steps, seed) = (STEPS as u64, trial.seed);
    let noise = |examples: &Examples<2>| Examples {
        x: examples.x.clone() * 30.0,
        ..examples.clone()
    };
    match trial.kind {
        Kind::Momentum => {
            let task = fully_connected(sgd(0.9), steps, seed, device);
            trace(trial, 0.05, task, noise)
        }
        Kind::Adamw => {
            let task = fully_connected(adamw(0.0), steps, seed, device);
            trace(trial, 3e-3, task, noise)
        }
        Kind::Gpt => {
            let shape = GptConfig::new(VOCAB, 32, 1, 2, 32);
            let task = of_gpt(Network::SmallGpt, &shape, steps, seed, device)?;
            trace(trial, 3e-3, task, |batch: &TokenBatch| TokenBatch {
                inputs: batch.inputs.zeros_like(),
                targets: batch.targets.zeros_like(),
            })
        }
    }
}

fn trace<M: Module + 'static, B>(
    trial: Trial,
    tuned: f64,
    task: Task<M, B>,
    spoiled: impl Fn(&B) -> B,
) -> Result<Vec<Seen>> {
    let (mut model, mut optim, loss) = (task.model, task.optim, task.loss);
    let config = SharpnessConfig::new().with_every(1).with_panel(true);
    let probe = SharpnessProbe::new(config)?;
    let mut seen = Vec::new();
    for (step, batch) in task.batches.iter().enumerate() {
        let part = match trial.fault {
            Fault::Rate(times) if step >= FAULT => times,
            Fault::Ramp(times) => {
                let done = step.saturating_sub(WARMUP) as f64 / (STEPS - WARMUP) as f64;
                times.powf(done)
            }
            _ => 1.0,
        };
        let warmup = (step + 1).min(WARMUP) as f64 / WARMUP as f64;
        let other = trial.fault.spoils(step).then(|| spoiled(batch));
        let batch = other.as_ref().unwrap_or(batch);
        let at_this_step = loss(&model, batch);
        let value = at_this_step.clone().try_into_scalar::<f64>()?;
        let grads = GradientsParams::from_grads(at_this_step.backward(), &model);
        let made =
            Step::new(model, &mut optim, tuned * part * warmup, grads).with_training_loss(value);
        model = probe.optimize_step(made, |model: &M| loss(model, batch));
        let measured = probe.latest(TRAIN_TASK).filter(|of| of.step == step as u64);
        let measured = measured.as_deref();
        seen.push(Seen {
            loss: Some(value).filter(|value| value.is_finite()),
            edge_ratio: measured.and_then(|of| of.edge_ratio()),
            slope: measured.and_then(|of| of.slope),
            gradient_norm: measured.and_then(|of| of.gradient_norm),
        });
    }
    Ok(seen)
}

impl Fault {
    fn spoils(self, step: usize) -> bool {
        matches!(self, Self::Batches(count) if (FAULT..FAULT + count).contains(&step))
    }
}

/// The step of a run's break: from there on, the mean loss of ten steps has lost half of its gain and a tenth of the
/// first loss, or is not a number. The losses of spoiled batches do not count.
fn broken_at(trace: &Trace) -> Option<usize> {
    let steps = trace.steps.iter().enumerate();
    let losses: Vec<(usize, f64)> = steps
        .filter(|(step, _)| !trace.trial.fault.spoils(*step))
        .map(|(step, seen)| (step, seen.loss.unwrap_or(f64::INFINITY)))
        .collect();
    let mean =
        |window: &[(usize, f64)]| window.iter().map(|(_, loss)| loss).sum::<f64>() / MEAN as f64;
    let first = mean(&losses[..MEAN]);
    let mut lowest = first;
    for (index, window) in losses.windows(MEAN).enumerate() {
        if let Some(before) = index.checked_sub(MEAN) {
            lowest = lowest.min(mean(&losses[before..before + MEAN]));
        }
        let most = lowest + (0.5 * (first - lowest)).max(0.1 * first);
        if mean(window) > most {
            let broken = window.iter().find(|(_, loss)| *loss > most);
            return broken.map(|(step, _)| *step);
        }
    }
    None
}

fn table(traces: &[Trace]) -> String {
    let half = |parity: u64| -> Vec<Judged<'_>> {
        let traces = traces.iter().filter(|trace| trace.trial.seed % 2 == parity);
        let judged = traces.map(|trace| Judged {
            steps: &trace.steps,
            broken: broken_at(trace),
        });
        judged.collect()
    };
    let (choose, report) = (half(0), half(1));
    let mut text = String::from("| network | fault | runs | broken |\n|---|---|---|---|\n");
    for kind in [Kind::Momentum, Kind::Adamw, Kind::Gpt] {
        for fault in FAULTS {
            let is_of = |of: &Trial| (of.kind, of.fault) == (kind, fault);
            let runs = traces.iter().filter(|trace| is_of(&trace.trial));
            let broken = runs.clone().filter(|trace| broken_at(trace).is_some());
            let (all, broken) = (runs.clone().count(), broken.count());
            let _ = writeln!(text, "| {kind:?} | {fault:?} | {all} | {broken} |");
        }
    }
    text.push_str("\n| signal | threshold | in a row | true alarms | steps of lead: median (quartiles) | false alarms |\n|---|---|---|---|---|---|\n");
    for (name, signal) in SIGNALS {
        let (threshold, row) = chosen(&choose, signal);
        let score = Score::of(&report, signal, threshold, row);
        let _ = writeln!(text, "{}", score.row(name, threshold, row));
    }
    let (_, edge_ratio) = SIGNALS[0];
    for row in ROWS {
        let score = Score::of(&report, edge_ratio, 1.0, row);
        let _ = writeln!(text, "{}", score.row("η/η_c, not chosen", 1.0, row));
    }
    text
}
