use super::fingerprint::fingerprint;
use crate::failure::{Failure, guarded, lock};
use crate::hessian::GradientError;
use crate::loss::{BatchLosses, Loss, LossError};
use crate::losses::{Gradient, Losses};
use crate::measure::Facts;
use crate::params::{SquaredNorm, home_of, squared_norm};
use crate::probe::SharpnessProbe;
use crate::schedule::Place;
use crate::session::{Door, Session};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use burn::train::{LearnerModel, TrainOutput, TrainStep};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

pub(super) type Batch<M> = <M as TrainStep>::Input;
pub(super) type Objective<M> = Arc<dyn Fn(&M, Batch<M>) -> Result<Loss, LossError> + Send + Sync>;
pub(super) type TrainingLoss<M> =
    Arc<dyn Fn(&M, &<M as TrainStep>::Output) -> Result<Loss, LossError> + Send + Sync>;

const ATTACHED_AGAIN: &str = "the probe was attached again: it no longer measures this model; a second model takes a probe of its own";

const REPORTS_ANOTHER: &str = "the model reports another loss for inference, perhaps without a penalty; to measure the training loss, attach the probe by `attach_with` and return that loss";

/// Tracks the steps of a probed model; all its clones and forks share it.
pub(super) struct Hook<M: TrainStep> {
    probe: SharpnessProbe,
    attached: u64,
    objective: Objective<M>,
    /// Reads the loss of a training step from its output, if the model reports it.
    training_loss: Option<TrainingLoss<M>>,
    /// The batches of the accumulating update, kept only if it will be measured. Locked before the run.
    batches: Mutex<Vec<KeptBatch<Batch<M>>>>,
}

struct KeptBatch<B> {
    device: Device,
    batch: B,
    /// The loss from the training step on it.
    training_loss: Option<Loss>,
    /// ‖g‖² of the gradient that it has made, once it has and if that is asked for. It is not read from the device yet.
    squared_gradient: Option<SquaredNorm>,
    /// The thread of the training step.
    thread: ThreadId,
}

/// An update to be measured, with the batches behind its gradients.
pub(super) struct DueUpdate<M: TrainStep> {
    place: Place,
    batches: Vec<KeptBatch<Batch<M>>>,
    /// The number of workers that make this same update.
    workers: usize,
    objective: Objective<M>,
}

impl<M: LearnerModel> Losses<M> for DueUpdate<M>
where
    Batch<M>: Clone,
{
    fn losses(&mut self, model: &M) -> Result<BatchLosses, Failure> {
        let losses = self.batches.iter().map(|kept| self.loss_on(model, kept));
        Ok(BatchLosses::new(losses.collect::<Result<_, _>>()?)?)
    }

    fn last(&mut self, model: &M) -> Result<f64, Failure> {
        let last = self.batches.last().ok_or(LossError::NoBatch)?;
        Ok(self.loss_on(model, last)?.value())
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        Some(Box::new(|model| {
            if !self.is_all_on(&home_of(model)) {
                return Err(GradientError::SeveralDevices.into());
            }
            let mut sum = GradientsAccumulator::new();
            for kept in &self.batches {
                let output = TrainStep::step(model, kept.batch.clone());
                sum.accumulate(model, output.grads);
            }
            Ok(sum.grads())
        }))
    }
}

impl<M: LearnerModel> DueUpdate<M>
where
    Batch<M>: Clone,
{
    /// Computes the loss of the model on a batch, on the batch's device.
    fn loss_on(&self, model: &M, kept: &KeptBatch<Batch<M>>) -> Result<Loss, LossError> {
        let batch = kept.batch.clone();
        if kept.device == home_of(model) {
            (self.objective)(model, batch)
        } else {
            let device = kept.device.clone().inner();
            (self.objective)(&model.clone().to_device(&device), batch)
        }
    }

    fn is_all_on(&self, home: &Device) -> bool {
        self.batches.iter().all(|kept| kept.device == *home)
    }
}

impl<M: LearnerModel> Hook<M>
where
    Batch<M>: Clone,
{
    /// Keeps a batch if its update will be measured, and returns its index.
    pub(super) fn begin_item(&self, device: Device, batch: &Batch<M>) -> Option<usize> {
        let mut batches = lock(&self.batches);
        let config = self.probe.config();
        let is_kept = self.probe.run().begin_batch(&device, config);
        is_kept.then(|| {
            batches.push(KeptBatch {
                device,
                batch: batch.clone(),
                training_loss: None,
                squared_gradient: None,
                thread: std::thread::current().id(),
            });
            batches.len() - 1
        })
    }

    pub(super) fn note_step(
        &self,
        index: usize,
        model: &M,
        output: &TrainOutput<<M as TrainStep>::Output>,
    ) {
        // If this loss cannot be read, the probe evaluates it.
        let training_loss = self.training_loss.as_ref();
        let training_loss = training_loss.and_then(|loss| loss(model, &output.item).ok());
        let squared_gradient = self.probe.config().panel.then(|| {
            let squared = guarded("the gradient", || Ok(squared_norm(model, &output.grads)));
            squared.ok()
        });
        if let Some(kept) = lock(&self.batches).get_mut(index) {
            kept.training_loss = training_loss;
            kept.squared_gradient = squared_gradient.flatten();
        }
    }

    /// Returns the device that stands for a model spread over several.
    pub(super) fn device_of_spread(&self, any: Device) -> Device {
        self.probe.run().device_of_spread(any)
    }

    /// Begins an update on this device. Returns its batches if it is to be measured; if several
    /// workers make the same update, the first measures it.
    pub(super) fn begin_update(
        &self,
        device: &Device,
        learning_rate: &ModuleLearningRate,
    ) -> Option<DueUpdate<M>> {
        let mut batches = lock(&self.batches);
        let (place, workers) = self
            .probe
            .run()
            .begin_update(device, learning_rate.base())?;
        let batches = std::mem::take(&mut *batches);
        (!batches.is_empty()).then(|| DueUpdate {
            place,
            batches,
            workers,
            objective: self.objective.clone(),
        })
    }

    /// Measures an update of a model, or of a copy on one device.
    pub(super) fn session<'a>(
        &'a self,
        due: &'a mut DueUpdate<M>,
        (model, copy): (&M, Option<M>),
        learning_rate: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Session<'a, M> {
        let home = home_of(copy.as_ref().unwrap_or(model));
        let batches = due.batches.iter();
        let losses: Option<Vec<Loss>> = batches.map(|kept| kept.training_loss.clone()).collect();
        let batches = due.batches.iter_mut();
        let squared_gradients: Option<Vec<SquaredNorm>> =
            batches.map(|kept| kept.squared_gradient.take()).collect();
        let here = std::thread::current().id();
        let is_alone = due.workers == 1;
        Session {
            probe: &self.probe,
            door: Door::Learner,
            facts: Facts {
                place: due.place,
                learning_rate,
                micro_batches: (due.batches.len() / due.workers).max(1),
                gradient_is_sum: is_alone,
                squared_gradients: squared_gradients.unwrap_or_default(),
                training_loss: losses.and_then(|losses| BatchLosses::new(losses).ok()),
                is_on_one_device: due.is_all_on(&home),
                advice: REPORTS_ANOTHER,
            },
            grads,
            copy,
            is_alone,
            is_of_this_thread: due.batches.iter().all(|kept| kept.thread == here),
            may_step_first: self.probe.config().step_first,
            losses: due,
        }
    }
}

impl<M: TrainStep> Hook<M> {
    pub(super) fn new(
        probe: &SharpnessProbe,
        objective: Objective<M>,
        training_loss: Option<TrainingLoss<M>>,
    ) -> Self {
        Self {
            probe: probe.clone(),
            attached: probe.begin_run(),
            objective,
            training_loss,
            batches: Mutex::default(),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.probe.is_enabled() && self.probe.run().attached == self.attached
    }

    pub(super) fn note_unmeasured_item(&self) {
        if self.probe.is_enabled() {
            self.probe.tell(ATTACHED_AGAIN.to_string());
        }
    }

    pub(super) fn note_validation(&self) {
        self.probe.run().is_validating = true;
    }

    pub(super) fn note_checkpoint(&self, model: &M)
    where
        M: Module,
    {
        if self.keeps_steps() {
            let (fingerprint, state) = (fingerprint(model), self.probe.state());
            self.probe.run().note_checkpoint(fingerprint, state);
        }
    }

    pub(super) fn resume(&self, model: &M)
    where
        M: Module,
    {
        lock(&self.batches).clear();
        if self.is_live() {
            self.probe.run().forget_workers();
        }
        if self.keeps_steps() {
            let fingerprint = fingerprint(model);
            let state = self.probe.run().resume_from(fingerprint);
            state
                .into_iter()
                .for_each(|state| self.probe.continue_from(&state));
        }
    }

    fn keeps_steps(&self) -> bool {
        self.is_live() && self.probe.config().directory.is_some()
    }
}
