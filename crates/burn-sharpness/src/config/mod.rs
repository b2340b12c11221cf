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
    pub fn with_every(mut self, steps: u64) -> Self {
        self.every = Some(steps);
        self
    }

    /// Measures at this interval while the learning rate rises (the warmup), and while the last η/η_c is above 1/2
    /// (near the edge). The interval must divide the interval of [`with_every`](Self::with_every), the default.
    pub fn with_dense_every(mut self, steps: u64) -> Self {
        self.dense_every = Some(steps);
        self
    }

    /// Limits the share of the run's time spent measuring, in (0, 1]. The default is 1, no limit.
    ///
    /// The probe skips a due measurement, except the first, if another measurement as long as the last would exceed
    /// this share. So the clock decides which steps the probe measures. The [summary](crate::SharpnessSummary) counts
    /// skipped measurements.
    pub fn with_max_time_share(mut self, share: f64) -> Self {
        self.max_time_share = share;
        self
    }

    /// Sets the largest relative width 1 − lower/upper of a certified bracket, in (0, 1). The default is
    /// [`DEFAULT_TOLERANCE`](Self::DEFAULT_TOLERANCE).
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.search.tolerance = tolerance;
        self
    }

    /// Sets the largest estimated relative error of the critical learning rate, in (0, 1). The default is the
    /// [`SearchConfig`](critical_search::SearchConfig)'s.
    pub fn with_accuracy(mut self, accuracy: f64) -> Self {
        self.search.accuracy = accuracy;
        self
    }

    /// Limits the evaluations (forward passes) of a search, at least 2. The default is 64.
    pub fn with_max_evaluations(mut self, evaluations: usize) -> Self {
        self.search.max_evaluations = evaluations;
        self
    }

    /// Sets the smallest and the largest learning rate of a search, positive and finite. The defaults are 1e-12 and
    /// 1e6.
    pub fn with_learning_rate_limits(mut self, min: f64, max: f64) -> Self {
        self.search.min_learning_rate = min;
        self.search.max_learning_rate = max;
        self
    }

    /// Sets how the search chooses its evaluations, by default guided.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Looks for an earlier rise of the loss at this number of halvings below each bracket, with one evaluation each,
    /// until rounding would hide a rise. The default is 0. The record gives the smallest verified learning rate
    /// (`verified_from`).
    pub fn with_verification(mut self, evaluations: usize) -> Self {
        self.search.verification = evaluations;
        self
    }

    /// Sets the number of batches in a measurement of each [task](crate::SharpnessProbeBuilder::with_task); the default
    /// is 1. The task's loss is the mean over the batches, and the record has the spread of η_c.
    pub fn with_task_batches(mut self, batches: usize) -> Self {
        self.task_batches = batches;
        self
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
    pub fn with_edge_cap(mut self, fraction: f64) -> Self {
        self.edge_cap = Some(fraction);
        self
    }

    /// Warns after this number of measurements in a row past the edge, η/η_c > 1, by a `tracing` event and a call of
    /// the function given to [`SharpnessProbe::on_edge`](crate::SharpnessProbe::on_edge). The number is at least 1, the
    /// default, since a crossing lasts a step or two. After a measurement below the edge, the probe may warn again. On
    /// small batches, a single measurement may be chance: ask for more before your function stops a run.
    pub fn with_warning_after(mut self, measurements: u64) -> Self {
        self.warn_after = measurements;
        self
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
    pub fn with_batch_statistics(mut self, batch_statistics: bool) -> Self {
        self.batch_statistics = batch_statistics;
        self
    }

    /// Lets a model in burn's `Learner` step before the measurement, so that its new weights show the direction of the
    /// update. On by default. If off, a copy of the optimizer makes a step for the direction, which takes the memory of
    /// its moments. The results agree to rounding, unless the model's own `optimize` does more than the optimizer
    /// (clips the weights, say): the update includes this only if the model steps first.
    ///
    /// The probe measures before the step in any case if the update has few digits left (a learning rate of almost 0),
    /// if the weights have 16 bits, if the optimizer is not linear in the learning rate (Adafactor), with several
    /// workers, and for a [group](crate::SharpnessProbeBuilder::with_group).
    pub fn with_step_first(mut self, step_first: bool) -> Self {
        self.step_first = step_first;
        self
    }

    /// Records the points of each search in [`line`](crate::Measurement::line), which `sharpness line RUN STEP` draws.
    /// Off by default; the points take a few hundred bytes a measurement.
    pub fn with_lines(mut self, lines: bool) -> Self {
        self.lines = lines;
        self
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
    pub fn with_panel(mut self, panel: bool) -> Self {
        self.panel = panel;
        self
    }

    /// Names the optimizer, so that the record and the charts of the curvature have its [thresholds](Thresholds). The
    /// edge of λ_c is 2/η under every optimizer.
    pub fn with_thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = Some(thresholds);
        self
    }

    /// Also measures the [curvature](crate::hessian) behind critical sharpness, at its own interval: tens to hundreds
    /// of gradients each time.
    pub fn with_curvature(mut self, curvature: CurvatureConfig) -> Self {
        self.curvature = Some(curvature);
        self
    }

    /// Limits how long a measurement waits for another worker of the same update (burn's `DistributedDataParallel`):
    /// for its arrival, and for each of its losses (then plus ten times the searching worker's own time). Above 0; the
    /// default is 10 seconds. The measurement leaves out a slower worker, and the record's `workers` counts the others.
    pub fn with_worker_limit(mut self, limit: Duration) -> Self {
        self.worker_limit = limit;
        self
    }

    /// Sets the run's folder, usually the folder given to `SupervisedTraining::new`. The probe appends every
    /// measurement to its `measurements.jsonl`, and a resumed run finds its step there. Without a folder, measurements
    /// reach the metrics and the log only.
    pub fn with_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    pub(crate) fn interval(&self) -> u64 {
        self.dense_every.unwrap_or(self.every())
    }

    pub(crate) fn every(&self) -> u64 {
        self.every.unwrap_or(EVERY)
    }

    pub(crate) fn validate(&self) -> Result<CriticalSearch, ConfigError> {
        let every = self.every();
        if every == 0 {
            return Err(ConfigError::Every(every));
        }
        if let Some(dense) = self.dense_every
            && (dense == 0 || !every.is_multiple_of(dense))
        {
            return Err(ConfigError::DenseEvery { dense, every });
        }
        if !(self.max_time_share > 0.0 && self.max_time_share <= 1.0) {
            return Err(ConfigError::MaxTimeShare(self.max_time_share));
        }
        if let Some(curvature) = &self.curvature {
            if curvature.every == 0 {
                return Err(ConfigError::Every(0));
            }
            let spectrum = &curvature.spectrum;
            if !(spectrum.tolerance > 0.0 && spectrum.tolerance < 1.0) {
                return Err(ConfigError::EigenvalueTolerance(spectrum.tolerance));
            }
        }
        if let Some(config) = &self.batch_sharpness {
            if config.every == 0 {
                return Err(ConfigError::Every(0));
            }
            if config.batches == 0 {
                return Err(ConfigError::SharpnessBatches(config.batches));
            }
        }
        if let Some(fraction) = self.edge_cap
            && !(fraction > 0.0 && fraction <= 1.0)
        {
            return Err(ConfigError::EdgeCap(fraction));
        }
        let parts = self.thresholds.map(Thresholds::parts);
        if let Some((name, value)) = parts
            .into_iter()
            .flatten()
            .find(|(_, value)| !(0.0..1.0).contains(value))
        {
            return Err(ConfigError::Thresholds { name, value });
        }
        if self.warn_after == 0 {
            return Err(ConfigError::WarningAfter(self.warn_after));
        }
        if self.worker_limit.is_zero() {
            return Err(ConfigError::WorkerLimit(self.worker_limit));
        }
        if self.task_batches == 0 {
            return Err(ConfigError::TaskBatches(self.task_batches));
        }
        Ok(CriticalSearch::new(self.search)?.with_method(self.method))
    }
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
