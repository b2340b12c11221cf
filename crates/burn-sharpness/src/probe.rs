use crate::calls::CallWatch;
use crate::config::SharpnessConfig;
use crate::failure::lock;
use crate::journal::{ClaimedFolder, Entry, Reading};
use crate::measure::{Memory, Settings};
use crate::run::Run;
use crate::task::{BatchLoss, Task};
use crate::workers::Kept;
use critical_search::CriticalSearch;
use sharpness_record::{Measurement, SharpnessSummary};
use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) const NEVER_ATTACHED: &str = "no measurement: attach this probe to the model that is trained, `probe.attach(model)`, or call `measure` at each step of a loop of your own";

/// Measures critical sharpness along the updates of a training run.
///
/// With burn's `Learner`, [`attach`](Self::attach) the probe to the model. In a hand-written loop, call
/// [`measure`](Self::measure) between the backward pass and the optimizer's step, or [`optimize`](Self::optimize) in
/// place of the step. Read the results by [`latest`](Self::latest) during the run, and by [`summary`](Self::summary)
/// after it. Clones share one run.
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
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    config: SharpnessConfig,
    search: Option<CriticalSearch>,
    task_names: Vec<Arc<str>>,
    /// Locked during a measurement, and never after `run`.
    measuring: Mutex<Measuring>,
    run: Mutex<Run>,
    pub(crate) kept: Arc<Kept>,
}

#[derive(Default)]
pub(crate) struct Measuring {
    pub(crate) tasks: Vec<Task>,
    pub(crate) batch_loss: Option<Box<BatchLoss>>,
    pub(crate) memory: Memory,
    pub(crate) calls: CallWatch,
}

impl SharpnessProbe {
    pub(crate) fn from_parts(
        config: SharpnessConfig,
        search: Option<CriticalSearch>,
        measuring: Measuring,
        folder: Option<ClaimedFolder>,
    ) -> Self {
        let run = Run::new(folder, config.warn_after);
        let tasks = measuring.tasks.iter();
        Self {
            shared: Arc::new(Shared {
                config,
                search,
                task_names: tasks.map(|task| task.name.clone()).collect(),
                measuring: Mutex::new(measuring),
                run: Mutex::new(run),
                kept: Arc::default(),
            }),
        }
    }

    /// Creates a probe that is off: it measures, writes, shows and counts nothing.
    pub fn disabled() -> Self {
        Self::from_parts(SharpnessConfig::new(), None, Measuring::default(), None)
    }

    /// Whether the probe measures: false if it is [disabled](Self::disabled).
    pub fn is_enabled(&self) -> bool {
        self.shared.search.is_some()
    }

    pub(crate) fn config(&self) -> &SharpnessConfig {
        &self.shared.config
    }

    /// Calls a function when measurements in a row are past the edge ([how many](SharpnessConfig::with_warning_after)),
    /// for example to stop the training by burn's `Interrupter`. The probe catches a panic of the function.
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

    /// Returns the names of the tasks, in the order of addition.
    pub fn task_names(&self) -> Vec<Arc<str>> {
        self.shared.task_names.clone()
    }

    /// Returns the last measurement of a task, or of the training loss, named `train`.
    pub fn latest(&self, task: &str) -> Option<Arc<Measurement>> {
        self.run().journal.summary.latest.get(task).cloned()
    }

    /// Continues a run at this run-wide step, for a hand-written loop that resumes. Lines of the record from this step
    /// on move to `measurements-superseded.jsonl`. [`resume`](Self::resume) also restores the [`state`](Self::state) of
    /// the search.
    ///
    /// With burn's `Learner` and a [directory](SharpnessConfig::with_directory), loading a checkpoint sets the step.
    /// Without a directory, call `set_step` before the first step.
    pub fn set_step(&self, step: u64) {
        self.run().set_step(step);
        // The model and its weights may be others now.
        self.measuring().calls.forget();
    }

    /// Returns the run-wide step of the next update.
    pub fn step(&self) -> u64 {
        self.run().step
    }

    /// Returns the numbers of the run's measurements so far, and any problems of the measuring.
    pub fn summary(&self) -> SharpnessSummary {
        let run = self.run();
        let mut summary = run.journal.summary.numbers.clone();
        let notice = NEVER_ATTACHED.to_string();
        if self.is_enabled() && !run.has_begun && !summary.notices.contains(&notice) {
            summary.notices.push(notice);
        }
        summary
    }

    pub(crate) fn begin_run(&self) -> u64 {
        let (attached, is_new) = self.run().attach();
        if is_new {
            let mut measuring = self.measuring();
            measuring.memory = Memory::default();
            measuring.calls = CallWatch::default();
        }
        attached
    }

    pub(crate) fn tell(&self, notice: String) {
        self.run().journal.tell(notice);
    }

    pub(crate) fn begin_reading(&self) -> Reading {
        self.run().journal.feed.begin()
    }

    pub(crate) fn read(&self, reading: &mut Reading) -> Vec<Entry> {
        self.run().journal.feed.read(reading)
    }

    pub(crate) fn settings(&self) -> Option<Settings<'_>> {
        Some(Settings {
            config: &self.shared.config,
            search: self.shared.search.as_ref()?,
        })
    }

    pub(crate) fn measuring(&self) -> MutexGuard<'_, Measuring> {
        lock(&self.shared.measuring)
    }

    pub(crate) fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.shared.run)
    }
}

impl Debug for SharpnessProbe {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let mut probe = f.debug_struct("SharpnessProbe");
        probe
            .field("is_enabled", &self.is_enabled())
            .field("config", &self.shared.config)
            .field("tasks", &self.shared.task_names);
        // The lock is taken during a measurement.
        if let Ok(run) = self.shared.run.try_lock() {
            probe
                .field("step", &run.step)
                .field("measurements", &run.journal.summary.numbers.measurements);
        }
        probe.finish()
    }
}
