//! Measuring is a function: from an update, and what earlier measurements have taught, to measurements,
//! and what they teach. It knows no handle, no lock, no file, and no clock but its own.

mod along;
mod line;
mod memory;
mod mode;
mod places;
mod tasks;
mod training;
mod underway;
mod update;
mod view;

pub(crate) use along::{Panicked, unless_it_panics};
pub(crate) use line::may_step_first;
pub(crate) use memory::Memory;
pub(crate) use mode::{LossOf, Mode};
pub(crate) use underway::{Underway, is_underway};
pub(crate) use update::{Gradient, Known, MeasuredUpdate, Stage, with_step};
pub use update::{Step, Update};
pub(crate) use view::ValidationView;

use crate::SharpnessConfig;
use crate::task::{Task, TaskKind};
use along::{Along, End};
use burn::module::Module;
use critical_search::CriticalSearch;
use sharpness_record::{Measurement, MeasurementOutcome, TRAIN_TASK};
use std::time::Instant;

/// What is said of a loss that is the same wherever it was evaluated.
const CONSTANT: &str = "the loss is the same to the bit at all learning rates, however far they take the weights: compute it with the model that the closure is given, `|model| …`";
/// So many evaluations, at least, tell it from a loss that rounding makes equal.
const ALL_THE_SAME: usize = 3;

/// Measures the training loss along an update, then each task. Returns the measurement of the training
/// loss, and those of the tasks. Never panics.
pub(crate) fn measure<M: Module + 'static>(
    mut update: MeasuredUpdate<'_, M>,
    config: &SharpnessConfig,
    search: &CriticalSearch,
    tasks: &mut [Task],
    memory: &mut Memory,
) -> (Measurement, Vec<Measurement>) {
    for device in update.model.devices() {
        // What is still to be computed of the training step is no part of the measurement. A device that
        // fails here fails below again, where it is told.
        let _ = device.sync();
    }
    let started = Instant::now();
    let (step, epoch) = (update.step, update.epoch);
    if !training::is_curvature_due(step, config, memory) {
        update.gradient = None;
    }
    let (along, mut direction) = training::measure_training(&mut update, search, memory);
    let curvature = direction
        .as_mut()
        .and_then(|direction| training::measure_curvature(&mut update, direction, config, memory));
    let base = along.base.clone();
    let is_constant = is_constant(&along);
    let seconds = started.elapsed().as_secs_f64();
    let line = config.lines.then(|| along.points());
    let mut training = along.into_measurement(step, epoch, TRAIN_TASK, seconds);
    training.line = line;
    memory.constant = if is_constant { memory.constant + 1 } else { 0 };
    if is_constant {
        training.reason.get_or_insert_with(|| CONSTANT.to_string());
    }
    if memory.constant == 2 {
        memory.notices.push_back(CONSTANT.to_string());
    }
    training.curvature = curvature;
    training.batch_statistics = update.has_batch_statistics.then_some(true);

    let mut of_tasks = Vec::new();
    for task in tasks.iter_mut() {
        let line = memory.tasks.entry(task.name.clone()).or_default();
        if line.stopped {
            continue;
        }
        let mut measurement = match task.kind {
            TaskKind::Training => training.of_other_task(&task.name),
            _ => {
                let of_update = tasks::OfUpdate {
                    training: &training,
                    base: base.as_ref(),
                    direction: direction.as_mut(),
                    guess: memory.training.guess,
                };
                tasks::measure_task(&mut update, of_update, task, config, search, line)
            }
        };
        if matches!(task.kind, TaskKind::Group(_)) {
            measurement.batch_statistics = training.batch_statistics;
        }
        of_tasks.push(measurement);
    }
    name_limiting_task(&mut training, &mut of_tasks, tasks);
    (training, of_tasks)
}

/// Whether a loss that is not 0 did not change anywhere along the line.
fn is_constant(along: &Along) -> bool {
    let is_zero = along
        .base
        .as_ref()
        .is_some_and(|(base, _)| base.value() == 0.0);
    let trace = match &along.end {
        Some(End::Searched(result)) => &result.trace,
        _ => return false,
    };
    !is_zero && trace.len() >= ALL_THE_SAME && trace.iter().all(|at| at.rise == 0.0)
}

/// Writes into each measurement which task has the smallest critical learning rate, if there are tasks.
/// A group says nothing of another loss, so it is never the limiting task.
fn name_limiting_task(training: &mut Measurement, of_tasks: &mut [Measurement], tasks: &[Task]) {
    let is_of_group = |measurement: &Measurement| {
        let mut groups = tasks
            .iter()
            .filter(|task| matches!(task.kind, TaskKind::Group(_)));
        groups.any(|task| *task.name == *measurement.task)
    };
    let all = std::iter::once(&*training).chain(of_tasks.iter());
    let of_losses: Vec<&Measurement> = all.filter(|m| !is_of_group(m)).collect();
    if of_losses.len() < 2 {
        return;
    }
    let limiting = limiting_task(&of_losses).map(str::to_string);
    for measurement in std::iter::once(training).chain(of_tasks) {
        measurement.limiting_task = limiting.clone();
    }
}

/// The task with the smallest critical learning rate, if any has one.
fn limiting_task<'a>(measurements: &[&'a Measurement]) -> Option<&'a str> {
    let limit = |measurement: &Measurement| match measurement.outcome {
        // Hurt at once: no learning rate is small enough.
        MeasurementOutcome::NotDescent => Some(0.0),
        _ => measurement.critical_lr,
    };
    let limits = measurements.iter().filter_map(|m| Some((limit(m)?, *m)));
    let limiting = limits.min_by(|(a, _), (b, _)| a.total_cmp(b));
    limiting.map(|(_, measurement)| measurement.task.as_str())
}
