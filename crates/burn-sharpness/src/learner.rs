use crate::loss::UpdateLoss;
use crate::measuring::Update;
use crate::params::sum_gradients;
use crate::{IntoLoss, Loss, Quantity, SharpnessMetric, SharpnessProbe};
use burn::data::dataloader::Progress;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{DType, Device, Tensor};
use burn::train::metric::{Adaptor, LossInput, LossMetric, Metric, MetricMetadata, Numeric};
use burn::train::{InferenceStep, LearnerModel, SupervisedTraining, TrainOutput, TrainStep};
use std::fmt::{Debug, Display, Formatter};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::Xxh3Default;

/// How many leading elements of each parameter go into a fingerprint: every update changes them.
const FINGERPRINT_ELEMENTS: usize = 64;

type Batch<M> = <M as TrainStep>::Input;
type Objective<M> = Arc<dyn Fn(&M, Batch<M>) -> Result<Loss, String> + Send + Sync>;
type TrainingLoss<M> =
    Arc<dyn Fn(&M, &<M as TrainStep>::Output) -> Result<Loss, String> + Send + Sync>;

/// A model with a [`SharpnessProbe`] attached, for burn's `Learner`.
///
/// It is the model in every respect: the same parameters under the same paths, the same display,
/// checkpoints that load into the bare model and the other way round. The one thing that it adds is
/// that [`TrainStep::optimize`] measures, when a measurement is due, before it hands over to the
/// model's own.
///
/// Made by [`SharpnessProbe::attach`]; [`into_inner`](Self::into_inner) gives the model back.
pub struct Probed<M: TrainStep> {
    model: M,
    hook: Arc<Hook<M>>,
}

/// What all clones and forks of a probed model share.
struct Hook<M: TrainStep> {
    probe: SharpnessProbe,
    objective: Objective<M>,
    /// Reads the loss of a training step from its output, where the model reports it.
    training_loss: Option<TrainingLoss<M>>,
    progress: Mutex<HookProgress<Batch<M>>>,
}

/// A batch of an update that will be measured.
struct KeptBatch<B> {
    device: Device,
    batch: B,
    /// The loss that the training step has computed on it, once it has.
    training_loss: Option<Loss>,
}

/// Where a run stands. Workers of one process share it, so that what they do is told apart by
/// device.
struct HookProgress<B> {
    /// The batches of the update that is being accumulated, kept only if it will be measured.
    batches: Vec<KeptBatch<B>>,
    /// The run-wide step at which the run began or resumed.
    first_step: Option<u64>,
    /// The run-wide step of the next update of each device that has made one.
    next_steps: Vec<(Device, u64)>,
    /// The last step that a worker took on itself to measure.
    claimed: Option<u64>,
    /// The updates made since the epoch began; `None` before the first one.
    epoch_updates: Option<u64>,
    /// Whether a validation has begun since the last item: burn validates after each epoch.
    validated: bool,
}

impl<B> HookProgress<B> {
    fn new() -> Self {
        Self {
            batches: Vec::new(),
            first_step: None,
            next_steps: Vec::new(),
            claimed: None,
            epoch_updates: None,
            validated: false,
        }
    }

    fn next_step_on(&self, device: &Device) -> Option<u64> {
        let mut steps = self.next_steps.iter();
        steps.find(|(of, _)| of == device).map(|(_, step)| *step)
    }

    fn set_next_step_on(&mut self, device: &Device, next: u64) {
        match self.next_steps.iter_mut().find(|(of, _)| of == device) {
            Some((_, step)) => *step = next,
            None => self.next_steps.push((device.clone(), next)),
        }
    }

    /// Whether the next item is the first of an epoch.
    fn is_epoch_start(&self) -> bool {
        self.epoch_updates
            .is_none_or(|updates| self.validated && updates > 0)
    }
}

impl SharpnessProbe {
    /// Attaches the probe to a model, to be given to burn's `Learner` in its place.
    ///
    /// The loss is the one that the model reports to burn's `LossMetric` when its inference step is
    /// given the training batch. Where the training step reports the same, to rounding, its own loss
    /// serves as L(θ), which saves a forward pass. Where the model's inference takes another input
    /// or reports no loss, use [`attach_with`](Self::attach_with).
    pub fn attach<M>(&self, model: M) -> Probed<M>
    where
        M: LearnerModel + InferenceStep<Input = <M as TrainStep>::Input>,
        <M as TrainStep>::Input: Clone,
        <M as TrainStep>::Output: Adaptor<LossInput>,
        <M as InferenceStep>::Output: Adaptor<LossInput>,
    {
        let objective: Objective<M> = Arc::new(|model, batch| {
            let output = InferenceStep::step(model, batch);
            reported_loss(&output.adapt(), model)
        });
        let training_loss: TrainingLoss<M> =
            Arc::new(|model, output| reported_loss(&output.adapt(), model));
        self.hook(model, objective, Some(training_loss))
    }

    /// Attaches the probe to a model whose training loss on a batch is `loss(model, batch)`.
    ///
    /// The model that `loss` is given is in validation mode and free of autodiff. If `loss` returns
    /// the losses of the examples, the record has an interval for η_c too; if it evaluates only a
    /// part of the batch, to be cheaper, it says so with [`Loss::with_batch_fraction`].
    pub fn attach_with<M, L>(
        &self,
        model: M,
        loss: impl Fn(&M, <M as TrainStep>::Input) -> L + Send + Sync + 'static,
    ) -> Probed<M>
    where
        M: LearnerModel,
        <M as TrainStep>::Input: Clone,
        L: IntoLoss,
    {
        let objective: Objective<M> = Arc::new(move |model, batch| loss(model, batch).into_loss());
        self.hook(model, objective, None)
    }

    fn hook<M: TrainStep>(
        &self,
        model: M,
        objective: Objective<M>,
        training_loss: Option<TrainingLoss<M>>,
    ) -> Probed<M> {
        Probed {
            model,
            hook: Arc::new(Hook {
                probe: self.clone(),
                objective,
                training_loss,
                progress: Mutex::new(HookProgress::new()),
            }),
        }
    }
}

/// The loss as burn's own metric reads it. It does not say in which type it was computed: that of
/// the parameters.
fn reported_loss<M: Module>(input: &LossInput, model: &M) -> Result<Loss, String> {
    let metadata = MetricMetadata {
        progress: Progress::new(0, 0, None),
        iteration: None,
        lr: None,
    };
    let mut metric = LossMetric::new();
    metric
        .update(input, &metadata)
        .map_err(|error| format!("the loss could not be read: {error}"))?;
    let value = metric.value().ok_or("the model reported no loss")?;
    Ok(Loss::new(value.current(), parameter_epsilon(model)))
}

/// The machine epsilon of the parameters' type; of the coarsest if there are several.
fn parameter_epsilon<M: Module>(model: &M) -> f64 {
    struct Coarsest(f64);

    impl ModuleVisitor for Coarsest {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(precision) = param.base().dtype().finfo() {
                self.0 = self.0.max(precision.epsilon);
            }
        }
    }

    // A loss is rarely computed in more than 32 bits, whatever the parameters are.
    let mut coarsest = Coarsest(f64::from(f32::EPSILON));
    model.visit(&mut coarsest);
    coarsest.0
}

impl<M: TrainStep> Probed<M> {
    /// The model.
    pub fn into_inner(self) -> M {
        self.model
    }

    /// The same probe on another state of the model.
    fn with_model(&self, model: M) -> Self {
        Self {
            model,
            hook: self.hook.clone(),
        }
    }

    fn map_model(self, change: impl FnOnce(M) -> M) -> Self {
        Self {
            model: change(self.model),
            hook: self.hook,
        }
    }
}

impl<M: TrainStep> Deref for Probed<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.model
    }
}

impl<M: TrainStep + Clone> Clone for Probed<M> {
    fn clone(&self) -> Self {
        self.with_model(self.model.clone())
    }
}

impl<M: TrainStep + Debug> Debug for Probed<M> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Debug::fmt(&self.model, f)
    }
}

impl<M: TrainStep + Display> Display for Probed<M> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(&self.model, f)
    }
}

impl<M: LearnerModel> Module for Probed<M> {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.model.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.map_model(|model| model.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.map_model(|model| model.to_device(device))
    }

    fn train(self) -> Self {
        self.map_model(|model| model.train())
    }

    fn valid(&self) -> Self {
        self.hook.progress().validated = true;
        self.with_model(self.model.valid())
    }

    fn materialize(self) -> Self {
        self.map_model(|model| model.materialize())
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        self.model.visit(visitor);
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        self.map_model(|model| model.map(mapper))
    }

    fn into_record(self) -> ModuleRecord {
        self.hook.probe.note_checkpoint(fingerprint(&self.model));
        self.model.into_record()
    }

    fn try_load_record(self, record: ModuleRecord) -> Result<Self, RecordError> {
        let model = self.model.try_load_record(record)?;
        *self.hook.progress() = HookProgress::new();
        self.hook.probe.resume_from(fingerprint(&model));
        Ok(Self {
            model,
            hook: self.hook,
        })
    }
}

impl<M: LearnerModel> InferenceStep for Probed<M> {
    type Input = <M as InferenceStep>::Input;
    type Output = <M as InferenceStep>::Output;

    fn step(&self, item: Self::Input) -> Self::Output {
        InferenceStep::step(&self.model, item)
    }
}

impl<M> TrainStep for Probed<M>
where
    M: LearnerModel,
    Batch<M>: Clone,
{
    type Input = Batch<M>;
    type Output = <M as TrainStep>::Output;

    fn step(&self, item: Self::Input) -> TrainOutput<Self::Output> {
        let kept = self.hook.begin_item(self.device(), &item);
        let output = TrainStep::step(&self.model, item);
        if let Some(index) = kept {
            self.hook.note_loss(index, &self.model, &output.item);
        }
        output
    }

    fn optimize(
        self,
        optim: &mut ModuleOptimizer,
        lr_module: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Self {
        if let Some(due) = self.hook.begin_update(&self.device(), &lr_module) {
            let model = self.model.valid();
            self.hook.measure(due, model, optim, &lr_module, &grads);
        }
        self.map_model(|model| model.optimize(optim, lr_module, grads))
    }

    fn optimize_multi(
        self,
        optim: &mut ModuleOptimizer,
        lr_module: ModuleLearningRate,
        grads: MultiGradientsParams,
    ) -> Self {
        if let Some(due) = self.hook.begin_update(&self.device(), &lr_module)
            && let Some((_, device)) = grads.grads.first()
        {
            // The parameters may be spread over the devices: measure on one.
            let device = device.clone().inner();
            let model = self.model.valid().to_device(&device);
            let grads = sum_gradients(&model, &grads, &device);
            self.hook.measure(due, model, optim, &lr_module, &grads);
        }
        self.map_model(|model| model.optimize_multi(optim, lr_module, grads))
    }
}

impl<M: LearnerModel> Probed<M> {
    fn device(&self) -> Device {
        self.model.devices().into_iter().next().unwrap_or_default()
    }
}

/// An update that is to be measured, with the batches that made its gradients.
struct DueUpdate<B> {
    step: u64,
    batches: Vec<KeptBatch<B>>,
}

impl<M: LearnerModel> Hook<M>
where
    Batch<M>: Clone,
{
    /// A batch is about to make gradients: keep it if its update will be measured, and say where.
    fn begin_item(&self, device: Device, batch: &Batch<M>) -> Option<usize> {
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
            });
            progress.batches.len() - 1
        })
    }

    /// The training step has computed the loss of a batch that is kept.
    fn note_loss(&self, index: usize, model: &M, output: &<M as TrainStep>::Output) {
        let Some(training_loss) = &self.training_loss else {
            return;
        };
        // One that cannot be read is evaluated instead.
        let loss = training_loss(model, output).ok();
        if let Some(kept) = self.progress().batches.get_mut(index) {
            kept.training_loss = loss;
        }
    }

    /// An update is about to be made on this device. Says whether, and on which batches, it is to
    /// be measured; where several workers make the same update, the first of them measures it.
    fn begin_update(
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
        self.probe.set_step(step + 1);
        self.probe.note_learning_rate(learning_rate.base());
        let batches = std::mem::take(&mut progress.batches);
        (!batches.is_empty()).then_some(DueUpdate { step, batches })
    }

    fn measure(
        &self,
        due: DueUpdate<Batch<M>>,
        model: M,
        optim: &ModuleOptimizer,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) {
        let home = model.devices().into_iter().next().unwrap_or_default();
        let loss_on = |model: &M, kept: &KeptBatch<Batch<M>>| {
            let batch = kept.batch.clone();
            if kept.device == home {
                (self.objective)(model, batch)
            } else {
                let device = kept.device.clone().inner();
                (self.objective)(&model.clone().to_device(&device), batch)
            }
        };
        let batches = due.batches.iter();
        let training_losses: Option<Vec<Loss>> =
            batches.map(|kept| kept.training_loss.clone()).collect();
        let mut gradient = |model: &M| {
            let mut sum = GradientsAccumulator::new();
            for kept in &due.batches {
                if kept.device != home {
                    return Err("the batches of the update are on several devices".to_string());
                }
                let output = TrainStep::step(model, kept.batch.clone());
                sum.accumulate(model, output.grads);
            }
            Ok(sum.grads())
        };
        let update = Update {
            step: due.step,
            model,
            optim,
            learning_rate,
            grads,
            micro_batches: due.batches.len(),
            training_loss: training_losses.and_then(UpdateLoss::new),
            gradient: Some(&mut gradient),
        };
        self.probe.measure_update(update, |model| {
            let losses = due.batches.iter().map(|kept| loss_on(model, kept));
            let losses = losses.collect::<Result<Vec<_>, _>>()?;
            Ok(UpdateLoss::new(losses))
        });
    }
}

impl<M: TrainStep> Hook<M> {
    fn progress(&self) -> MutexGuard<'_, HookProgress<Batch<M>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Identifies the weights of a model, in whichever process they are: a hash of the first elements
/// of each parameter.
fn fingerprint<M: Module>(model: &M) -> u64 {
    struct Fingerprint(Xxh3Default);

    impl ModuleVisitor for Fingerprint {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.base().inner();
            let kept = values.shape().num_elements().min(FINGERPRINT_ELEMENTS);
            // Packed weights are frozen, and an empty tensor says nothing.
            if kept == 0 || matches!(values.dtype(), DType::QFloat(_)) {
                return;
            }
            let values = values.flatten::<1>(0, D - 1);
            // Weights that cannot be read make a fingerprint that is found nowhere.
            if let Ok(data) = values.narrow(0, 0, kept).try_into_data() {
                self.0.update(data.as_bytes());
            }
        }
    }

    let mut fingerprint = Fingerprint(Xxh3Default::new());
    model.visit(&mut fingerprint);
    fingerprint.0.digest()
}

/// Registers the metrics of a [`SharpnessProbe`] with burn's supervised training, in one call.
pub trait SharpnessMetrics: Sized {
    /// Shows critical sharpness, edge threshold, edge ratio, critical learning rate and the probe's
    /// evaluations as training metrics, the curvature if it is measured, and the relative critical
    /// sharpness of each task. To show only some, register a [`SharpnessMetric`] for each.
    fn metrics_sharpness(self, probe: &SharpnessProbe) -> Self;
}

impl<M: LearnerModel> SharpnessMetrics for SupervisedTraining<M> {
    fn metrics_sharpness(self, probe: &SharpnessProbe) -> Self {
        let of_training = Quantity::ALL.map(|quantity| SharpnessMetric::new(probe, quantity));
        let curvature = probe.config.curvature.iter().flat_map(|config| {
            let wanted = match config.preconditioner {
                Some(_) => &Quantity::CURVATURE[..],
                None => &Quantity::CURVATURE[..2],
            };
            wanted
                .iter()
                .map(|quantity| SharpnessMetric::new(probe, *quantity))
        });
        let tasks = probe.task_names().into_iter();
        let of_tasks =
            tasks.map(|task| SharpnessMetric::of_task(probe, Quantity::CriticalSharpness, &task));
        let metrics = of_training.into_iter().chain(curvature).chain(of_tasks);
        metrics.fold(self, |training, metric| {
            training.metric_train_numeric(metric)
        })
    }
}
