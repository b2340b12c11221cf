//! Maps an update and earlier findings to measurements and findings, without handles, locks or files.

mod along;
mod curvature;
mod line;
mod memory;
mod panel;
mod scale;
mod subject;
mod tasks;
mod training;

pub(crate) use line::{may_show, step_kind};
pub(crate) use memory::Memory;
pub(crate) use subject::{Facts, Stage, Subject};

use crate::config::SharpnessConfig;
use crate::direction::UpdateDirection;
use crate::failure::{Failure, LEFT_OUT, guarded};
use crate::task::{BatchLoss, Task};
use along::{Along, End};
use burn::module::Module;
use critical_search::CriticalSearch;
use memory::LineMemory;
use panel::{Panel, write_thresholds};
use sharpness_record::{
    CurvatureMeasurement, CurvatureValue, Measurement, MeasurementOutcome, TRAIN_TASK,
};
use std::time::Instant;

const CONSTANT: &str = "the loss is the same to the bit at all learning rates, however far they take the weights: compute it with the model that the closure is given, `|model| …`";
/// Rounding can explain fewer equal losses.
const ALL_THE_SAME: usize = 3;

#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) config: &'a SharpnessConfig,
    pub(crate) search: &'a CriticalSearch,
}

pub(crate) struct Measured {
    pub(crate) training: Measurement,
    pub(crate) of_tasks: Vec<Measurement>,
    pub(crate) notices: Vec<String>,
    pub(crate) stop: Option<String>,
}

struct Work<'a, M> {
    subject: Subject<'a, M>,
    settings: Settings<'a>,
    memory: &'a mut Memory,
    started: Instant,
    along: Along,
    direction: Option<UpdateDirection>,
    panel: Option<Panel>,
    has_curvature: bool,
    curvature: Option<CurvatureMeasurement>,
    has_batch_sharpness: bool,
    batch_sharpness: Option<[CurvatureValue; 2]>,
    of_tasks: Vec<Measurement>,
    notices: Vec<String>,
}

type Part<'a, M> = fn(&mut Work<'a, M>) -> Result<(), Failure>;

/// Never panics.
pub(crate) fn measure<'a, M: Module + 'static>(
    subject: Subject<'a, M>,
    settings: Settings<'a>,
    tasks: &mut [Task],
    batch_loss: Option<&mut BatchLoss>,
    memory: &'a mut Memory,
) -> Measured {
    for device in subject.model.devices() {
        // Pending work of the training step is no part of the measurement. A failing device fails again below.
        let _ = device.sync();
    }
    let mut work = Work {
        subject,
        settings,
        memory,
        started: Instant::now(),
        along: Along::default(),
        direction: None,
        panel: None,
        has_curvature: false,
        curvature: None,
        has_batch_sharpness: false,
        batch_sharpness: None,
        of_tasks: Vec::new(),
        notices: Vec::new(),
    };
    for (what, part) in Work::TRAINING {
        if work.along.end.is_none()
            && let Err(failure) = work.attempt(what, part)
        {
            work.along.end = Some(End::Failed(failure));
        }
    }
    let curvature = work.attempt("the gradient of the loss", Work::measure_curvature);
    curvature.unwrap_or_else(|failure| work.stop_curvature(&failure));
    if let Some(loss) = batch_loss {
        let part = |work: &mut Work<'a, M>| work.measure_batch_sharpness(loss);
        let measured = work.attempt("the loss of batch sharpness", part);
        measured.unwrap_or_else(|failure| work.stop_batch_sharpness(&failure));
    }
    let mut training = work.training();
    // An edge cap measures more steps than the schedule.
    let step = work.subject.facts.place.step;
    let is_scheduled = step.is_multiple_of(settings.config.interval());
    if !(is_scheduled && tasks.iter().any(Task::is_group)) {
        work.subject.losses.end();
    }
    for task in tasks.iter_mut().filter(|_| is_scheduled) {
        work.started = Instant::now();
        let part = |work: &mut Work<'a, M>| work.measure_task(task, &training);
        if let Err(failure) = work.attempt("the loss of the task", part) {
            let along = Along::default().ended(End::Failed(failure));
            work.end_task(task, along, LineMemory::default());
        }
    }
    name_limiting_task(&mut training, &mut work.of_tasks, tasks);
    let stop = match &work.along.end {
        Some(End::Failed(failure)) if failure.is_for_good() => Some(failure.to_string()),
        _ => None,
    };
    Measured {
        training,
        of_tasks: work.of_tasks,
        notices: work.notices,
        stop,
    }
}

impl<'a, M: Module + 'static> Work<'a, M> {
    const TRAINING: [(&'static str, Part<'a, M>); 3] = [
        ("the loss", Self::find_base),
        ("the optimizer", Self::find_direction),
        ("the loss", Self::search),
    ];

    fn attempt(
        &mut self,
        what: &'static str,
        part: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        guarded(what, || part(self))
    }

    fn describe_batches(&self, measurement: &mut Measurement) {
        let Subject { facts, .. } = &self.subject;
        measurement.batch_fraction *= facts.coverage.share;
        measurement.workers = facts.coverage.workers;
        measurement.batch_statistics = self.subject.has_batch_statistics.then_some(true);
    }

    fn training(&mut self) -> Measurement {
        let seconds = self.started.elapsed().as_secs_f64();
        let place = self.subject.facts.place;
        let mut training = self.along.measurement(place, TRAIN_TASK, seconds);
        training.curvature = self.curvature.take();
        if let Some([batch_sharpness, interaction_aware]) = self.batch_sharpness.take() {
            training.batch_sharpness = Some(batch_sharpness);
            training.interaction_aware_sharpness = Some(interaction_aware);
        }
        self.describe_batches(&mut training);
        training.line = self.settings.config.lines.then(|| self.along.points());
        if let Some(panel) = &self.panel {
            panel.write(&self.along, &mut training);
        }
        if let Some(thresholds) = self.settings.config.thresholds {
            write_thresholds(thresholds, &mut training);
        }
        if !self.subject.facts.coverage.is_whole() {
            let limit = self.settings.config.worker_limit;
            self.notices.push(format!(
                "a worker has ended, or did not take part in a measurement within {limit:.1?} (`workers` in the record says how many did): {LEFT_OUT}"
            ));
        }
        if !is_constant(&self.along) {
            self.memory.constant = 0;
            return training;
        }
        self.memory.constant += 1;
        training.reason.get_or_insert_with(|| CONSTANT.to_string());
        if self.memory.constant == 2 {
            self.notices.push(CONSTANT.to_string());
        }
        training
    }
}

fn is_constant(along: &Along) -> bool {
    let base = along.base.as_ref();
    let is_zero = base.is_some_and(|(base, _)| base.value() == 0.0);
    let trace = match &along.end {
        Some(End::Searched(result)) => &result.trace,
        _ => return false,
    };
    !is_zero && trace.len() >= ALL_THE_SAME && trace.iter().all(|at| at.rise == 0.0)
}

/// A group concerns no other loss, so it is never the limiting task.
fn name_limiting_task(training: &mut Measurement, of_tasks: &mut [Measurement], tasks: &[Task]) {
    let is_of_group = |measurement: &Measurement| {
        let mut groups = tasks.iter().filter(|task| task.is_group());
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

fn limiting_task<'a>(measurements: &[&'a Measurement]) -> Option<&'a str> {
    let limit = |measurement: &Measurement| match measurement.outcome {
        MeasurementOutcome::NotDescent => Some(0.0),
        _ => measurement.critical_lr,
    };
    let limits = measurements.iter().filter_map(|m| Some((limit(m)?, *m)));
    let limiting = limits.min_by(|(a, _), (b, _)| a.total_cmp(b));
    limiting.map(|(_, measurement)| measurement.task.as_str())
}
