use super::along::{Along, End, Panicked, Slope, unless_it_panics};
use super::memory::LineMemory;
use super::training::check_repeatable;
use super::update::MeasuredUpdate;
use crate::loss::BatchLosses;
use crate::task::{Task, TaskKind, TaskLoss};
use crate::{SharpnessConfig, UpdateDirection};
use burn::module::{Module, ParamGroup};
use critical_search::{CriticalSearch, Guess};
use sharpness_record::{BaseLossSource, Measurement, MeasurementOutcome, SlopeSource};
use std::time::Instant;

/// What the training's own measurement along the update has found.
pub(super) struct OfUpdate<'a> {
    pub(super) training: &'a Measurement,
    /// L(θ) of the training.
    pub(super) base: Option<&'a (BatchLosses, BaseLossSource)>,
    pub(super) direction: Option<&'a mut UpdateDirection>,
    /// Where the next search of the training starts.
    pub(super) guess: Option<Guess>,
}

/// Measures a task or a group along the update. One that fails for good is measured no more.
pub(super) fn measure_task<M: Module + 'static>(
    update: &mut MeasuredUpdate<'_, M>,
    mut of_update: OfUpdate<'_>,
    task: &mut Task,
    config: &SharpnessConfig,
    search: &CriticalSearch,
    memory: &mut LineMemory,
) -> Measurement {
    let started = Instant::now();
    let (step, epoch) = (update.step, update.epoch);
    let has_direction = of_update.direction.is_some();
    let measured = unless_it_panics("the loss of the task", || {
        let direction = match direction_or_end(&mut of_update) {
            Ok(direction) => direction,
            Err(along) => return Ok(*along),
        };
        Ok(match &mut task.kind {
            TaskKind::Loss(loss) => {
                let guess = of_update.guess;
                let loss = loss.as_mut();
                along_task(update, direction, guess, loss, config, search, memory)
            }
            TaskKind::Group(group) => {
                along_group(update, direction, &of_update, group, search, memory)
            }
            TaskKind::Training => Along::default(),
        })
    });
    let along = measured.unwrap_or_else(|failure| match failure {
        Panicked::Yes(reason) | Panicked::No(reason) => Along::failed(reason),
    });
    // What is wrong with its loss or its batches will not mend itself.
    memory.stopped = has_direction && matches!(along.end, Some(End::Failed(_)));
    let seconds = started.elapsed().as_secs_f64();
    let line = config.lines.then(|| along.points());
    let mut measurement = along.into_measurement(step, epoch, &task.name, seconds);
    measurement.line = line;
    if measurement.outcome == MeasurementOutcome::NonFiniteBaseLoss && !memory.warned {
        memory.warned = true;
        tracing::warn!(
            step = measurement.step,
            task = measurement.task,
            "the loss of a task is not finite: it cannot be measured as long as that is so, which is said once"
        );
    }
    measurement
}

/// The direction of the update, or how the measurement ends without one.
fn direction_or_end<'a>(
    of_update: &mut OfUpdate<'a>,
) -> Result<&'a mut UpdateDirection, Box<Along>> {
    let end = match of_update.direction.take() {
        Some(direction) if direction.norm().is_finite() => return Ok(direction),
        Some(direction) => Along::default()
            .with_direction(direction)
            .ended(End::Known(MeasurementOutcome::NonFiniteSlope)),
        // The gradients come from a loss that is not finite, and so would the direction.
        None if of_update.training.outcome == MeasurementOutcome::NonFiniteBaseLoss => {
            Along::default().ended(End::Known(MeasurementOutcome::NonFiniteSlope))
        }
        None => {
            let reason = of_update.training.reason.clone().unwrap_or_default();
            Along::failed(format!("the training's own measurement failed: {reason}"))
        }
    };
    Err(Box::new(end))
}

/// The loss of a task along the training's update.
fn along_task<M: Module + 'static>(
    update: &mut MeasuredUpdate<'_, M>,
    direction: &mut UpdateDirection,
    guess: Option<Guess>,
    task: &mut dyn TaskLoss,
    config: &SharpnessConfig,
    search: &CriticalSearch,
    memory: &mut LineMemory,
) -> Along {
    let along = Along::default().with_direction(direction);
    let model = update.model;
    let device = model.devices().into_iter().next();
    let device = device.unwrap_or_default().inner();
    // The same batches at the same step, whether the run was resumed or not.
    let index = update.step / config.interval();
    let mut base_of = || -> Result<BatchLosses, String> {
        task.select(index, config.task_batches, &device)?;
        let base = task.loss(model)?;
        if base.value().is_finite() && !memory.is_repeatable {
            check_repeatable(&base, &task.loss(model)?)?;
            memory.is_repeatable = true;
        }
        Ok(base)
    };
    let base = match base_of() {
        Ok(base) => base,
        Err(reason) => return along.ended(End::Failed(reason)),
    };
    let is_finite = base.value().is_finite();
    let along = Along {
        base: Some((base, BaseLossSource::Evaluated)),
        ..along
    };
    if !is_finite {
        return along.ended(End::Known(MeasurementOutcome::NonFiniteBaseLoss));
    }
    // The gradient of this loss is not known, and with it the slope.
    let start = start(guess, direction);
    let mut losses = |model: &M| task.loss(model);
    along.searched(
        search,
        model,
        direction,
        (memory, start),
        &mut losses,
        BatchLosses::rise_over_batches,
    )
}

/// The training loss along the update of a group of parameters.
fn along_group<M: Module>(
    update: &mut MeasuredUpdate<'_, M>,
    direction: &mut UpdateDirection,
    of_update: &OfUpdate<'_>,
    group: &ParamGroup,
    search: &CriticalSearch,
    memory: &mut LineMemory,
) -> Along {
    let model = update.model;
    direction.renew(model);
    let mut direction = match direction.of_group(group, model) {
        Ok(direction) => direction,
        Err(error) => return Along::failed(error.to_string()),
    };
    let along = Along {
        base: of_update.base.cloned(),
        slope: direction.is_shown().then(|| Slope {
            value: direction.slope() / update.micro_batches as f64,
            source: of_update.training.slope_source.unwrap_or(SlopeSource::Hint),
        }),
        ..Along::default()
    };
    let start = start(of_update.guess, &direction);
    along.with_direction(&direction).searched(
        search,
        model,
        &mut direction,
        (memory, start),
        update.loss,
        BatchLosses::rise_from,
    )
}

/// Where the first search of a task starts: where that of the training ended.
fn start(guess: Option<Guess>, direction: &UpdateDirection) -> Guess {
    let of_training = guess.and_then(|guess| guess.critical_lr());
    let rate = of_training.unwrap_or(direction.learning_rate());
    if rate > 0.0 {
        Guess::new(rate)
    } else {
        Guess::unknown()
    }
}
