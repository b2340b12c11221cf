use super::Work;
use super::along::{Along, End, Slope, Walk};
use super::curvature::curvature;
use super::memory::LineMemory;
use super::training::check_repeatable;
use crate::direction::UpdateDirection;
use crate::failure::Failure;
use crate::hessian::CurvatureMemory;
use crate::loss::BatchLosses;
use crate::losses::{Losses, Point};
use crate::params::on_device;
use crate::task::{Task, TaskKind, TaskLoss};
use burn::module::{Module, ParamGroup};
use burn::tensor::Device;
use critical_search::Guess;
use sharpness_record::{BaseLossSource, Measurement, MeasurementOutcome, SlopeSource};
use std::sync::Arc;

impl<M: Module + 'static> Work<'_, M> {
    pub(super) fn measure_task(
        &mut self,
        task: &mut Task,
        training: &Measurement,
    ) -> Result<(), Failure> {
        let mut line = self.memory.tasks.remove(&*task.name).unwrap_or_default();
        let along = match (&mut task.kind, self.end_without_direction()) {
            (TaskKind::Training, _) => {
                self.of_tasks.push(training.of_other_task(&task.name));
                return Ok(());
            }
            _ if line.stopped => {
                self.memory.tasks.insert(task.name.to_string(), line);
                return Ok(());
            }
            (_, Some(along)) => along,
            (TaskKind::Loss(loss), None) => self.along_task(&mut **loss, &mut line)?,
            (TaskKind::Group(group), None) => self.along_group(group, &mut line)?,
        };
        self.end_task(task, along, line);
        Ok(())
    }

    pub(super) fn end_task(&mut self, task: &Task, along: Along, mut line: LineMemory) {
        // A fault of its loss or its batches will recur.
        line.stopped = self.direction.is_some() && matches!(along.end, Some(End::Failed(_)));
        let seconds = self.started.elapsed().as_secs_f64();
        let mut measurement = along.measurement(self.subject.facts.place, &task.name, seconds);
        measurement.line = self.settings.config.lines.then(|| along.points());
        if measurement.outcome == MeasurementOutcome::NonFiniteBaseLoss && !line.warned {
            line.warned = true;
            tracing::warn!(
                step = measurement.step,
                task = measurement.task,
                "the loss of a task is not finite: the task gives no number until its loss is finite again; the probe warns once"
            );
        }
        if task.is_group() {
            self.describe_batches(&mut measurement);
            measurement.curvature = self.curvature.take();
        }
        self.memory.tasks.insert(task.name.to_string(), line);
        self.of_tasks.push(measurement);
    }

    fn end_without_direction(&self) -> Option<Along> {
        let along = Along::default();
        let (along, end) = match (&self.direction, &self.along.end) {
            (Some(direction), _) if direction.norm().is_finite() => return None,
            (Some(direction), _) => (
                along.with_direction(direction),
                End::Known(MeasurementOutcome::NonFiniteSlope),
            ),
            (None, Some(End::Failed(failure))) => {
                let failure = Failure::OfTraining(Box::new(failure.clone()));
                (along, End::Failed(failure))
            }
            (None, _) => (along, End::Known(MeasurementOutcome::NonFiniteSlope)),
        };
        Some(along.ended(end))
    }

    fn along_task(&mut self, task: &mut TaskLoss, line: &mut LineMemory) -> Result<Along, Failure> {
        let (model, config) = (self.subject.model, self.settings.config);
        let direction = self.direction.as_mut().ok_or(Failure::NotMeasured)?;
        let mut along = Along::default().with_direction(direction);
        let home = self.subject.batches_home();
        // A resumed run takes the same batches at the same step.
        let index = self.subject.facts.place.step / config.interval();
        let mut task = AtHome {
            task,
            batches: 0,
            home,
        };
        let mut base_of = || -> Result<BatchLosses, Failure> {
            task.batches = task.task.select(index, config.task_batches, &task.home)?;
            let base = task.losses(model, &Point::default())?;
            if base.value().is_finite() && !line.is_repeatable {
                check_repeatable(&base, &task.losses(model, &Point::default())?)?;
                line.is_repeatable = true;
            }
            Ok(base)
        };
        let base = match base_of() {
            Ok(base) => base,
            Err(failure) => return Ok(along.ended(End::Failed(failure))),
        };
        let is_finite = base.value().is_finite();
        along.base = Some((base, BaseLossSource::Evaluated));
        if !is_finite {
            return Ok(along.ended(End::Known(MeasurementOutcome::NonFiniteBaseLoss)));
        }
        let start = start(self.memory.critical_lr(), direction);
        let walk = Walk {
            model,
            direction,
            group: None,
            losses: &mut task,
            rise: BatchLosses::rise_over_batches,
        };
        along.search(self.settings.search, walk, line, start);
        Ok(along)
    }

    fn along_group(
        &mut self,
        group: &Arc<ParamGroup>,
        line: &mut LineMemory,
    ) -> Result<Along, Failure> {
        let model = self.subject.model;
        let summed = self.summed_batches();
        let direction = self.direction.as_mut().ok_or(Failure::NotMeasured)?;
        direction.renew(model);
        let mut direction = direction.of_group(group, model)?;
        let of_training = self.along.finite_slope();
        let slope = Slope {
            value: direction.slope() / summed,
            source: of_training.map_or(SlopeSource::Hint, |slope| slope.source),
        };
        let mut along = Along {
            base: self.along.base.clone(),
            slope: direction.is_shown().then_some(slope),
            ..Along::default()
        }
        .with_direction(&direction);
        let start = start(self.memory.critical_lr(), &direction);
        let mut walk = Walk::of_training(&mut self.subject, &mut direction);
        walk.group = Some(group.clone());
        along.search(self.settings.search, walk, line, start);
        let (step, memory) = (&mut direction, &mut line.curvature);
        let curvature = self.attempt("the gradient of the loss", |work| {
            work.curvature_of_group(group, step, memory)
        });
        curvature.unwrap_or_else(|failure| self.stop_curvature(&failure));
        Ok(along)
    }

    fn curvature_of_group(
        &mut self,
        group: &ParamGroup,
        direction: &mut UpdateDirection,
        memory: &mut CurvatureMemory,
    ) -> Result<(), Failure> {
        let config = self.settings.config.curvature.as_ref();
        if let Some(config) = config.filter(|_| self.has_curvature) {
            let (summed, subject) = (self.summed_batches(), &mut self.subject);
            self.curvature = curvature(subject, direction, Some(group), summed, config, memory)?;
        }
        Ok(())
    }
}

/// The batches stay on one device, on whichever device the measuring worker has its replica.
struct AtHome<'a> {
    task: &'a mut TaskLoss,
    batches: usize,
    home: Device,
}

impl<M: Module + 'static> Losses<M> for AtHome<'_> {
    fn losses(&mut self, model: &M, _at: &Point) -> Result<BatchLosses, Failure> {
        on_device(model, &self.home, |model| {
            let losses = (0..self.batches).map(|batch| Ok(self.task.loss_of(batch, model)??));
            Ok(BatchLosses::new(losses.collect::<Result<_, Failure>>()?)?)
        })
    }
}

fn start(of_training: Option<f64>, direction: &UpdateDirection) -> Guess {
    Guess::new(of_training.unwrap_or(direction.learning_rate()))
}
