use crate::feed::{Entry, Feed};
use crate::hessian::{CurvatureMemory, gradient_of_losses};
use crate::loss::UpdateLoss;
use crate::measuring::{Gradient, Update};
use crate::record::{Checkpoint, MeasurementWriter};
use crate::schedule::Schedule;
use crate::task::{Task, validate_name};
use crate::{ConfigError, IntoLoss, Measurement, SharpnessConfig, SharpnessSummary, TaskBatches};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use critical_search::{CriticalSearch, Guess};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Measures critical sharpness along the updates of a training run.
///
/// A handle: clones share the schedule, the last critical learning rate (the guess of the next
/// search) and the measurements.
///
/// With burn's `Learner`, [`attach`](Self::attach) it to the model. In a hand-written loop, call
/// [`measure`](Self::measure) between the backward pass and the optimizer's step:
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig, loss::{MseLoss, Reduction}};
/// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
/// use burn::tensor::{Device, Distribution, Tensor};
/// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
///
/// fn loss(model: &Linear, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<1> {
///     MseLoss::new().forward(model.forward(x.clone()), y.clone(), Reduction::Mean)
/// }
///
/// let device = Device::flex().autodiff();
/// let x = Tensor::random([32, 4], Distribution::Normal(0.0, 1.0), &device);
/// let y = Tensor::random([32, 2], Distribution::Normal(0.0, 1.0), &device);
/// let mut model = LinearConfig::new(4, 2).init(&device);
/// let mut optim: ModuleOptimizer = SgdConfig::new().init();
/// let learning_rate = 0.1;
///
/// let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2))?;
/// for _ in 0..4 {
///     let grads = loss(&model, &x, &y).backward();
///     let grads = GradientsParams::from_grads(grads, &model);
///     probe.measure(&model, &optim, learning_rate, &grads, |model| loss(model, &x, &y));
///     model = optim.step(learning_rate, model, grads);
/// }
/// assert_eq!(probe.summary().bracketed, 2); // at steps 0 and 2
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SharpnessProbe {
    pub(crate) config: Arc<SharpnessConfig>,
    pub(crate) search: CriticalSearch,
    state: Arc<Mutex<State>>,
    /// Locked for the whole of a measurement, and never after the state.
    tasks: Arc<Mutex<Vec<Task>>>,
}

/// What is called with the measurement that found a run past the edge.
pub(crate) type OnEdge = Arc<dyn Fn(&Measurement) + Send + Sync>;

/// What a probe remembers between steps.
#[derive(Default)]
pub(crate) struct State {
    /// The run-wide step of the next update.
    pub(crate) step: u64,
    pub(crate) epoch: Option<u64>,
    schedule: Schedule,
    /// Where the next search starts: what the last ones have taught.
    pub(crate) guess: Option<Guess>,
    /// Whether the optimizer's step is linear in the learning rate, once that is known.
    pub(crate) linear: Option<bool>,
    /// Whether two passes over the same weights were seen to give the same loss.
    pub(crate) repeatable: bool,
    /// Whether the training loss agrees with the probe's to rounding, once that is known.
    pub(crate) training_agrees: Option<bool>,
    /// Where the next measurement of the curvature starts.
    pub(crate) curvature: CurvatureMemory,
    /// Whether something has ended the measuring of the curvature.
    pub(crate) curvature_stopped: bool,
    /// The measurements in a row that found the run past the edge.
    past_edge: u64,
    /// What to call when that has lasted.
    on_edge: Option<OnEdge>,
    /// Whether a panic has ended all measuring.
    pub(crate) stopped: bool,
    /// The last measurement of each task.
    latest: BTreeMap<String, Arc<Measurement>>,
    feed: Feed,
    summary: SharpnessSummary,
    writer: Writer,
}

#[derive(Default)]
enum Writer {
    #[default]
    NotOpened,
    Open(MeasurementWriter),
    Failed,
}

impl SharpnessProbe {
    /// A probe with this configuration.
    ///
    /// # Errors
    ///
    /// A value that makes no sense, or a folder that cannot be made, is named in the error, with
    /// what to choose instead.
    pub fn new(config: SharpnessConfig) -> Result<Self, ConfigError> {
        let search = config.validate()?;
        if let Some(directory) = &config.directory {
            std::fs::create_dir_all(directory).map_err(|source| ConfigError::Directory {
                directory: directory.clone(),
                source,
            })?;
        }
        Ok(Self {
            config: Arc::new(config),
            search,
            state: Arc::default(),
            tasks: Arc::default(),
        })
    }

    /// Measures another loss, too, along each update that is measured: the **relative critical
    /// sharpness** λ_c^{1→2} = 2/η_c^{1→2} with η_c^{1→2} = min { η > 0 : L₁(θ − ηΔθ₂) > L₁(θ) }, where
    /// Δθ₂ is the training's update and L₁ the loss of this task (arXiv 2601.16979). Along the update
    /// of a fine-tuning, say, the loss on pre-training data.
    ///
    /// `batches` are the task's own (a `Vec`, or a data loader of burn's), and so is where its search
    /// starts. `loss` computes the loss of one batch, with the model in validation mode. Its
    /// measurements are lines of the record with `task` = `name`, and a chart "Relative Sharpness
    /// `name`" in burn's dashboard. A task along which the update helps without limit is
    /// `no_increase`, one that it hurts at once is `not_descent`.
    ///
    /// Call it before [`attach`](Self::attach) and before the metrics are registered.
    ///
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// // Moves the outputs for the input 1 towards a target.
    /// fn loss(model: &Linear, target: f32) -> Tensor<1> {
    ///     let x = Tensor::<2>::ones([1, 1], &model.weight.device());
    ///     (model.forward(x) - target).square().mean()
    /// }
    ///
    /// let model = LinearConfig::new(1, 1).init(&Device::flex().autodiff());
    /// let probe = SharpnessProbe::new(SharpnessConfig::new())?
    ///     .with_task("nearer", vec![50.0], loss)?;
    ///
    /// // The update that training for 100 would make, and nothing is updated.
    /// let optim: ModuleOptimizer = SgdConfig::new().init();
    /// let grads = GradientsParams::from_grads(loss(&model, 100.0).backward(), &model);
    /// let train = probe.measure(&model, &optim, 0.1, &grads, |model| loss(model, 100.0)).unwrap();
    /// let nearer = probe.latest("nearer").unwrap();
    /// assert!(nearer.critical_lr < train.critical_lr);
    /// assert_eq!(train.limiting_task.as_deref(), Some("nearer"));
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A name that cannot become part of a file name, or that is taken, is refused.
    pub fn with_task<M, B, L>(
        self,
        name: &str,
        batches: impl Into<TaskBatches<B>>,
        loss: impl Fn(&M, B) -> L + Send + 'static,
    ) -> Result<Self, ConfigError>
    where
        M: Module + 'static,
        B: Clone + Send + 'static,
        L: IntoLoss + 'static,
    {
        self.with(name, |name| Task::new(name, batches.into(), loss))
    }

    /// Lists the training loss itself as a task: it is measured anyway, so that this costs no
    /// evaluation.
    ///
    /// # Errors
    ///
    /// A name that cannot become part of a file name, or that is taken, is refused.
    pub fn with_training_task(self, name: &str) -> Result<Self, ConfigError> {
        self.with(name, Task::of_training)
    }

    /// Measures the training loss, too, along the update of a group of parameters while all others
    /// stay: which layers are at the edge. It costs the evaluations of one more search.
    ///
    /// Its measurements are lines of the record with `task` = `name`, and a chart "Relative Sharpness
    /// `name`". It says nothing of another loss, so that it is never the limiting task.
    ///
    /// # Errors
    ///
    /// A name that cannot become part of a file name, or that is taken, is refused.
    pub fn with_group(self, name: &str, group: ParamGroup) -> Result<Self, ConfigError> {
        self.with(name, |name| Task::of_group(name, group))
    }

    fn with(self, name: &str, task: impl FnOnce(&str) -> Task) -> Result<Self, ConfigError> {
        let mut tasks = self.tasks();
        validate_name(name, &tasks)?;
        tasks.push(task(name));
        drop(tasks);
        Ok(self)
    }

    /// Calls a function when as many measurements in a row as
    /// [`with_warning_after`](SharpnessConfig::with_warning_after) says found the learning rate past the
    /// critical one, with the last of them: to send a message, or to stop the training by burn's
    /// `Interrupter`. A panic in it is caught.
    ///
    /// ```
    /// use burn::train::Interrupter;
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// let interrupter = Interrupter::new();
    /// let probe = SharpnessProbe::new(SharpnessConfig::new().with_warning_after(5))?.on_edge({
    ///     let interrupter = interrupter.clone();
    ///     move |measurement| interrupter.stop(Some(&format!("past the edge at {}", measurement.step)))
    /// });
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn on_edge(self, call: impl Fn(&Measurement) + Send + Sync + 'static) -> Self {
        self.state().on_edge = Some(Arc::new(call));
        self
    }

    /// The names of the tasks, in the order in which they were added.
    pub fn task_names(&self) -> Vec<Arc<str>> {
        self.tasks().iter().map(|task| task.name.clone()).collect()
    }

    /// The last measurement of a task, or of `train`, if it was measured.
    pub fn latest(&self, task: &str) -> Option<Arc<Measurement>> {
        self.state().latest.get(task).cloned()
    }

    /// Measures, if a measurement is due at this step, and counts the step.
    ///
    /// Call it once a step, between the backward pass and the optimizer's step, with what that step
    /// is about to use: the model, the optimizer before its step, the learning rate (a number, or
    /// one per group) and the gradients. `loss` is called with the model at other weights and must
    /// compute the loss whose gradient `grads` is, on the batch that made it. If it returns the
    /// losses of the examples, the record has an interval for η_c too.
    ///
    /// Nothing is changed: the optimizer and the model stay as they are, and the model that `loss`
    /// sees is in validation mode, without autodiff, dropout or batch-norm updates. A loss that draws
    /// random numbers all the same would move the run's random state.
    ///
    /// Returns the measurement, or `None` if none is due.
    pub fn measure<M: Module + 'static, L: IntoLoss>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: &GradientsParams,
        loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        let learning_rate = learning_rate.into();
        self.measure_step(model, optim, &learning_rate, grads, None::<f64>, loss, None)
    }

    /// The same, and the [curvature](crate::hessian) at the steps at which the configuration asks for
    /// it. `loss` must return the mean loss, which is differentiated, too.
    pub fn measure_with_curvature<M: Module + 'static>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: &GradientsParams,
        loss: impl Fn(&M) -> Tensor<1>,
    ) -> Option<Arc<Measurement>> {
        let mut gradient = gradient_of_losses(vec![()], |model: &M, ()| loss(model));
        self.measure_step(
            model,
            optim,
            &learning_rate.into(),
            grads,
            None::<f64>,
            &loss,
            Some(&mut gradient),
        )
    }

    /// The same, where the training step has just computed the loss of the same batch: that saves
    /// the forward pass for L(θ), once the two were seen to agree to rounding (they don't with
    /// dropout, say).
    pub fn measure_with_training_loss<M: Module + 'static, L: IntoLoss>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: &GradientsParams,
        training_loss: impl IntoLoss,
        loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        let learning_rate = learning_rate.into();
        self.measure_step(
            model,
            optim,
            &learning_rate,
            grads,
            Some(training_loss),
            loss,
            None,
        )
    }

    #[allow(clippy::too_many_arguments)] // those of the public methods, together
    fn measure_step<'a, M: Module + 'static, L: IntoLoss>(
        &self,
        model: &M,
        optim: &'a ModuleOptimizer,
        learning_rate: &'a ModuleLearningRate,
        grads: &'a GradientsParams,
        training_loss: Option<impl IntoLoss>,
        mut loss: impl FnMut(&M) -> L,
        gradient: Option<Gradient<'a, M>>,
    ) -> Option<Arc<Measurement>> {
        self.begin_item();
        let step = self.step();
        let due = self.is_due_at(step);
        {
            let mut state = self.state();
            state.step = step + 1;
            state.schedule.note_learning_rate(learning_rate.base());
        }
        due.then(|| {
            let training_loss = training_loss.and_then(|loss| loss.into_loss().ok());
            let update = Update {
                step,
                model: model.valid(),
                optim,
                learning_rate,
                grads,
                micro_batches: 1,
                training_loss: training_loss.and_then(|loss| UpdateLoss::new(vec![loss])),
                gradient,
            };
            self.measure_update(update, |model| {
                let loss = loss(model).into_loss()?;
                Ok(UpdateLoss::new(vec![loss]))
            })
        })
    }

    /// Says which epoch the next steps belong to, for the record of a hand-written loop.
    pub fn set_epoch(&self, epoch: u64) {
        self.state().epoch = Some(epoch);
    }

    /// Continues a run at this run-wide step, for a hand-written loop that resumes. With burn's
    /// `Learner` and a [directory](SharpnessConfig::with_directory), loading a checkpoint does it.
    pub fn set_step(&self, step: u64) {
        let mut state = self.state();
        if step < state.step {
            state.schedule.forget_decisions();
        }
        state.step = step;
    }

    /// The run-wide step of the next update.
    pub fn step(&self) -> u64 {
        self.state().step
    }

    /// What the measurements come to so far.
    pub fn summary(&self) -> SharpnessSummary {
        self.state().summary.clone()
    }

    /// Whether a measurement is to be made at this step.
    pub(crate) fn is_due_at(&self, step: u64) -> bool {
        let state = &mut *self.state();
        let schedule = &mut state.schedule;
        !state.stopped && schedule.is_due(step, &self.config, &mut state.summary)
    }

    /// An update is about to be made at this learning rate.
    pub(crate) fn note_learning_rate(&self, learning_rate: f64) {
        self.state().schedule.note_learning_rate(learning_rate);
    }

    /// Announces a training item, before its step is made.
    pub(crate) fn begin_item(&self) {
        self.state().begin_item();
    }

    /// A new epoch has begun.
    pub(crate) fn begin_epoch(&self) {
        let mut state = self.state();
        state.epoch = Some(state.epoch.unwrap_or(0) + 1);
    }

    /// The measurements that belong to a training item.
    pub(crate) fn entry_at(&self, item: u64) -> Option<Entry> {
        self.state().feed.at(item)
    }

    /// The number of training items announced so far.
    pub(crate) fn items(&self) -> u64 {
        self.state().feed.items()
    }

    /// Notes at which step weights with this fingerprint are saved.
    pub(crate) fn note_checkpoint(&self, fingerprint: u64) {
        let Some(directory) = &self.config.directory else {
            return;
        };
        let checkpoint = {
            let state = self.state();
            Checkpoint {
                step: state.step,
                epoch: state.epoch,
                fingerprint,
            }
        };
        if let Err(error) = checkpoint.save(directory) {
            tracing::warn!(
                %error,
                "the step of a checkpoint could not be noted: a run resumed from it counts its steps from 0"
            );
        }
    }

    /// Continues at the step at which weights with this fingerprint were saved, if they were.
    pub(crate) fn resume_from(&self, fingerprint: u64) {
        let directory = self.config.directory.as_deref();
        let Some(checkpoint) = directory.and_then(|dir| Checkpoint::find(dir, fingerprint)) else {
            return;
        };
        let mut state = self.state();
        state.step = checkpoint.step;
        state.schedule.forget_decisions();
        state.epoch = checkpoint.epoch;
        tracing::info!(
            step = checkpoint.step,
            "the probe resumes at the checkpoint's step"
        );
    }

    pub(crate) fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid at every point where a panic could have left it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin_item(&mut self) {
        self.summary.tick();
        self.feed.next_item();
    }

    /// Everything that reads measurements gets those of one update: the training's, then the tasks'.
    /// Returns what is to be called, once the state is free, if the run is past the edge.
    pub(crate) fn publish(
        &mut self,
        measurements: Vec<Arc<Measurement>>,
        interval: u64,
        config: &SharpnessConfig,
    ) -> Option<OnEdge> {
        let mut on_edge = None;
        for measurement in &measurements {
            self.report(measurement);
            if measurement.is_of_training() {
                on_edge = self.watch_edge(measurement, config.warn_after);
            }
            self.write(measurement, config.directory.as_deref());
            self.summary.push(measurement);
            let task = measurement.task.clone();
            self.latest.insert(task, measurement.clone());
        }
        self.summary.tick();
        let all = measurements.iter().map(Arc::as_ref);
        self.schedule.note_measurements(all);
        self.feed.push(measurements, interval);
        on_edge
    }

    fn report(&mut self, measurement: &Measurement) {
        let edge_ratio = measurement.edge_ratio();
        tracing::info!(
            step = measurement.step,
            epoch = measurement.epoch,
            task = measurement.task,
            outcome = ?measurement.outcome,
            learning_rate = measurement.learning_rate,
            base_loss = measurement.base_loss,
            base_loss_source = ?measurement.base_loss_source,
            slope = measurement.slope,
            critical_lr = measurement.critical_lr,
            critical_sharpness = measurement.critical_sharpness,
            edge_ratio,
            limiting_task = measurement.limiting_task,
            evaluations = measurement.evaluations,
            seconds = measurement.seconds,
            "measured critical sharpness"
        );
        if let Some(reason) = &measurement.reason {
            tracing::warn!(
                step = measurement.step,
                task = measurement.task,
                reason,
                "a measurement failed"
            );
        }
    }

    /// Counts the measurements in a row past the edge, and warns when they are as many as were asked
    /// for. Returns what is to be called then.
    fn watch_edge(&mut self, training: &Measurement, warn_after: u64) -> Option<OnEdge> {
        // Without a number it is neither past the edge nor back.
        let edge_ratio = training.edge_ratio()?;
        if edge_ratio <= 1.0 {
            self.past_edge = 0;
            return None;
        }
        self.past_edge += 1;
        if self.past_edge != warn_after {
            return None;
        }
        tracing::warn!(
            step = training.step,
            learning_rate = training.learning_rate,
            critical_lr = training.critical_lr,
            edge_ratio,
            update_norm = training.update_norm,
            slope = training.slope,
            measurements_in_a_row = self.past_edge,
            "the learning rate is past the critical one: this step raises the loss"
        );
        self.on_edge.clone()
    }

    /// Appends to the run's file. A file that cannot be written is reported once.
    fn write(&mut self, measurement: &Measurement, directory: Option<&Path>) {
        let Some(directory) = directory else {
            return;
        };
        if let Writer::NotOpened = self.writer {
            self.writer = match MeasurementWriter::open(directory, measurement.step) {
                Ok(writer) => Writer::Open(writer),
                Err(error) => Writer::failed(&error),
            };
        }
        if let Writer::Open(writer) = &mut self.writer
            && let Err(error) = writer.append(measurement)
        {
            self.writer = Writer::failed(&error);
        }
    }
}

impl Writer {
    fn failed(error: &std::io::Error) -> Self {
        tracing::warn!(%error, "measurements cannot be written to the run's folder; training goes on without the file");
        Self::Failed
    }
}
