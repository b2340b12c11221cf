//! How early the alarm is: short runs, some of which break, and what the signals of each step say before.

use crate::network::{Network, Task, fully_connected, momentum, of_gpt};
use crate::results::Results;
use anyhow::{Context, Result};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_sharpness::{SharpnessConfig, SharpnessProbe, Step, TRAIN_TASK};
use gpt::model::GptConfig;
use gpt::optimizer::adamw;
use gpt::small::{Examples, VOCAB};
use gpt::tokens::TokenBatch;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

/// The updates of a run, those of its warmup, and the first that has a fault.
const STEPS: usize = 150;
const WARMUP: usize = 10;
const FAULT: usize = 75;
/// The seeds of each fault. Thresholds are chosen on the even ones.
const SEEDS: u64 = 6;
/// The steps before that a signal is compared with.
const WINDOW: usize = 20;
/// The steps whose mean loss says whether a run has broken.
const MEAN: usize = 10;
/// The rows of steps above a threshold that make an alarm.
const ROWS: [usize; 5] = [1, 2, 3, 5, 10];
/// The thresholds that are tried.
const THRESHOLDS: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Momentum,
    Adamw,
    Gpt,
}

/// What goes wrong in the middle of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    None,
    /// The learning rate, from then on in these parts of the tuned one.
    Rate(f64),
    /// The learning rate, which from the warmup on rises to so many times the tuned one.
    Ramp(f64),
    /// So many batches in a row that say nothing of the others.
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

/// What a step knows before it is made, as far as it is a finite number.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Seen {
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

/// Makes the runs that the folder lacks, and returns the table of all.
pub fn study(folder: &Path, device: &Device) -> Result<String> {
    let mut traces = Results::<Trace>::open(folder, "alarms.jsonl")?;
    for kind in [Kind::Momentum, Kind::Adamw, Kind::Gpt] {
        for fault in FAULTS {
            for seed in 0..SEEDS {
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
            let task = fully_connected(momentum(), steps, seed, device);
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
                inputs: batch.inputs.clone() * 0,
                targets: batch.targets.clone() * 0,
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
    let Task {
        mut model,
        mut optim,
        batches,
        loss,
        ..
    } = task;
    let config = SharpnessConfig::new().with_every(1).with_panel(true);
    let probe = SharpnessProbe::new(config)?;
    let mut seen = Vec::new();
    for (step, batch) in batches.iter().enumerate() {
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
    /// Whether the batch of a step says nothing of the others.
    fn spoils(self, step: usize) -> bool {
        matches!(self, Self::Batches(count) if (FAULT..FAULT + count).contains(&step))
    }
}

/// The step at which a run breaks: from it on, the mean loss of ten steps has lost half of what was gained, and a tenth of the
/// first loss, or is no number. The losses of spoiled batches do not count.
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

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A signal at each step: how far it is from what is usual.
type Signal = fn(&[Seen], usize) -> Option<f64>;

fn over_median(steps: &[Seen], step: usize, of: fn(&Seen) -> Option<f64>) -> Option<f64> {
    let before = steps[step.saturating_sub(WINDOW)..step].iter();
    Some((of(&steps[step])? / median(before.filter_map(of))?).abs())
}

const SIGNALS: [(&str, Signal); 4] = [
    ("η/η_c", |steps, step| steps[step].edge_ratio),
    ("slope over its median of 20 steps", |steps, step| {
        over_median(steps, step, |seen| seen.slope)
    }),
    ("‖g‖ over its median of 20 steps", |steps, step| {
        over_median(steps, step, |seen| seen.gradient_norm)
    }),
    ("loss, in standard deviations of 20 steps", |steps, step| {
        let before: Vec<f64> = steps[step.saturating_sub(WINDOW)..step]
            .iter()
            .filter_map(|seen| seen.loss)
            .collect();
        let count = before.len() as f64;
        let mean = before.iter().sum::<f64>() / count;
        let square = before.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count;
        Some((steps[step].loss? - mean) / square.sqrt()).filter(|z| z.is_finite())
    }),
];

/// The runs of one half, by whether and when they break.
struct Judged<'a> {
    steps: &'a [Seen],
    broken: Option<usize>,
}

impl Judged<'_> {
    /// The step of the first alarm before the run breaks: the last of so many in a row with the signal above the threshold.
    fn alarm(&self, signal: Signal, threshold: f64, row: usize) -> Option<usize> {
        let mut count = 0;
        (WINDOW..self.broken.unwrap_or(self.steps.len())).find(|step| {
            // Without a number it is neither past the threshold nor back.
            match signal(self.steps, *step) {
                Some(value) if value > threshold => count += 1,
                Some(_) => count = 0,
                None => {}
            }
            count == row
        })
    }
}

/// What a rule does on some runs.
#[derive(Default)]
struct Score {
    leads: Vec<usize>,
    broken: usize,
    false_alarms: usize,
    intact: usize,
}

impl Score {
    fn of(runs: &[Judged<'_>], signal: Signal, threshold: f64, row: usize) -> Self {
        let mut score = Self::default();
        for run in runs {
            let alarm = run.alarm(signal, threshold, row);
            match run.broken {
                Some(broken) => {
                    score.broken += 1;
                    score.leads.extend(alarm.map(|alarm| broken - alarm));
                }
                None => {
                    score.intact += 1;
                    score.false_alarms += usize::from(alarm.is_some());
                }
            }
        }
        score.leads.sort_unstable();
        score
    }

    /// The share of true alarms less that of false ones.
    fn value(&self) -> f64 {
        self.leads.len() as f64 / self.broken.max(1) as f64
            - self.false_alarms as f64 / self.intact.max(1) as f64
    }

    fn row(&self, name: &str, threshold: f64, row: usize) -> String {
        let lead = |part: usize| {
            let last = self.leads.len().checked_sub(1);
            last.map_or("none".to_string(), |last| {
                self.leads[last * part / 4].to_string()
            })
        };
        format!(
            "| {name} | {threshold:.3} | {row} | {} of {} | {} ({} to {}) | {} of {} |",
            self.leads.len(),
            self.broken,
            lead(2),
            lead(1),
            lead(3),
            self.false_alarms,
            self.intact,
        )
    }
}

/// The threshold and the row with the most true alarms for the fewest false ones.
fn chosen(runs: &[Judged<'_>], signal: Signal) -> (f64, usize) {
    let mut values: Vec<f64> = runs
        .iter()
        .flat_map(|run| (WINDOW..run.steps.len()).filter_map(|step| signal(run.steps, step)))
        .collect();
    values.sort_by(f64::total_cmp);
    let mut best = (f64::NEG_INFINITY, f64::INFINITY, 1);
    for part in 0..THRESHOLDS {
        // Most of the rules that matter lie among the largest values.
        let rank = 1.0 - 0.5_f64.powf(part as f64 / 6.0);
        let Some(threshold) = values.get((rank * values.len() as f64) as usize) else {
            continue;
        };
        for row in ROWS {
            let value = Score::of(runs, signal, *threshold, row).value();
            if value > best.0 {
                best = (value, *threshold, row);
            }
        }
    }
    (best.1, best.2)
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
            let runs = traces
                .iter()
                .filter(|trace| (trace.trial.kind, trace.trial.fault) == (kind, fault));
            let broken = runs.clone().filter(|trace| broken_at(trace).is_some());
            let _ = writeln!(
                text,
                "| {kind:?} | {fault:?} | {} | {} |",
                runs.clone().count(),
                broken.count()
            );
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
