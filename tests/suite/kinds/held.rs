//! Trains a case, measures its steps in all ways, and holds each measurement against a scan.

use super::case::{Case, Tweak};
use super::fault::Fault;
use super::judge::judge;
use super::run::{Run, Update, value};
use super::tally::Tally;
use super::tasks::{Place, Scene, TASKS};
use super::ways::{WAYS, learner};
use burn::tensor::{FloatDType, Tensor};
use burn_sharpness::{Measurement, MeasurementOutcome, SharpnessProbe, TRAIN_TASK};
use sharpness_tests::{Data, Line, Sample, Scan, Zoo, bits};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of each loss of a case.
pub type Tallies = BTreeMap<String, Tally>;

/// A way to measure, and what it has measured.
type Measured = (&'static str, Arc<Measurement>);

pub fn held(case: &Case) -> Tallies {
    let scene = Scene::default();
    let probes: Vec<_> = case
        .parts
        .iter()
        .map(|_| WAYS.map(|way| way.probe(case, &scene)))
        .collect();
    let learners = match case.has_learner {
        true => vec![
            ("learner", learner(case, true)),
            ("learner, before", learner(case, false)),
        ],
        false => Vec::new(),
    };
    let mut tallies = Tallies::from([(TRAIN_TASK.to_string(), Tally::default())]);
    let mut run = Run::new(case);
    for step in 0..case.steps {
        let updates = run.updates(step);
        let mut made = None;
        if case.is_measured(step) {
            for (part, update) in updates.iter().enumerate() {
                let at = (part, step);
                let stepped = |rate: f64| run.stepped_at(part, rate, update);
                let is_straight = case.parts[part].optimizer.is_straight;
                let line = Line::new(&run.model, &stepped, is_straight);
                if case.has_tasks {
                    *scene.lock().unwrap() = Some(place(case, &line, update, at));
                }
                let (before, after) = (bits(&run.model), bits(&run.after(at, update).0));
                for (way, probe) in WAYS.iter().zip(&probes[part]) {
                    let moved = way.measure(probe, case, &run, at, update);
                    let is_same = match &moved {
                        Some((moved, _)) => bits(moved) == after,
                        None => bits(&run.model) == before,
                    };
                    made = moved.or(made);
                    if !is_same {
                        let note = format!("{step}, {}: other bits", way.name);
                        fault(case, &mut tallies, Fault::Bits, note);
                    }
                    if let Some(note) = wrong_limit(probe) {
                        let note = format!("{step}, {}: {note}", way.name);
                        fault(case, &mut tallies, Fault::Limiting, note);
                    }
                }
                let losses = std::iter::once((TRAIN_TASK, None));
                let tasks = TASKS.iter().map(|(name, task)| (*name, Some(*task)));
                for (name, task) in losses.chain(tasks.filter(|_| case.has_tasks)) {
                    let probes = WAYS.iter().zip(&probes[part]);
                    let mut measured: Vec<Measured> = probes
                        .filter_map(|(way, probe)| Some((way.name, probe.latest(name)?)))
                        .collect();
                    for (way, (record, _)) in learners.iter().filter(|_| task.is_none()) {
                        let at_step = record.iter().filter(|measured| measured.step == step);
                        measured.extend(at_step.map(|m| (*way, Arc::new(m.clone()))));
                    }
                    let loss = |model: &Zoo, update: &Update| match task {
                        Some(task) => task.of(model, scene.lock().unwrap().as_ref().unwrap()),
                        None => update.loss(model),
                    };
                    let tally = tallies.entry(name.to_string()).or_default();
                    hold(case, &run, (step, update), &line, loss, &measured, tally);
                }
            }
        }
        // Every other step is the one that a probe has made.
        let made = made.filter(|_| case.parts.len() == 1 && step % 2 == 1);
        run.step(step, &updates, made);
    }
    let mut results = vec![("own loop", run.result())];
    results.extend(learners.into_iter().map(|(way, (_, bits))| (way, bits)));
    let bare = bare(case);
    for (way, _) in results.iter().filter(|(_, result)| *result != bare) {
        let note = format!("{way}: other weights than without a probe");
        fault(case, &mut tallies, Fault::Bits, note);
    }
    tallies
}

fn fault(case: &Case, tallies: &mut Tallies, fault: Fault, note: String) {
    let tally = tallies.entry(TRAIN_TASK.to_string()).or_default();
    tally.add_fault(fault, format!("{}, step {note}", case.name));
}

/// Holds what all ways have measured of a loss at a step against one scan.
fn hold(
    case: &Case,
    run: &Run<'_>,
    (step, update): (u64, &Update),
    line: &Line<'_, Zoo>,
    loss: impl Fn(&Zoo, &Update) -> Tensor<1>,
    measured: &[Measured],
    tally: &mut Tally,
) {
    let valid = run.valid();
    let update = &update.on(Sample::inner);
    let start = loss(&valid, update);
    let examples = start.dims()[0];
    let dtype = start.dtype();
    let base = value(start);
    let rise = |rate: f64| value(loss(&line.at(&valid, rate), update)) - base;
    let exact = valid.exact().filter(|_| case.tweak != Tweak::Double);
    let exact_update = update.on(|sample| sample.cast(FloatDType::F64));
    let exact_base = exact
        .as_ref()
        .map(|model| value(loss(model, &exact_update)));
    let exact = exact.zip(exact_base).map(|(model, base)| {
        let (loss, update) = (&loss, &exact_update);
        move |rate: f64| value(loss(&line.at(&model, rate), update)) - base
    });
    let exact = exact.as_ref().map(|exact| exact as &dyn Fn(f64) -> f64);
    // In 16 bits it is another line.
    let (same, wide) = match case.kind.network.sixteen_bits() {
        Some(_) => (None, exact),
        None => (exact, None),
    };
    // The mean over examples resolves more than each of them.
    let units = if examples > 1 { 2.0 } else { 4.0 };
    let epsilon = dtype.finfo().map_or(0.0, |info| info.epsilon);
    let mut scan = Scan::new(&rise, same, units * epsilon * base.abs());
    for (way, measured) in measured {
        let verdict = judge(measured, &mut scan, wide);
        tally.count(measured, &verdict);
        tally.note(&verdict.faults, || {
            let slope = (measured.slope, measured.slope_source);
            format!(
                "{}, step {step}, {way}: {}L {base:e}, η {:?}, slope {slope:?}, {} in {:?}..{:?} by {} evaluations",
                case.name,
                verdict.note,
                measured.learning_rate,
                measured.outcome.name(),
                measured.lower,
                measured.upper,
                measured.evaluations,
            )
        });
    }
}

/// The weights of a training without a probe.
fn bare(case: &Case) -> Vec<u8> {
    let mut run = Run::new(case);
    for step in 0..case.steps {
        let updates = run.updates(step);
        run.step(step, &updates, None);
    }
    run.result()
}

/// What the tasks of a step are made of: a prescribed line crosses far below the learning rate in use at first, and far
/// above it later.
fn place(case: &Case, line: &Line<'_, Zoo>, update: &Update, (part, step): (usize, u64)) -> Place {
    let crossing = case.rate(part, step) * 0.37 * 1.05f64.powi(step as i32);
    let sample = update.samples[0].inner();
    let other = Data::new(1, 32, &sample.x.device());
    Place {
        sample,
        other: Sample::of(&other.batch(999)),
        weights: line.start().clone(),
        unit: crossing * line.norm(),
    }
}

/// Whether the task that is named as limiting is not the one with the smallest critical learning rate.
fn wrong_limit(probe: &SharpnessProbe) -> Option<String> {
    let names = std::iter::once(TRAIN_TASK).chain(TASKS.iter().map(|(name, _)| *name));
    let limits: Vec<(f64, &str)> = names
        .filter_map(|name| Some((limit(probe.latest(name)?.as_ref())?, name)))
        .collect();
    let smallest = limits.iter().map(|(limit, _)| *limit).reduce(f64::min)?;
    let named = probe.latest(TRAIN_TASK)?.limiting_task.clone()?;
    let is_smallest = limits
        .iter()
        .any(|(limit, name)| *limit == smallest && *name == named);
    (!is_smallest).then(|| format!("{named} is named as limiting, of {limits:?}"))
}

fn limit(measured: &Measurement) -> Option<f64> {
    match measured.outcome {
        MeasurementOutcome::NotDescent => Some(0.0),
        _ => measured.critical_lr,
    }
}
