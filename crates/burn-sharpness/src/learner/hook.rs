use super::fingerprint::fingerprint;
use super::progress::{HookProgress, KeptBatch};
use crate::hessian::GradientError;
use crate::loss::BatchLosses;
use crate::measure::{MeasuredUpdate, Mode, Stage, ValidationView};
use crate::{Loss, LossError, SharpnessProbe};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use burn::train::{LearnerModel, TrainStep};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) type Batch<M> = <M as TrainStep>::Input;
pub(super) type Objective<M> = Arc<dyn Fn(&M, Batch<M>) -> Result<Loss, LossError> + Send + Sync>;
pub(super) type TrainingLoss<M> =
    Arc<dyn Fn(&M, &<M as TrainStep>::Output) -> Result<Loss, LossError> + Send + Sync>;

/// What to do where the model's two steps report different losses.
const REPORTS_ANOTHER: &str = "the model reports another one for inference, perhaps without a penalty; to measure the training loss, attach the probe by `attach_with` and return that loss";

/// The step machine that all clones and forks of a probed model share.
pub(super) struct Hook<M: TrainStep> {
    probe: SharpnessProbe,
    /// The number of the model, of those to which the probe was attached.
    attached: u64,
    objective: Objective<M>,
    /// Reads the loss of a training step from its output, where the model reports it.
    training_loss: Option<TrainingLoss<M>>,
    progress: Mutex<HookProgress<Batch<M>>>,
}

/// An update that is to be measured, with the batches that made its gradients.
pub(super) struct DueUpdate<B> {
    step: u64,
    batches: Vec<KeptBatch<B>>,
    /// The number of workers that have made updates: each makes the same ones.
    workers: usize,
}

impl<B> DueUpdate<B> {
    /// Whether no other worker makes updates.
    pub(super) fn is_alone(&self) -> bool {
        self.workers == 1
    }
}

impl<M: LearnerModel> Hook<M>
where
    Batch<M>: Clone,
{
    /// A batch is about to make gradients: keep it if its update will be measured, and say where.
    pub(super) fn begin_item(&self, device: Device, batch: &Batch<M>) -> Option<usize> {
        self.probe.begin_item();
        let mut progress = self.progress();
        if progress.is_epoch_start() {
            self.probe.begin_epoch();
            progress.epoch_updates = Some(0);
        }
        progress.validated = false;

        let first_step = *progress.first_step.get_or_insert_with(|| self.probe.step());
        // A device that makes gradients for another one's updates has none of its own.
        let step = progress
            .next_step_on(&device)
            .or_else(|| progress.next_steps.iter().map(|(_, step)| *step).max())
            .unwrap_or(first_step);
        let is_kept = self.probe.is_due_at(step);
        is_kept.then(|| {
            progress.batches.push(KeptBatch {
                device,
                batch: batch.clone(),
                training_loss: None,
                thread: std::thread::current().id(),
            });
            progress.batches.len() - 1
        })
    }

    /// The training step has computed the loss of a batch that is kept.
    pub(super) fn note_loss(&self, index: usize, model: &M, output: &<M as TrainStep>::Output) {
        let Some(training_loss) = &self.training_loss else {
            return;
        };
        // One that cannot be read is evaluated instead.
        let loss = training_loss(model, output).ok();
        if let Some(kept) = self.progress().batches.get_mut(index) {
            kept.training_loss = loss;
        }
    }

    /// The device that stands for a model whose parameters are spread over several: always the same one, though
    /// such a model names its devices in any order.
    pub(super) fn device_of_spread(&self, any: Device) -> Device {
        let progress = self.progress();
        let known = progress.next_steps.first();
        known.map_or(any, |(device, _)| device.clone())
    }

    /// An update is about to be made on this device. Says whether, and on which batches, it is to
    /// be measured; where several workers make the same update, the first of them measures it.
    pub(super) fn begin_update(
        &self,
        device: &Device,
        learning_rate: &ModuleLearningRate,
    ) -> Option<DueUpdate<Batch<M>>> {
        let mut progress = self.progress();
        let step = progress
            .next_step_on(device)
            .or(progress.first_step)
            .unwrap_or_else(|| self.probe.step());
        progress.set_next_step_on(device, step + 1);
        if progress.claimed.is_some_and(|claimed| step <= claimed) {
            return None;
        }
        progress.claimed = Some(step);
        progress.epoch_updates = progress.epoch_updates.map(|updates| updates + 1);
        self.probe.continue_at(step + 1);
        self.probe.note_learning_rate(learning_rate.base());
        let batches = std::mem::take(&mut progress.batches);
        let workers = progress.next_steps.len();
        (!batches.is_empty()).then_some(DueUpdate {
            step,
            batches,
            workers,
        })
    }

    /// How the model computes the loss that is measured, or why it cannot.
    pub(super) fn mode(&self, model: &M, due: &DueUpdate<Batch<M>>) -> Result<Mode<M>, String> {
        let mut loss = |model: &M| {
            let last = due.batches.last().ok_or(LossError::NoBatch);
            let loss = last.and_then(|last| self.loss_on(model, last));
            loss.map(|loss| loss.value())
                .map_err(|error| error.to_string())
        };
        // Burn keeps what is pending of running statistics by thread.
        let here = std::thread::current().id();
        let is_of_this_thread = due.batches.iter().all(|kept| kept.thread == here);
        let is_alone = due.is_alone() && is_of_this_thread;
        self.probe.mode(model, is_alone, &mut loss)
    }

    /// The model in validation mode for a measurement.
    pub(super) fn view(model: &M, due: &DueUpdate<Batch<M>>) -> ValidationView<M> {
        // Another worker may use the running statistics at this moment.
        if due.is_alone() {
            ValidationView::new(model)
        } else {
            ValidationView::with_own_state(model)
        }
    }

    /// Whether the model is to make its step before the measurement.
    pub(super) fn steps_first(
        &self,
        model: &M,
        due: &DueUpdate<Batch<M>>,
        optim: &ModuleOptimizer,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> bool {
        self.probe.config().step_first
            && due.is_alone()
            && self
                .probe
                .may_step_first(model, optim, learning_rate, grads)
    }

    /// The loss of the model on a batch, where the batch is.
    fn loss_on(&self, model: &M, kept: &KeptBatch<Batch<M>>) -> Result<Loss, LossError> {
        let batch = kept.batch.clone();
        if kept.device == home_of(model) {
            (self.objective)(model, batch)
        } else {
            let device = kept.device.clone().inner();
            (self.objective)(&model.clone().to_device(&device), batch)
        }
    }

    pub(super) fn measure(
        &self,
        due: DueUpdate<Batch<M>>,
        (view, mode): (ValidationView<M>, Result<Mode<M>, String>),
        stage: Stage<'_, M>,
        learning_rate: &ModuleLearningRate,
        grads: GradientsParams,
    ) {
        let home = home_of(view.model());
        let is_on_one_device = due.batches.iter().all(|kept| kept.device == home);
        let batches = due.batches.iter();
        let training_losses: Option<Vec<Loss>> =
            batches.map(|kept| kept.training_loss.clone()).collect();
        let gradient = |model: &M| {
            let model = mode.as_ref().map_err(GradientError::objective)?.at(model);
            let model = model.as_ref();
            if !is_on_one_device {
                return Err(GradientError::SeveralDevices);
            }
            let mut sum = GradientsAccumulator::new();
            for kept in &due.batches {
                let output = TrainStep::step(model, kept.batch.clone());
                sum.accumulate(model, output.grads);
            }
            Ok(sum.grads())
        };
        let mut losses = |model: &M| {
            let model = mode.as_ref()?.at(model);
            let losses = due.batches.iter().map(|kept| self.loss_on(&model, kept));
            let losses = losses.collect::<Result<Vec<_>, _>>();
            losses
                .and_then(BatchLosses::new)
                .map_err(|error| error.to_string())
        };
        self.probe.measure_and_publish(MeasuredUpdate {
            step: due.step,
            epoch: self.probe.epoch(),
            model: view.model(),
            is_same_in_training: mode.as_ref().is_ok_and(|mode| mode.is_same_in_training),
            has_batch_statistics: mode.as_ref().is_ok_and(Mode::has_batch_statistics),
            stage,
            learning_rate,
            grads: Some(grads),
            micro_batches: (due.batches.len() / due.workers).max(1),
            gradient_is_sum: due.is_alone(),
            training_loss: training_losses.and_then(|losses| BatchLosses::new(losses).ok()),
            is_on_one_device,
            advice: REPORTS_ANOTHER,
            loss: &mut losses,
            gradient: Some(Box::new(gradient)),
        });
        self.probe.keep(mode);
        if !self.probe.has_metric() {
            self.probe.tell(
                "no metric shows the measurements: add `.metrics_sharpness(&probe)` to the training".to_string(),
            );
        }
    }
}

/// The device of a model's parameters.
fn home_of<M: Module>(model: &M) -> Device {
    model.devices().into_iter().next().unwrap_or_default()
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
            progress: Mutex::new(HookProgress::new()),
        }
    }

    /// Whether the probe measures this model.
    pub(super) fn is_live(&self) -> bool {
        self.probe.is_of(self.attached)
    }

    /// The model is trained though the probe does not measure it.
    pub(super) fn note_unmeasured_item(&self) {
        self.probe.note_earlier_model();
    }

    /// A validation begins.
    pub(super) fn note_validation(&self) {
        self.progress().validated = true;
        self.probe.note_validation();
    }

    /// The model is saved.
    pub(super) fn note_checkpoint(&self, model: &M)
    where
        M: Module,
    {
        if self.is_live() && self.probe.keeps_steps() {
            self.probe.note_checkpoint(fingerprint(model));
        }
    }

    /// Weights were loaded into the model.
    pub(super) fn resume(&self, model: &M)
    where
        M: Module,
    {
        *self.progress() = HookProgress::new();
        if self.is_live() && self.probe.keeps_steps() {
            self.probe.resume_from(fingerprint(model));
        }
    }

    fn progress(&self) -> MutexGuard<'_, HookProgress<Batch<M>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
