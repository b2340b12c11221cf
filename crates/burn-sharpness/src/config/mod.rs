mod curvature;
mod thresholds;

pub use curvature::{AdamPreconditioner, BatchSharpnessConfig, CurvatureConfig, SpectrumConfig};
pub use thresholds::Thresholds;

use critical_search::{CriticalSearch, Method, SearchConfig};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

const EVERY: u64 = 10;

/// Sets when a [`SharpnessProbe`](crate::SharpnessProbe) measures, how finely, and where it writes.
///
/// Most programs set only [`with_every`](Self::with_every) and [`with_directory`](Self::with_directory).
/// [`SharpnessProbe::new`](crate::SharpnessProbe::new) checks the values.
///
/// ```
/// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
///
/// let config = SharpnessConfig::new().with_every(10).with_tolerance(1.0 / 32.0);
/// let probe = SharpnessProbe::new(config)?;
/// assert!(SharpnessProbe::new(SharpnessConfig::new().with_every(0)).is_err());
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct SharpnessConfig {
    pub(crate) every: Option<u64>,
    pub(crate) dense_every: Option<u64>,
    pub(crate) max_time_share: f64,
    pub(crate) search: SearchConfig,
    pub(crate) method: Method,
    pub(crate) task_batches: usize,
    pub(crate) curvature: Option<CurvatureConfig>,
    pub(crate) batch_sharpness: Option<BatchSharpnessConfig>,
    pub(crate) batch_statistics: bool,
    pub(crate) step_first: bool,
    pub(crate) lines: bool,
    pub(crate) panel: bool,
    pub(crate) thresholds: Option<Thresholds>,
    pub(crate) edge_cap: Option<f64>,
    pub(crate) warn_after: u64,
    pub(crate) worker_limit: Duration,
    pub(crate) directory: Option<PathBuf>,
}

impl Default for SharpnessConfig {
    fn default() -> Self {
        Self {
            every: None,
            dense_every: None,
            max_time_share: 1.0,
            search: SearchConfig::default(),
            method: Method::default(),
            task_batches: 1,
            curvature: None,
            batch_sharpness: None,
            batch_statistics: false,
            step_first: true,
            lines: false,
            panel: false,
            thresholds: None,
            edge_cap: None,
            warn_after: 1,
            worker_limit: Duration::from_secs(10),
            directory: None,
        }
    }
}

impl SharpnessConfig {
    /// The default relative width of a certified bracket.
    pub const DEFAULT_TOLERANCE: f64 = SearchConfig::DEFAULT_TOLERANCE;

    /// Creates the default configuration, which measures every 10 steps and writes no file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Measures at the run-wide steps 0, N, 2N, …; a step is one update of the weights. N is at least 1; the default is
    /// 10, or 1 under an [edge cap](Self::with_edge_cap).
    pub fn with_every(self, steps: u64) -> Self {
        self.with(|config| config.every = Some(steps))
    }

    /// Measures at this interval while the learning rate rises (the warmup), and while the last η/η_c is above 1/2
    /// (near the edge). The interval must divide the interval of [`with_every`](Self::with_every), the default.
    pub fn with_dense_every(self, steps: u64) -> Self {
        self.with(|config| config.dense_every = Some(steps))
    }

    /// Limits the share of the run's time spent measuring, in (0, 1]. The default is 1, no limit.
    ///
    /// The probe skips a due measurement, except the first, if another measurement as long as the last would exceed
    /// this share. So the clock decides which steps the probe measures. The [summary](crate::SharpnessSummary) counts
    /// skipped measurements.
    pub fn with_max_time_share(self, share: f64) -> Self {
        self.with(|config| config.max_time_share = share)
    }

    /// Sets the largest relative width 1 − lower/upper of a certified bracket, in (0, 1). The default is
    /// [`DEFAULT_TOLERANCE`](Self::DEFAULT_TOLERANCE).
    pub fn with_tolerance(self, tolerance: f64) -> Self {
        self.with(|config| config.search.tolerance = tolerance)
    }

    /// Sets the largest estimated relative error of the critical learning rate, in (0, 1). The default is the
    /// [`SearchConfig`](critical_search::SearchConfig)'s.
    pub fn with_accuracy(self, accuracy: f64) -> Self {
        self.with(|config| config.search.accuracy = accuracy)
    }

    /// Limits the evaluations (forward passes) of a search, at least 2. The default is 64.
    pub fn with_max_evaluations(self, evaluations: usize) -> Self {
        self.with(|config| config.search.max_evaluations = evaluations)
    }

    /// Sets the smallest and the largest learning rate of a search, positive and finite. The defaults are 1e-12 and
    /// 1e6.
    pub fn with_learning_rate_limits(mut self, min: f64, max: f64) -> Self {
        self.search.min_learning_rate = min;
        self.search.max_learning_rate = max;
        self
    }

    /// Sets how the search chooses its evaluations, by default guided.
    pub fn with_method(self, method: Method) -> Self {
        self.with(|config| config.method = method)
    }

    /// Looks for an earlier rise of the loss at this number of halvings below each bracket, with one evaluation each,
    /// until rounding would hide a rise. The default is 0. The record gives the smallest verified learning rate
    /// (`verified_from`).
    pub fn with_verification(self, evaluations: usize) -> Self {
        self.with(|config| config.search.verification = evaluations)
    }

    /// Sets the number of batches in a measurement of each [task](crate::SharpnessProbeBuilder::with_task); the default
    /// is 1. The task's loss is the mean over the batches, and the record has the spread of η_c.
    pub fn with_task_batches(self, batches: usize) -> Self {
        self.with(|config| config.task_batches = batches)
    }

    /// Caps each measured step at this fraction of its critical learning rate, in (0, 1]. Off by default, because it
    /// changes the run on purpose.
    ///
    /// If the scheduler asks for more, the probe makes the step at `fraction` · η_c, and keeps the ratios between
    /// groups. Without a number, the scheduler's rate stands. The probe must make the step: in burn's `Learner`, or by
    /// [`SharpnessProbe::optimize`](crate::SharpnessProbe::optimize). If several workers make the same step, the cap is
    /// off.
    ///
    /// The probe measures every step, since η_c falls tenfold for single batches. With [`with_every`](Self::with_every)
    /// it measures every step only while the learning rate rises and while the last number had η above a fifth of the
    /// cap, and may miss steps that need a cap. [Tasks](crate::SharpnessProbeBuilder::with_task) do not affect the cap.
    ///
    /// The [record](crate::Measurement::learning_rate_used) and the [summary](crate::SharpnessSummary::capped) show the
    /// capped steps.
    pub fn with_edge_cap(self, fraction: f64) -> Self {
        self.with(|config| config.edge_cap = Some(fraction))
    }

    /// Warns after this number of measurements in a row past the edge, η/η_c > 1, by a `tracing` event and a call of
    /// the function given to [`SharpnessProbe::on_edge`](crate::SharpnessProbe::on_edge). The number is at least 1, the
    /// default, since a crossing lasts a step or two. After a measurement below the edge, the probe may warn again. On
    /// small batches, a single measurement may be chance: ask for more before your function stops a run.
    pub fn with_warning_after(self, measurements: u64) -> Self {
        self.with(|config| config.warn_after = measurements)
    }

    /// Computes batch norm (burn's `BatchNorm`) from the statistics of the batch, as in training, while the probe
    /// measures the training loss. If nothing else behaves differently in training, this is the loss whose gradient
    /// makes the update. Off by default: batch norm then uses its running statistics. Dropout and noise stay off, and
    /// [tasks](crate::SharpnessProbeBuilder::with_task) stay in validation mode.
    ///
    /// The first measurement copies the model, including fields outside the parameters, and costs three to five more
    /// forward passes. With several workers, dropout before a batch norm, or gradients accumulated in your own loop, it
    /// may write the running statistics one step early; the probe then warns. A measurement fails if a batch norm's
    /// input has no autodiff.
    pub fn with_batch_statistics(self, batch_statistics: bool) -> Self {
        self.with(|config| config.batch_statistics = batch_statistics)
    }

    /// Lets a model in burn's `Learner` step before the measurement, so that its new weights show the direction of the
    /// update. On by default. If off, a copy of the optimizer makes a step for the direction, which takes the memory of
    /// its moments. The results agree to rounding, unless the model's own `optimize` does more than the optimizer
    /// (clips the weights, say): the update includes this only if the model steps first.
    ///
    /// The probe measures before the step in any case if the update has few digits left (a learning rate of almost 0),
    /// if the weights have 16 bits, if the optimizer is not linear in the learning rate (Adafactor), with several
    /// workers, and for a [group](crate::SharpnessProbeBuilder::with_group).
    pub fn with_step_first(self, step_first: bool) -> Self {
        self.with(|config| config.step_first = step_first)
    }

    /// Records the points of each search in [`line`](crate::Measurement::line), which `sharpness line RUN STEP` draws.
    /// Off by default; the points take a few hundred bytes a measurement.
    pub fn with_lines(self, lines: bool) -> Self {
        self.with(|config| config.lines = lines)
    }

    /// Adds the panel to each measurement of the training loss, at one pass over weights and gradients. Off by default.
    /// The panel has:
    ///
    /// - the norms of [gradient](crate::Measurement::gradient_norm) and [weights](crate::Measurement::weight_norm), ‖g‖
    ///   and ‖θ‖;
    /// - the [relative update](crate::Measurement::relative_update), η‖Δθ‖/‖θ‖;
    /// - the [cosine](crate::Measurement::gradient_cosine) of gradient and update, cos(g, Δθ);
    /// - the [agreement](crate::Measurement::agreement) of the step with its linear prediction, if the search knows it;
    /// - the [noise](crate::Measurement::noise_scale) of the gradient, if burn's `Learner` accumulates several batches.
    ///
    /// If several workers make the update, ‖g‖ begins with the fourth measurement: the probe first has to find the
    /// scale of their gradients.
    pub fn with_panel(self, panel: bool) -> Self {
        self.with(|config| config.panel = panel)
    }

    /// Names the optimizer, so that the record and the charts of the curvature have its [thresholds](Thresholds). The
    /// edge of λ_c is 2/η under every optimizer.
    pub fn with_thresholds(self, thresholds: Thresholds) -> Self {
        self.with(|config| config.thresholds = Some(thresholds))
    }

    /// Also measures the [curvature](crate::hessian) behind critical sharpness, at its own interval: tens to hundreds
    /// of gradients each time.
    pub fn with_curvature(self, curvature: CurvatureConfig) -> Self {
        self.with(|config| config.curvature = Some(curvature))
    }

    /// Limits how long a measurement waits for another worker of the same update (burn's `DistributedDataParallel`):
    /// for its arrival, and for each of its losses (then plus ten times the searching worker's own time). Above 0; the
    /// default is 10 seconds. The measurement leaves out a slower worker, and the record's `workers` counts the others.
    pub fn with_worker_limit(self, limit: Duration) -> Self {
        self.with(|config| config.worker_limit = limit)
    }

    /// Sets the run's folder, usually the folder given to `SupervisedTraining::new`. The probe appends every
    /// measurement to its `measurements.jsonl`, and a resumed run finds its step there. Without a folder, measurements
    /// reach the metrics and the log only.
    pub fn with_directory(self, directory: impl Into<PathBuf>) -> Self {
        self.with(|config| config.directory = Some(directory.into()))
    }

    pub(crate) fn interval(&self) -> u64 {
        self.dense_every.unwrap_or(self.every())
    }

    pub(crate) fn every(&self) -> u64 {
        self.every.unwrap_or(EVERY)
    }

    pub(crate) fn validate(&self) -> Result<CriticalSearch, ConfigError> {
        let every = self.every();
        ensure(every > 0, ConfigError::Every(every))?;
        if let Some(dense) = self.dense_every {
            let divides = every.is_multiple_of(dense);
            ensure(divides, ConfigError::DenseEvery { dense, every })?;
        }
        let share = self.max_time_share;
        ensure(is_fraction(share), ConfigError::MaxTimeShare(share))?;
        if let Some(curvature) = &self.curvature {
            ensure(curvature.every > 0, ConfigError::Every(0))?;
            let tolerance = curvature.spectrum.tolerance;
            let is_below_1 = is_fraction(tolerance) && tolerance < 1.0;
            ensure(is_below_1, ConfigError::EigenvalueTolerance(tolerance))?;
        }
        if let Some(config) = &self.batch_sharpness {
            ensure(config.every > 0, ConfigError::Every(0))?;
            ensure(config.batches > 0, ConfigError::SharpnessBatches(0))?;
        }
        if let Some(cap) = self.edge_cap {
            ensure(is_fraction(cap), ConfigError::EdgeCap(cap))?;
        }
        for (name, value) in self.thresholds.iter().flat_map(Thresholds::parts) {
            let is_possible = (0.0..1.0).contains(&value);
            ensure(is_possible, ConfigError::Thresholds { name, value })?;
        }
        ensure(self.warn_after > 0, ConfigError::WarningAfter(0))?;
        let limit = self.worker_limit;
        ensure(!limit.is_zero(), ConfigError::WorkerLimit(limit))?;
        ensure(self.task_batches > 0, ConfigError::TaskBatches(0))?;
        Ok(CriticalSearch::new(self.search)?.with_method(self.method))
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn ensure(holds: bool, error: ConfigError) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(error) }
}

fn is_fraction(value: f64) -> bool {
    value > 0.0 && value <= 1.0
}

/// Explains why a [`SharpnessConfig`] cannot work.
#[derive(Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The interval between measurements is 0.
    #[error(
        "measuring every {0} steps is not an interval: choose at least 1 step (a probe that measures nothing is `SharpnessProbe::disabled()`)"
    )]
    Every(u64),
    /// The dense interval does not divide the interval.
    #[error(
        "measuring every {dense} steps near the edge does not fit into every {every} steps: choose a number that divides {every}"
    )]
    DenseEvery {
        /// The dense interval.
        dense: u64,
        /// The interval.
        every: u64,
    },
    /// The share of time is not in (0, 1].
    #[error(
        "measuring may take a share of {0} of the time, but a share is above 0 and at most 1: choose one such as 0.1"
    )]
    MaxTimeShare(f64),
    /// The tolerance of eigenvalues is not in (0, 1).
    #[error(
        "the tolerance of eigenvalues is {0}, but it is a relative residual: choose one above 0 and below 1, such as 0.01"
    )]
    EigenvalueTolerance(f64),
    /// The cap is not in (0, 1].
    #[error(
        "a cap at {0} of the critical learning rate is not possible: choose a fraction above 0 and at most 1, such as 0.3"
    )]
    EdgeCap(f64),
    /// A value of the optimizer is not in [0, 1).
    #[error(
        "thresholds for a {name} of {value} are not possible: give the value of the optimizer, at least 0 and below 1"
    )]
    Thresholds {
        /// The name of the value.
        name: &'static str,
        /// The value given.
        value: f64,
    },
    /// The number of measurements before a warning is 0.
    #[error("warning after {0} measurements past the edge is not possible: choose at least 1")]
    WarningAfter(u64),
    /// The time to wait for a worker is 0.
    #[error(
        "waiting {0:?} for a worker is not possible: choose a time above 0, such as 10 seconds"
    )]
    WorkerLimit(Duration),
    /// The number of batches of a task is 0.
    #[error("measuring tasks on {0} batches is not possible: choose at least 1 batch")]
    TaskBatches(usize),
    /// The number of batches of batch sharpness is 0.
    #[error("batch sharpness over {0} batches is not possible: choose at least 1 batch")]
    SharpnessBatches(usize),
    /// The name of a task is unusable.
    #[error("a task cannot be named \"{name}\": {why}")]
    TaskName {
        /// The name given.
        name: String,
        /// The fault of the name.
        why: &'static str,
    },
    /// A value of the search makes no sense.
    #[error(transparent)]
    Search(#[from] critical_search::SearchConfigError),
    /// Another probe, in this program or another, writes to the run's folder.
    #[error(
        "the folder {} belongs to another run: give each probe a folder of its own, or end the other run and drop its probe",
        directory.display()
    )]
    DirectoryInUse {
        /// The folder given.
        directory: PathBuf,
    },
    /// The system refuses to make the run's folder.
    #[error(
        "the folder {} for the measurements cannot be created ({source}): choose a writable folder",
        directory.display()
    )]
    Directory {
        /// The folder given.
        directory: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}

debug_is_the_sentence!(ConfigError);
