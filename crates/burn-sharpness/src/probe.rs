use crate::journal::{ClaimedFolder, Entry};
use crate::measure::{LossOf, MeasuredUpdate, Memory, Mode, Panicked, may_step_first, measure};
use crate::run::Run;
use crate::task::Task;
use crate::{Measurement, SharpnessConfig, SharpnessSummary};
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
/// [`measure`](Self::measure) between the backward pass and the optimizer's step (or
/// [`optimize`](Self::optimize) instead of the step, which takes less memory and time):
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

    /// Whether a step may be made before it is measured, from a model that no other thread uses.
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

    pub(crate) fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.shared.run)
    }
}

/// The data is valid at every point where a panic could have left it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
