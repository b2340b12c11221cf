//! The settings of a probe.

mod curvature;
mod thresholds;

pub use curvature::{AdamPreconditioner, BatchSharpnessConfig, CurvatureConfig, SpectrumConfig};
pub use thresholds::Thresholds;

use critical_search::{CriticalSearch, Method, SearchConfig};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// The steps from one measurement to the next by default.
const EVERY: u64 = 10;

/// Sets when a [`SharpnessProbe`](crate::SharpnessProbe) measures, how finely, and where it writes.
///
/// Most programs set the interval in steps ([`with_every`](Self::with_every)) and the folder of the record
/// ([`with_directory`](Self::with_directory)), and keep the defaults of the rest:
///
/// - cost: [`with_dense_every`](Self::with_dense_every), [`with_max_time_share`](Self::with_max_time_share),
///   [`with_tolerance`](Self::with_tolerance), [`with_accuracy`](Self::with_accuracy);
/// - more numbers: [`with_panel`](Self::with_panel), [`with_curvature`](Self::with_curvature),
///   [`with_thresholds`](Self::with_thresholds), [`with_lines`](Self::with_lines);
/// - the measured loss: [`with_batch_statistics`](Self::with_batch_statistics);
/// - past the edge: [`with_warning_after`](Self::with_warning_after), [`with_edge_cap`](Self::with_edge_cap).
///
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
    /// The default relative width of a certified bracket, as in [`SearchConfig`](critical_search::SearchConfig).
    pub const DEFAULT_TOLERANCE: f64 = SearchConfig::DEFAULT_TOLERANCE;

    /// Creates the default configuration, which measures every 10 steps and writes no file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Measures at the run-wide steps 0, N, 2N, …; a step is one update of the weights. N is at least 1; the default is 10, or 1
    /// under an [edge cap](Self::with_edge_cap).
    pub fn with_every(mut self, steps: u64) -> Self {
        self.every = Some(steps);
        self
    }

    /// Measures at this interval, instead of every N steps, in two cases: while the learning rate rises from one
    /// update to the next (the warmup), and while the last measurement found η/η_c above 1/2 (near the edge). It must
    /// divide N. By default, the interval is N everywhere.
    pub fn with_dense_every(mut self, steps: u64) -> Self {
        self.dense_every = Some(steps);
        self
    }

    /// Limits the share of the run's time spent measuring, in (0, 1]. The default, 1, is no limit.
    ///
    /// The probe skips a due measurement if, at the cost of the last one, it would exceed this share of the time so
    /// far; it never skips the first. So the clock decides which steps are measured. The
    /// [summary](crate::SharpnessSummary) counts the skipped measurements.
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

    /// Sets the largest relative error of the critical learning rate inside its bracket, as the search estimates it,
    /// in (0, 1). The default is the [`SearchConfig`](critical_search::SearchConfig)'s.
    pub fn with_accuracy(mut self, accuracy: f64) -> Self {
        self.search.accuracy = accuracy;
        self
    }

    /// Limits the evaluations (forward passes) of a search. At least 2; the default is 64.
    pub fn with_max_evaluations(mut self, evaluations: usize) -> Self {
        self.search.max_evaluations = evaluations;
        self
    }

    /// Sets the smallest and the largest learning rate that a search may try, positive and finite. The defaults are
    /// 1e-12 and 1e6.
    pub fn with_learning_rate_limits(mut self, min: f64, max: f64) -> Self {
        self.search.min_learning_rate = min;
        self.search.max_learning_rate = max;
        self
    }

    /// Sets how the search chooses its evaluations. The default is guided; the published estimator is a baseline.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Looks for an earlier rise of the loss at this number of halvings below each bracket, with one evaluation each
    /// (default 0). The search stops early if rounding would hide a rise. The record gives the smallest learning rate of
    /// a verified bracket (`verified_from`).
    pub fn with_verification(mut self, evaluations: usize) -> Self {
        self.search.verification = evaluations;
        self
    }

    /// Sets the number of batches in a measurement of each [task](crate::SharpnessProbeBuilder::with_task); the
    /// default is 1. The task's loss is their mean, and the record has the spread of η_c over them.
    pub fn with_task_batches(mut self, batches: usize) -> Self {
        self.task_batches = batches;
        self
    }

    /// Caps each measured step at this fraction of its critical learning rate, in (0, 1].
    ///
    /// If the scheduler asks for more, the probe makes the step at `fraction` · η_c and keeps the ratios between groups.
    /// Off by default, because it changes the run on purpose. As long as no step is capped, the run stays the same to
    /// the bit.
    ///
    /// The probe must make the step: it does in burn's `Learner`, and in a hand-written loop by
    /// [`SharpnessProbe::optimize`](crate::SharpnessProbe::optimize). It measures before the step. The direction does not
    /// depend on η, so a capped step needs no second search, and the optimizer's moments are the same. After a measurement
    /// without a number (`not_descent`, say), the probe makes the step as the scheduler asks. Several workers that make
    /// the same step on replicas of the model cannot agree on a cap: the probe switches it off and says so.
    ///
    /// The probe measures every step, since η_c falls tenfold for single batches. With [`with_every`](Self::with_every) it
    /// measures every step while the learning rate rises, and while the last number had η above a fifth of the
    /// cap; elsewhere every N steps, which costs less and misses some of the steps that need a cap. [Tasks](crate::SharpnessProbeBuilder::with_task) keep to their
    /// schedule, and have no say in the cap. The [record](crate::Measurement::learning_rate_used) and the
    /// [summary](crate::SharpnessSummary::capped) say which steps were capped; burn's own *Learning Rate* metric shows
    /// what the scheduler asks for.
    pub fn with_edge_cap(mut self, fraction: f64) -> Self {
        self.edge_cap = Some(fraction);
        self
    }

    /// Warns after this number of measurements in a row past the edge, η/η_c > 1: by a `tracing` event, and a call of
    /// the function given to [`SharpnessProbe::on_edge`]. At least 1; the default is 1, since a
    /// crossing lasts a step or two. On small batches, a single measurement may be chance: ask for more before your
    /// function stops a run. Once back below the edge, the probe may warn again.
    ///
    /// [`SharpnessProbe::on_edge`]: crate::SharpnessProbe::on_edge
    pub fn with_warning_after(mut self, measurements: u64) -> Self {
        self.warn_after = measurements;
        self
    }

    /// Computes batch norm from the statistics of the batch, as in training, while the probe measures the training
    /// loss. Off by default: batch norm then uses its running statistics.
    ///
    /// If nothing else behaves differently in training, the measured loss is then the loss whose gradient makes the
    /// update: the slope is known, and λ_c belongs to this very training. Dropout and noise stay off, since a loss
    /// that draws has no line to search along. [Tasks](crate::SharpnessProbeBuilder::with_task) are still measured as
    /// in validation.
    ///
    /// This holds for burn's `BatchNorm`. The run stays the same to the bit. The first measurement copies the model,
    /// with its own running statistics, and costs three or five forward passes more. In making this copy, burn
    /// flushes the pending running statistics of the model. The probe repeats the last forward pass to make them
    /// pending again. If that gives other statistics (dropout below a batch norm, gradients accumulated in your own
    /// loop) or is impossible (several workers), readers see the statistics one step early until the next training
    /// step, and the probe warns once. The copy keeps the values that fields outside the parameters had when it was
    /// made.
    ///
    /// A batch norm would still use its running statistics if its input had no autodiff. The measurement then fails
    /// with this reason.
    pub fn with_batch_statistics(mut self, batch_statistics: bool) -> Self {
        self.batch_statistics = batch_statistics;
        self
    }

    /// Lets a model in burn's `Learner` step before the measurement, so its new weights show the direction of the
    /// update. On by default. If off, a copy of the optimizer makes a step for the direction, before the model makes
    /// its own.
    ///
    /// This saves the copy's step and its moments: a measurement adds about one copy of the weights to the step's
    /// memory, however large a single parameter is. The results are the same to rounding, unless the model has its
    /// own `optimize`. Then the update is all that `optimize` does to the weights. If it clips them, for example, L(θ
    /// − ηΔθ) is the loss along the straight line to the clipped weights. If this setting is off, the update is the
    /// optimizer's alone.
    ///
    /// The new weights do not show the direction if the learning rate is 0 or so small that the update has few digits
    /// left, if the weights have 16 bits, if the optimizer is not linear in the learning rate (Adafactor caps it), if
    /// there are several workers, or if the probe measures a [group](crate::SharpnessProbeBuilder::with_group). The
    /// probe then measures before the step, with a copy of the optimizer.
    ///
    /// In your own loop, [`SharpnessProbe::optimize`](crate::SharpnessProbe::optimize) steps first.
    pub fn with_step_first(mut self, step_first: bool) -> Self {
        self.step_first = step_first;
        self
    }

    /// Records the points of each search in [`line`](crate::Measurement::line). Off by default. `sharpness line RUN
    /// STEP` draws them.
    ///
    /// This costs no evaluation, and a few hundred bytes a measurement.
    pub fn with_lines(mut self, lines: bool) -> Self {
        self.lines = lines;
        self
    }

    /// Adds the panel to each measurement of the training loss. Off by default. The panel has:
    ///
    /// - the [norm of the gradient](crate::Measurement::gradient_norm), ‖g‖, and the [norm of the
    ///   weights](crate::Measurement::weight_norm), ‖θ‖;
    /// - the [relative update](crate::Measurement::relative_update), η‖Δθ‖/‖θ‖;
    /// - the [cosine](crate::Measurement::gradient_cosine) of gradient and update, cos(g, Δθ);
    /// - the [agreement](crate::Measurement::agreement) of the step with its linear prediction, and its error;
    /// - the [noise](crate::Measurement::noise_scale) of the gradient, if burn's `Learner` accumulates several
    ///   batches.
    ///
    /// It costs one pass over weights and gradients, and no evaluation of the loss. There is no agreement unless the
    /// search has evaluated the loss at η and the slope belongs to the measured loss
    /// ([`SlopeSource::Known`](crate::SlopeSource)). There is no ‖g‖ if several workers make the update, since burn
    /// does not reveal the scale of their gradients. `SharpnessMetrics::metrics_panel` shows the panel in burn's
    /// dashboard.
    pub fn with_panel(mut self, panel: bool) -> Self {
        self.panel = panel;
        self
    }

    /// Names the optimizer. The record then has the [thresholds](Thresholds) of its curvature at each step, and the
    /// charts of λ_max and λ_pre show them. λ_c and λ_dir describe this very step, and their edge is 2/η under every
    /// optimizer. By default, no optimizer is named.
    pub fn with_thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = Some(thresholds);
        self
    }

    /// Also measures the [curvature](crate::hessian) behind critical sharpness, on a slower schedule: it takes tens
    /// to hundreds of gradients.
    pub fn with_curvature(mut self, curvature: CurvatureConfig) -> Self {
        self.curvature = Some(curvature);
        self
    }

    /// Limits how long a measurement waits for another worker of the same update (burn's `DistributedDataParallel`): until it comes,
    /// and for each of its losses beyond ten times the time of an evaluation by the worker that searches. The measurement leaves
    /// out a worker that takes longer, and the record's `workers` says so. The default is 10 seconds; the limit is above 0.
    pub fn with_worker_limit(mut self, limit: Duration) -> Self {
        self.worker_limit = limit;
        self
    }

    /// Sets the run's folder, usually the folder given to `SupervisedTraining::new`.
    ///
    /// The probe appends every measurement to `measurements.jsonl` there, and a run resumed from a checkpoint finds
    /// its run-wide step there. Without a folder, measurements reach the metrics and the log only.
    pub fn with_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Every measured step is a multiple of this.
    pub(crate) fn interval(&self) -> u64 {
        self.dense_every.unwrap_or(self.every())
    }

    /// The interval away from the edge, and of the tasks under an edge cap.
    pub(crate) fn every(&self) -> u64 {
        self.every.unwrap_or(EVERY)
    }

    /// Makes the search, if all values make sense.
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
    /// No time to wait for a worker.
    #[error(
        "waiting {0:?} for a worker is not possible: choose a time above 0, such as 10 seconds"
    )]
    WorkerLimit(Duration),
    /// The number of batches of a task is 0.
    #[error("measuring tasks on {0} batches is not possible: choose at least 1 batch")]
    TaskBatches(usize),
    /// No batch to measure batch sharpness on.
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
