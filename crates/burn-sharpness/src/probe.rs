use crate::hessian::GradientError;
use crate::journal::{ClaimedFolder, Entry};
use crate::loss::BatchLosses;
use crate::measure::{
    Gradient, Known, LossOf, MeasuredUpdate, Memory, Mode, Panicked, Stage, Step, Underway, Update,
    ValidationView, may_step_first, measure,
};
use crate::params::copy_gradients;
use crate::run::Run;
use crate::task::Task;
use crate::{IntoLoss, Measurement, SharpnessConfig, SharpnessSummary};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use critical_search::CriticalSearch;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    shared: Arc<Shared>,
}

struct Shared {
    config: SharpnessConfig,
    search: CriticalSearch,
    task_names: Vec<Arc<str>>,
    /// Locked for the whole of a measurement, and never after the run.
    measuring: Mutex<Measuring>,
    run: Mutex<Run>,
}

/// What measuring needs and learns.
struct Measuring {
    tasks: Vec<Task>,
    memory: Memory,
}

impl SharpnessProbe {
    pub(crate) fn from_parts(
        config: SharpnessConfig,
        search: CriticalSearch,
        tasks: Vec<Task>,
        folder: Option<ClaimedFolder>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                search,
                task_names: tasks.iter().map(|task| task.name.clone()).collect(),
                measuring: Mutex::new(Measuring {
                    tasks,
                    memory: Memory::default(),
                }),
                run: Mutex::new(Run::new(folder)),
            }),
        }
    }

    pub(crate) fn config(&self) -> &SharpnessConfig {
        &self.shared.config
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
    #[must_use]
    pub fn on_edge(self, call: impl Fn(&Measurement) + Send + Sync + 'static) -> Self {
        self.run().on_edge = Some(Arc::new(call));
        self
    }

    /// The names of the tasks, in the order in which they were added.
    pub fn task_names(&self) -> Vec<Arc<str>> {
        self.shared.task_names.clone()
    }

    /// The last measurement of a task, or of `train`, if it was measured.
    pub fn latest(&self, task: &str) -> Option<Arc<Measurement>> {
        self.run().journal.latest(task)
    }

    /// Measures, if a measurement is due at this step, and counts the step.
    ///
    /// Call it once a step, between the backward pass and the optimizer's step, with what that step
    /// is about to use: the model, the optimizer before its step, the learning rate (a number, or
    /// one per group) and the gradients. `loss` is called with the model at other weights and must
    /// compute the loss whose gradient `grads` is, on the batch that made it. If it returns the
    /// losses of the examples, the record has an interval for η_c too. Where more is known, such as the
    /// loss that the training step has computed, see [`measure_update`](Self::measure_update).
    ///
    /// Nothing is changed: the optimizer and the model stay as they are, and the model that `loss`
    /// sees is in validation mode, without autodiff, dropout or batch-norm updates. Running statistics
    /// of batch norm are as a checkpoint would have them now; `loss` must not call `train` on the
    /// model, which would flush them. (With [`with_batch_statistics`](SharpnessConfig::with_batch_statistics),
    /// batch norm computes as in training, and writes into statistics of the copy.) A loss that draws random numbers all the same moves the run's
    /// random state twice, and is then refused for good.
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
        self.measure_update(Update::new(model, optim, learning_rate, grads), loss)
    }

    /// The same, of an update of which more is known: the loss that the training step has computed, how
    /// to differentiate the loss for the curvature, or both.
    ///
    /// ```
    /// use burn::module::{Module, Param};
    /// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::hessian::CurvatureConfig;
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe, Update};
    ///
    /// #[derive(Module, Debug)]
    /// struct Point {
    ///     theta: Param<Tensor<1>>,
    /// }
    ///
    /// // L = 3θ²: λ_c, λ_dir and λ_max are all the second derivative, 6.
    /// let loss = |point: &Point| (point.theta.val().square() * 3.0).sum();
    /// let device = Device::flex().autodiff();
    /// let point = Point { theta: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    /// let optim: ModuleOptimizer = SgdConfig::new().init();
    ///
    /// let config = SharpnessConfig::new().with_curvature(CurvatureConfig::new(10));
    /// let probe = SharpnessProbe::new(config)?;
    /// let at_this_step = loss(&point);
    /// let grads = GradientsParams::from_grads(at_this_step.backward(), &point);
    /// let update = Update::new(&point, &optim, 0.1, &grads)
    ///     .with_training_loss(at_this_step)
    ///     .with_curvature(loss);
    /// let measured = probe.measure_update(update, loss).unwrap();
    /// assert!((measured.critical_sharpness.unwrap() - 6.0).abs() < 0.1);
    /// let curvature = measured.curvature.as_ref().unwrap();
    /// assert!((curvature.hessian_sharpness.value.unwrap() - 6.0).abs() < 0.1);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn measure_update<M: Module + 'static, L: IntoLoss>(
        &self,
        update: Update<'_, M>,
        mut loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        let step = self.begin_step(&update.known.learning_rate)?;
        let _underway = Underway::begin();
        let mode = self.mode_of(update.model, &mut loss);
        let grads = copy_gradients(update.model, update.grads, |_| true);
        let view = ValidationView::new(update.model);
        let stage = Stage::Before(update.optim);
        Some(self.measure_known(step, (view, mode), stage, grads, update.known, loss))
    }

    /// Makes the optimizer's step, and measures along it if a measurement is due. Returns the model after the step.
    ///
    /// It stands for [`measure`](Self::measure) and the optimizer's step, with the same result, and takes less:
    /// the weights after the step show the direction of the update, so that no step of a copy of the optimizer is made for
    /// it, and no second set of moments. With it, a measurement adds about one copy of the weights to the memory of the
    /// step, however large a single parameter is. Where they show it not (a learning rate of 0, or one so small that
    /// the update has few digits left, weights of 16 bits, an optimizer that is not linear in the
    /// learning rate), or where a [group](crate::SharpnessProbeBuilder::with_group) is measured, it does what
    /// `measure` does.
    ///
    /// ```
    /// use burn::module::{Module, Param};
    /// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// #[derive(Module, Debug)]
    /// struct Point {
    ///     theta: Param<Tensor<1>>,
    /// }
    ///
    /// // L = 3θ², whose second derivative is 6.
    /// let loss = |point: &Point| (point.theta.val().square() * 3.0).sum();
    /// let device = Device::flex().autodiff();
    /// let point = Point { theta: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    /// let mut optim: ModuleOptimizer = SgdConfig::new().init();
    ///
    /// let probe = SharpnessProbe::new(SharpnessConfig::new())?;
    /// let grads = GradientsParams::from_grads(loss(&point).backward(), &point);
    /// let point = probe.optimize(point, &mut optim, 0.1, grads, loss);
    /// assert!((point.theta.val().into_scalar::<f64>() - 0.8).abs() < 1e-6); // 2 - 0.1 * 12
    /// let measured = probe.latest("train").unwrap();
    /// assert!((measured.critical_sharpness.unwrap() - 6.0).abs() < 0.1);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn optimize<M: Module + 'static, L: IntoLoss>(
        &self,
        model: M,
        optim: &mut ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: GradientsParams,
        loss: impl FnMut(&M) -> L,
    ) -> M {
        self.optimize_step(Step::new(model, optim, learning_rate, grads), loss)
    }

    /// The same, of a step of which more is known: the loss that was differentiated, how to differentiate it
    /// for the curvature, or both.
    pub fn optimize_step<M: Module + 'static, L: IntoLoss>(
        &self,
        step: Step<'_, M>,
        mut loss: impl FnMut(&M) -> L,
    ) -> M {
        let Step {
            model,
            optim,
            grads,
            known,
        } = step;
        let learning_rate = known.learning_rate.clone();
        let Some(step) = self.begin_step(&learning_rate) else {
            return optim.step(learning_rate, model, grads);
        };
        let _underway = Underway::begin();
        let mode = self.mode_of(&model, &mut loss);
        let kept = copy_gradients(&model, &grads, |_| true);
        let steps_first = {
            let view = ValidationView::new(&model);
            self.may_step_first(view.model(), optim, &learning_rate, &kept)
        };
        if steps_first {
            let before = model.clone();
            let after = optim.step(learning_rate, model, grads);
            let view = ValidationView::new(&before);
            let stage = Stage::After(optim, &after);
            self.measure_known(step, (view, mode), stage, kept, known, loss);
            after
        } else {
            let view = ValidationView::new(&model);
            let stage = Stage::Before(optim);
            self.measure_known(step, (view, mode), stage, kept, known, loss);
            optim.step(learning_rate, model, grads)
        }
    }

    /// Counts a step of a hand-written loop. Returns it if a measurement is due.
    fn begin_step(&self, learning_rate: &ModuleLearningRate) -> Option<u64> {
        self.begin_item();
        let step = self.step();
        let is_due = self.is_due_at(step);
        let mut run = self.run();
        run.step = step + 1;
        run.schedule.note_learning_rate(learning_rate.base());
        is_due.then_some(step)
    }

    /// How the model of a hand-written loop computes the loss.
    fn mode_of<M: Module + 'static, L: IntoLoss>(
        &self,
        model: &M,
        loss: &mut impl FnMut(&M) -> L,
    ) -> Result<Mode<M>, String> {
        let mut value_of = |model: &M| read(loss(model)).map(|losses| losses.value());
        self.mode(model, true, &mut value_of)
    }

    /// Measures the update of a hand-written loop.
    fn measure_known<M: Module + 'static, L: IntoLoss>(
        &self,
        step: u64,
        (view, mode): (ValidationView<M>, Result<Mode<M>, String>),
        stage: Stage<'_, M>,
        grads: GradientsParams,
        known: Known<'_, M>,
        mut loss: impl FnMut(&M) -> L,
    ) -> Arc<Measurement> {
        let training_loss = known.training_loss.map(|loss| vec![loss]);
        let mut losses = |model: &M| read(loss(mode.as_ref()?.at(model).as_ref()));
        let is_same_in_training = mode.as_ref().is_ok_and(|mode| mode.is_same_in_training);
        let gradient = known.gradient.map(|mut gradient| -> Gradient<'_, M> {
            let mode = &mode;
            Box::new(move |model: &M| {
                let mode = mode.as_ref().map_err(GradientError::objective)?;
                gradient(mode.at(model).as_ref())
            })
        });
        let (training, notices) = self.measure_and_publish(MeasuredUpdate {
            step,
            epoch: self.epoch(),
            model: view.model(),
            is_same_in_training,
            has_batch_statistics: mode.as_ref().is_ok_and(Mode::has_batch_statistics),
            stage,
            learning_rate: &known.learning_rate,
            grads: Some(grads),
            micro_batches: 1,
            gradient_is_sum: true,
            training_loss: training_loss.and_then(|losses| BatchLosses::new(losses).ok()),
            is_on_one_device: true,
            loss: &mut losses,
            gradient,
        });
        self.keep(mode);
        for notice in notices {
            // No dashboard says it in a loop of one's own.
            // (`eprintln!` would panic where nobody reads it any more.)
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("burn-sharpness: {notice}\n"),
            );
        }
        training
    }

    /// Whether a step may be made before it is measured, from a model in validation mode.
    pub(crate) fn may_step_first<M: Module>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> bool {
        let mut measuring = lock(&self.shared.measuring);
        let Measuring { tasks, memory } = &mut *measuring;
        may_step_first(model, optim, learning_rate, grads, tasks, memory)
    }

    /// How the model computes the loss that is measured, or why it cannot: then all measuring ends. `loss` is that of
    /// the last batch that the model has seen in training.
    pub(crate) fn mode<M: Module + 'static>(
        &self,
        model: &M,
        is_alone: bool,
        loss: LossOf<'_, M>,
    ) -> Result<Mode<M>, String> {
        if !self.shared.config.batch_statistics {
            return Ok(Mode::validation(model));
        }
        let mut measuring = lock(&self.shared.measuring);
        let memory = &mut measuring.memory;
        let known = memory.copy.take().and_then(|copy| copy.downcast().ok());
        let known = known.map(|copy| *copy);
        match Mode::batch_statistics(model, known, is_alone, loss) {
            Ok((mode, notice)) => {
                memory.notices.extend(notice);
                Ok(mode)
            }
            Err(Panicked::Yes(reason) | Panicked::No(reason)) => {
                memory.stopped = Some(reason.clone());
                Err(reason)
            }
        }
    }

    /// Keeps what the next measurement needs to compute the loss in this way.
    pub(crate) fn keep<M: Module + 'static>(&self, mode: Result<Mode<M>, String>) {
        if let Ok(mode) = mode
            && let Some(copy) = mode.into_copy()
        {
            lock(&self.shared.measuring).memory.copy = Some(Box::new(copy));
        }
    }

    /// Measures along an update, and publishes the measurements. Returns that of the training loss, and
    /// what the user is to be told. Never panics.
    pub(crate) fn measure_and_publish<M: Module + 'static>(
        &self,
        update: MeasuredUpdate<'_, M>,
    ) -> (Arc<Measurement>, Vec<String>) {
        let config = &self.shared.config;
        let interval = update.micro_batches as u64 * config.interval();
        let mut measuring = lock(&self.shared.measuring);
        let Measuring { tasks, memory } = &mut *measuring;
        let (training, of_tasks) = measure(update, config, &self.shared.search, tasks, memory);
        let mut notices: Vec<String> = memory.notices.drain(..).collect();
        let stopped = memory.stopped.clone();
        drop(measuring);
        let training = Arc::new(training);
        let of_tasks = of_tasks.into_iter().map(Arc::new);
        let measurements: Vec<_> = std::iter::once(training.clone()).chain(of_tasks).collect();
        notices.extend(stopped.clone());

        let on_edge = {
            let mut run = self.run();
            run.is_stopped = stopped.is_some();
            for notice in &notices {
                run.journal.tell(notice.clone());
            }
            run.publish(measurements, interval, config)
        };
        if let Some(on_edge) = on_edge {
            let call = AssertUnwindSafe(|| on_edge(&training));
            if catch_unwind(call).is_err() {
                tracing::warn!("the function to call at the edge panicked; the training goes on");
            }
        }
        (training, notices)
    }

    /// Says which epoch the next steps belong to, for the record of a hand-written loop.
    pub fn set_epoch(&self, epoch: u64) {
        self.run().epoch = Some(epoch);
    }

    /// Continues a run at this run-wide step, for a hand-written loop that resumes: lines of the record
    /// from that step on move to `measurements-superseded.jsonl`. With burn's `Learner` and a
    /// [directory](SharpnessConfig::with_directory), loading a checkpoint does it.
    pub fn set_step(&self, step: u64) {
        self.continue_at(step);
        self.run().journal.begin_record_at(step);
    }

    /// The next update is the one of this step.
    pub(crate) fn continue_at(&self, step: u64) {
        self.run().continue_at(step);
    }

    pub(crate) fn epoch(&self) -> Option<u64> {
        self.run().epoch
    }

    /// The run-wide step of the next update.
    pub fn step(&self) -> u64 {
        self.run().step
    }

    /// The run's measurements so far in a few numbers.
    pub fn summary(&self) -> SharpnessSummary {
        self.run().journal.summary().clone()
    }

    /// A model is attached: a probe that was used before begins a new run.
    pub(crate) fn begin_run(&self) {
        let mut run = self.run();
        if run.step == 0 {
            return;
        }
        run.restart();
        drop(run);
        lock(&self.shared.measuring).memory = Memory::default();
    }

    /// Whether a measurement is to be made at this step.
    pub(crate) fn is_due_at(&self, step: u64) -> bool {
        self.run().is_due_at(step, &self.shared.config)
    }

    /// An update is about to be made at this learning rate.
    pub(crate) fn note_learning_rate(&self, learning_rate: f64) {
        self.run().schedule.note_learning_rate(learning_rate);
    }

    /// Announces a training item, before its step is made.
    pub(crate) fn begin_item(&self) {
        let mut run = self.run();
        let step = run.step;
        run.journal.begin_item(step);
    }

    /// A new epoch has begun.
    pub(crate) fn begin_epoch(&self) {
        let mut run = self.run();
        run.epoch = Some(run.epoch.unwrap_or(0) + 1);
    }

    /// A metric of this probe was made.
    pub(crate) fn note_metric(&self) {
        self.run().has_metric = true;
    }

    pub(crate) fn has_metric(&self) -> bool {
        self.run().has_metric
    }

    /// Tells the user something, once.
    pub(crate) fn tell(&self, notice: String) {
        self.run().journal.tell(notice);
    }

    /// The measurements that belong to a training item.
    pub(crate) fn entry_at(&self, item: u64) -> Option<Entry> {
        self.run().journal.entry_at(item)
    }

    /// The number of training items announced so far.
    pub(crate) fn items(&self) -> u64 {
        self.run().journal.items()
    }

    /// Notes at which step weights with this fingerprint are saved.
    pub(crate) fn note_checkpoint(&self, fingerprint: u64) {
        self.run().note_checkpoint(fingerprint);
    }

    /// Continues at the step at which weights with this fingerprint were saved, if they were.
    pub(crate) fn resume_from(&self, fingerprint: u64) {
        if self.shared.config.directory.is_some() {
            self.run().resume_from(fingerprint);
        }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.shared.run)
    }
}

fn read(loss: impl IntoLoss) -> Result<BatchLosses, String> {
    let loss = loss.into_loss();
    let losses = loss.and_then(|loss| BatchLosses::new(vec![loss]));
    losses.map_err(|error| error.to_string())
}

/// The data is valid at every point where a panic could have left it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
