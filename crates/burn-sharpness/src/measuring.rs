//! One measurement: the update direction, then a search along it for each loss.

use crate::hessian::{self, CurvatureMeasurement, Hessian};
use crate::loss::UpdateLoss;
use crate::task::{TRAIN_TASK, Task};
use crate::{
    BaseLossSource, Linearity, Measurement, MeasurementOutcome, SharpnessProbe, UpdateDirection,
};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup};
use burn::optim::{GradientsParams, ModuleOptimizer};
use critical_search::{Bracket, CriticalSearch, Guess, LossLine, Rise, SearchResult};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// An update that is about to be made, and the loss that made it.
pub(crate) struct Update<'a, M> {
    pub(crate) step: u64,
    /// The model, free of autodiff.
    pub(crate) model: M,
    pub(crate) optim: &'a ModuleOptimizer,
    pub(crate) learning_rate: &'a ModuleLearningRate,
    pub(crate) grads: &'a GradientsParams,
    /// The number of batches whose gradients were added up; the loss is their mean.
    pub(crate) micro_batches: usize,
    /// The loss that the training step has computed, if it is known.
    pub(crate) training_loss: Option<UpdateLoss>,
    /// The gradient at other weights, summed over the batches, where the curvature may be measured.
    pub(crate) gradient: Option<Gradient<'a, M>>,
}

/// Computes the gradient of the training loss.
pub(crate) type Gradient<'a, M> = &'a mut dyn FnMut(&M) -> Result<GradientsParams, String>;

/// What is known of an update once the training loss was measured along it.
enum Along {
    /// Its direction, and the training loss L(θ).
    Direction(UpdateDirection, UpdateLoss, BaseLossSource),
    /// The gradients come from a loss that is not finite, and so would the direction.
    NonFinite,
    /// There is none, for this reason.
    Nothing(String),
}

impl SharpnessProbe {
    /// Measures along an update, records the measurements, and reports them. Returns that of the
    /// training loss. Never panics.
    pub(crate) fn measure_update<M: Module + 'static>(
        &self,
        mut update: Update<'_, M>,
        mut loss: impl FnMut(&M) -> Result<Option<UpdateLoss>, String>,
    ) -> Arc<Measurement> {
        let mut loss =
            |model: &M| loss(model)?.ok_or_else(|| "there is no batch to measure on".to_string());
        let epoch = self.state().epoch;
        let mut tasks = self.tasks();

        let started = Instant::now();
        let mut training = Measurement::new(update.step, epoch, TRAIN_TASK);
        let search = AssertUnwindSafe(|| self.search_training(&update, &mut loss, &mut training));
        let along = catch_unwind(search).unwrap_or_else(|_| {
            self.state().stopped = true;
            Err(PANICKED.to_string())
        });
        let along = along.unwrap_or_else(|reason| {
            training.set_failure(&reason);
            Along::Nothing(format!("the training's own measurement failed: {reason}"))
        });
        if let Along::Direction(direction, ..) = &along {
            // Whatever goes wrong here leaves the critical sharpness as it was measured.
            let measure = AssertUnwindSafe(|| self.measure_curvature(&mut update, direction));
            let measured = catch_unwind(measure).unwrap_or_else(|_| Err(PANICKED.to_string()));
            match measured {
                Ok(curvature) => training.curvature = curvature,
                Err(reason) => {
                    self.state().curvature_stopped = true;
                    tracing::warn!(
                        step = update.step,
                        reason,
                        "the curvature is measured no more"
                    );
                }
            }
        }
        training.set_seconds(started.elapsed());

        let mut measurements = vec![training];
        for task in tasks.iter_mut().filter(|task| !task.stopped) {
            let measurement = if task.is_training() {
                measurements[0].of_other_task(&task.name)
            } else {
                self.measure_task(&update, &along, task, &mut loss, epoch)
            };
            measurements.push(measurement);
        }
        let of_groups = tasks.iter().filter(|task| task.group().is_some());
        let of_groups: Vec<&str> = of_groups.map(|task| &*task.name).collect();
        let of_losses = measurements.iter();
        let of_losses = of_losses.filter(|m| !of_groups.contains(&m.task.as_str()));
        let of_losses: Vec<&Measurement> = of_losses.collect();
        if of_losses.len() > 1 {
            let limiting = limiting_task(&of_losses).map(str::to_string);
            for measurement in &mut measurements {
                measurement.limiting_task = limiting.clone();
            }
        }

        let measurements: Vec<_> = measurements.into_iter().map(Arc::new).collect();
        drop(tasks);
        let training = measurements[0].clone();
        let interval = update.micro_batches as u64 * self.config.interval();
        let on_edge = self.state().publish(measurements, interval, &self.config);
        if let Some(on_edge) = on_edge {
            let call = AssertUnwindSafe(|| on_edge(&training));
            if catch_unwind(call).is_err() {
                tracing::warn!("the function to call at the edge panicked; the training goes on");
            }
        }
        training
    }

    /// Fills in the measurement of the training loss. What is known before a failure stays in it.
    fn search_training<M: Module>(
        &self,
        update: &Update<'_, M>,
        loss: &mut impl FnMut(&M) -> Result<UpdateLoss, String>,
        measurement: &mut Measurement,
    ) -> Result<Along, String> {
        let (guess, linear) = {
            let state = self.state();
            (state.guess, state.linear)
        };
        let learning_rate = update.learning_rate.base();
        measurement.learning_rate = Some(learning_rate).filter(|rate| rate.is_finite());

        let (base, source) = self.base_loss(update, loss)?;
        measurement.set_base_loss(&base, source);
        if !base.value().is_finite() {
            measurement.outcome = MeasurementOutcome::NonFiniteBaseLoss;
            return Ok(Along::NonFinite);
        }

        let direction = UpdateDirection::new(
            &update.model,
            update.optim,
            update.learning_rate,
            update.grads,
            2.0 * guess.map_or(learning_rate, |guess| guess.critical_lr()),
            match linear {
                None => Linearity::Check,
                Some(true) => Linearity::Linear,
                Some(false) => Linearity::Nonlinear,
            },
        )
        .map_err(|error| error.to_string())?;
        measurement.set_direction(&direction);
        self.state().linear = Some(direction.is_linear());
        let line = LossLine::new(base.value()).with_resolution(base.resolution());
        // Gradients of micro-batches add up, while their loss is a mean.
        let slope = direction.slope() / update.micro_batches as f64;
        measurement.slope = Some(slope).filter(|slope| slope.is_finite());
        // Of a path that is not a line, the slope at the start is only approximate.
        let line = if direction.is_linear() || !slope.is_finite() {
            line.with_slope(slope)
        } else {
            line
        };

        let guess = guess.unwrap_or_else(|| Guess::new(direction.learning_rate()));
        let result = search_line(&self.search, &line, guess, measurement, |learning_rate| {
            let moved = direction.apply(update.model.clone(), learning_rate);
            loss(&moved).map(|loss| loss.rise_from(&base))
        })?;
        self.state().guess = Some(guess.learn(&line, &result));
        Ok(Along::Direction(direction, base, source))
    }

    /// The curvature, if it is due at this step and its gradient can be computed.
    fn measure_curvature<M: Module>(
        &self,
        update: &mut Update<'_, M>,
        direction: &UpdateDirection,
    ) -> Result<Option<CurvatureMeasurement>, String> {
        let Some(config) = &self.config.curvature else {
            return Ok(None);
        };
        let is_due = update.step.is_multiple_of(config.every) && !self.state().curvature_stopped;
        let Some(gradient) = update.gradient.take().filter(|_| is_due) else {
            return Ok(None);
        };
        let parts = update.micro_batches;
        let hessian = Hessian::new(&update.model, update.grads, gradient);
        let mut hessian = hessian
            .map_err(|error| error.to_string())?
            .with_parts(parts);
        // The preconditioner of an update has seen its gradient.
        let optim = direction.optimizer_after(&update.model);
        let delta = direction.delta(&update.model);
        let along = hessian::Along {
            delta: delta.as_ref(),
            slope: direction.slope() / parts as f64,
            optim: &optim,
        };
        let mut memory = std::mem::take(&mut self.state().curvature);
        let measured = hessian::measure(&mut hessian, &along, config, &mut memory);
        self.state().curvature = memory;
        Ok(Some(measured))
    }

    /// Measures a task along the update. A task that fails for good is reported once and stopped.
    fn measure_task<M: Module + 'static>(
        &self,
        update: &Update<'_, M>,
        along: &Along,
        task: &mut Task,
        training_loss: &mut impl FnMut(&M) -> Result<UpdateLoss, String>,
        epoch: Option<u64>,
    ) -> Measurement {
        let started = Instant::now();
        let mut measurement = Measurement::new(update.step, epoch, &task.name);
        let search = AssertUnwindSafe(|| match task.group().cloned() {
            Some(group) => {
                self.search_group(update, along, &group, task, training_loss, &mut measurement)
            }
            None => self.search_task(update, along, task, &mut measurement),
        });
        let searched = catch_unwind(search).unwrap_or_else(|_| Err(PANICKED.to_string()));
        if let Err(reason) = searched {
            // What is wrong with its loss or its batches will not mend itself.
            task.stopped = matches!(along, Along::Direction(..));
            measurement.set_failure(reason);
        }
        measurement.set_seconds(started.elapsed());

        if measurement.outcome == MeasurementOutcome::NonFiniteBaseLoss && !task.warned {
            task.warned = true;
            tracing::warn!(
                step = measurement.step,
                task = measurement.task,
                "the loss of a task is not finite: where that is so it cannot be measured, which is said once"
            );
        }
        measurement
    }

    fn search_task<M: Module + 'static>(
        &self,
        update: &Update<'_, M>,
        along: &Along,
        task: &mut Task,
        measurement: &mut Measurement,
    ) -> Result<(), String> {
        let direction = match along {
            Along::Direction(direction, ..) => direction,
            Along::NonFinite => {
                measurement.outcome = MeasurementOutcome::NonFiniteSlope;
                return Ok(());
            }
            Along::Nothing(reason) => return Err(reason.clone()),
        };
        measurement.set_direction(direction);
        if !direction.norm().is_finite() {
            measurement.outcome = MeasurementOutcome::NonFiniteSlope;
            return Ok(());
        }

        let device = update.model.devices().into_iter().next();
        let device = device.unwrap_or_default().inner();
        // The same batches at the same step, whether the run was resumed or not.
        let index = update.step / self.config.interval();
        task.select(index, self.config.task_batches, &device)?;

        let base = task.loss(&update.model)?;
        measurement.set_base_loss(&base, BaseLossSource::Evaluated);
        if !base.value().is_finite() {
            measurement.outcome = MeasurementOutcome::NonFiniteBaseLoss;
            return Ok(());
        }
        if !task.repeatable {
            let again = task.loss(&update.model)?;
            check_repeatable(&base, &again)?;
            task.repeatable = true;
        }

        // The gradient of this loss is not known, and with it the slope.
        let line = LossLine::new(base.value()).with_resolution(base.resolution());
        let guess = self.guess_of(task, direction.learning_rate());
        let result = search_line(&self.search, &line, guess, measurement, |learning_rate| {
            let moved = direction.apply(update.model.clone(), learning_rate);
            task.loss(&moved).map(|loss| loss.rise_over_batches(&base))
        })?;
        task.guess = Some(guess.learn(&line, &result));
        if base.batches() > 1 {
            let error = result.outcome.bracket().and_then(Bracket::standard_error);
            measurement.critical_lr_spread = error.map(|e| e * (base.batches() as f64).sqrt());
        }
        Ok(())
    }

    /// Where the search of a task starts: where its last one led, or that of the training.
    fn guess_of(&self, task: &Task, learning_rate: f64) -> Guess {
        let guess = task.guess.or(self.state().guess);
        guess.unwrap_or_else(|| Guess::new(learning_rate))
    }

    /// Searches for the training loss along the update of a group of parameters.
    fn search_group<M: Module>(
        &self,
        update: &Update<'_, M>,
        along: &Along,
        group: &ParamGroup,
        task: &mut Task,
        loss: &mut impl FnMut(&M) -> Result<UpdateLoss, String>,
        measurement: &mut Measurement,
    ) -> Result<(), String> {
        let (direction, base, source) = match along {
            Along::Direction(direction, base, source) => (direction, base, source),
            Along::NonFinite => {
                measurement.outcome = MeasurementOutcome::NonFiniteSlope;
                return Ok(());
            }
            Along::Nothing(reason) => return Err(reason.clone()),
        };
        measurement.set_base_loss(base, *source);
        let direction = direction
            .restricted_to(group, &update.model, update.grads)
            .map_err(|error| error.to_string())?;
        measurement.set_direction(&direction);
        let slope = direction.slope() / update.micro_batches as f64;
        measurement.slope = Some(slope).filter(|slope| slope.is_finite());
        let line = LossLine::new(base.value())
            .with_resolution(base.resolution())
            .with_slope(slope);
        let guess = self.guess_of(task, direction.learning_rate());
        let result = search_line(&self.search, &line, guess, measurement, |learning_rate| {
            let moved = direction.apply(update.model.clone(), learning_rate);
            loss(&moved).map(|loss| loss.rise_from(base))
        })?;
        task.guess = Some(guess.learn(&line, &result));
        Ok(())
    }

    /// L(θ): the training step's own, where it was seen to agree with the probe's to rounding, and
    /// evaluated otherwise.
    ///
    /// Two passes must agree before a difference of losses means anything: a loss that draws random
    /// numbers (its own dropout, say) has no line to search along. The first measurement makes sure.
    fn base_loss<M: Module>(
        &self,
        update: &Update<'_, M>,
        loss: &mut impl FnMut(&M) -> Result<UpdateLoss, String>,
    ) -> Result<(UpdateLoss, BaseLossSource), String> {
        let (agrees, repeatable) = {
            let state = self.state();
            (state.training_agrees, state.repeatable)
        };
        if agrees == Some(true)
            && let Some(training_loss) = &update.training_loss
        {
            return Ok((training_loss.clone(), BaseLossSource::Training));
        }
        let base = loss(&update.model)?;
        let evaluated = |base| Ok((base, BaseLossSource::Evaluated));
        if !base.value().is_finite() {
            return evaluated(base);
        }
        if agrees.is_none()
            && let Some(training_loss) = &update.training_loss
        {
            let agrees =
                base.is_scalar() && base.batch_fraction() == 1.0 && base.agrees_with(training_loss);
            let mut state = self.state();
            state.training_agrees = Some(agrees);
            state.repeatable |= agrees;
            if agrees {
                drop(state);
                return evaluated(base);
            }
        }
        if !repeatable {
            let again = loss(&update.model)?;
            check_repeatable(&base, &again)?;
            self.state().repeatable = true;
        }
        evaluated(base)
    }
}

const PANICKED: &str =
    "the loss panicked, so that it is measured no more in this run; see the panic's own message";

/// Searches along a line and fills in how that ended.
fn search_line(
    search: &CriticalSearch,
    line: &LossLine,
    guess: Guess,
    measurement: &mut Measurement,
    rise: impl FnMut(f64) -> Result<Rise, String>,
) -> Result<SearchResult, String> {
    let result = search.try_run(line, guess, rise).map_err(|interrupted| {
        measurement.evaluations = interrupted.trace.len();
        interrupted.to_string()
    })?;
    measurement.set_result(&result);
    Ok(result)
}

fn check_repeatable(base: &UpdateLoss, again: &UpdateLoss) -> Result<(), String> {
    if base.agrees_with(again) {
        return Ok(());
    }
    Err(format!(
        "the loss is not repeatable: two passes over the same weights and batch gave {} and {}; it must not draw random numbers in validation mode",
        base.value(),
        again.value(),
    ))
}

/// The task that allows the smallest learning rate only, if any is limited.
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
