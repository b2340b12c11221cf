use super::Work;
use super::subject::{Stage, Subject};
use super::training::check_repeatable;
use crate::config::CurvatureConfig;
use crate::direction::UpdateDirection;
use crate::failure::Failure;
use crate::hessian::{
    AlongUpdate, Batches, CurvatureMemory, GradientError, Hessian, failed, measure, of_batches,
};
use crate::loss::{BatchLosses, IntoLoss};
use crate::params::on_device;
use crate::task::BatchLoss;
use burn::module::{Module, ParamGroup};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use sharpness_record::CurvatureMeasurement;

impl<M: Module + 'static> Work<'_, M> {
    pub(super) fn plan_curvature(&mut self) {
        let (config, memory) = (self.settings.config, &self.memory);
        let step = self.subject.facts.place.step;
        let is_due = |every: u64| step.is_multiple_of(every);
        self.has_curvature = config.curvature.is_some_and(|config| is_due(config.every))
            && !memory.curvature_stopped
            && self.subject.losses.gradient().is_some();
        self.has_batch_sharpness = config
            .batch_sharpness
            .is_some_and(|config| is_due(config.every))
            && !memory.batch_sharpness_stopped;
        if !self.has_curvature && !self.has_batch_sharpness {
            // The gradients are as large as the weights.
            self.subject.grads = None;
        }
    }

    pub(super) fn measure_curvature(&mut self) -> Result<(), Failure> {
        let summed = self.summed_batches();
        if let Some(direction) = self.direction.as_mut().filter(|_| self.has_curvature)
            && let Some(config) = &self.settings.config.curvature
        {
            let memory = &mut self.memory.curvature;
            let subject = &mut self.subject;
            self.curvature = curvature(subject, direction, None, summed, config, memory)?;
        }
        Ok(())
    }

    pub(super) fn stop_curvature(&mut self, failure: &Failure) {
        self.memory.curvature_stopped = true;
        self.has_curvature = false;
        let notice = format!("the curvature is measured no more: {failure}");
        self.notices.push(notice);
    }

    pub(super) fn measure_batch_sharpness(&mut self, loss: &mut BatchLoss) -> Result<(), Failure> {
        let (Some(config), Some(grads)) = (
            self.settings.config.batch_sharpness,
            self.subject
                .grads
                .as_ref()
                .filter(|_| self.has_batch_sharpness),
        ) else {
            return Ok(());
        };
        // A resumed run takes the same batches at the same step.
        let index = self.subject.facts.place.step / config.every;
        let home = self.subject.batches_home();
        let count = loss.select(index, config.batches, &home)?;
        let loss_of = |batch, model: &M| {
            let loss = loss.loss_of(batch, model).map(Tensor::mean);
            loss.map_err(GradientError::objective)
        };
        on_device(self.subject.model, &home, |model| {
            if !self.memory.batches_are_repeatable {
                // A loss that draws random numbers changes the run.
                let base = || -> Result<BatchLosses, Failure> {
                    Ok(BatchLosses::new(vec![loss_of(0, model)?.into_loss()?])?)
                };
                let first = base()?;
                if first.value().is_finite() {
                    check_repeatable(&first, &base()?)?;
                    self.memory.batches_are_repeatable = true;
                }
            }
            let batches = Batches {
                count,
                loss: &|batch, model| Ok(loss_of(batch, model)?.into_loss()?.value()),
                gradient: &|batch, model| {
                    let grads = loss_of(batch, model)?.backward();
                    Ok(GradientsParams::from_grads(grads, model))
                },
            };
            self.batch_sharpness = Some(of_batches(model, grads, &batches));
            Ok(())
        })
    }

    pub(super) fn stop_batch_sharpness(&mut self, failure: &Failure) {
        self.memory.batch_sharpness_stopped = true;
        let notice = format!("batch sharpness is measured no more: {failure}");
        self.notices.push(notice);
        self.batch_sharpness = Some([failed(failure), failed(failure)]);
    }
}

pub(super) fn curvature<M: Module>(
    subject: &mut Subject<'_, M>,
    direction: &mut UpdateDirection,
    group: Option<&ParamGroup>,
    summed_batches: f64,
    config: &CurvatureConfig,
    memory: &mut CurvatureMemory,
) -> Result<Option<CurvatureMeasurement>, Failure> {
    let Subject {
        facts,
        model,
        stage,
        grads,
        losses,
        ..
    } = subject;
    let (Some(grads), Some(mut gradient)) = (grads, losses.gradient()) else {
        return Ok(None);
    };
    let (model, parts) = (*model, facts.batches);
    let mut gradient = |model: &M| gradient(model).map_err(GradientError::objective);
    let mut hessian = Hessian::new(model.clone(), grads, group, &mut gradient, parts)?;
    direction.renew(model);
    // The preconditioner of an update has already taken in its gradient.
    let (Stage::Before(optim) | Stage::After(optim, _)) = stage;
    let optim = direction.optimizer_after(model, optim);
    let delta = direction.delta(model, grads);
    let along = AlongUpdate {
        delta: delta.as_ref(),
        slope: direction.slope() / summed_batches,
        optim: &optim,
    };
    Ok(Some(measure(&mut hessian, &along, config, memory)))
}
