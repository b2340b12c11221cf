//! What a user asks of a probe.

mod curvature;
mod thresholds;

pub use curvature::{AdamPreconditioner, CurvatureConfig, SpectrumConfig};
pub use thresholds::Thresholds;

use critical_search::{CriticalSearch, Method, SearchConfig};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// When a [`SharpnessProbe`](crate::SharpnessProbe) measures, how finely, and where it writes.
///
/// Checked by [`SharpnessProbe::new`](crate::SharpnessProbe::new).
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
    pub(crate) every: u64,
    pub(crate) dense_every: Option<u64>,
    pub(crate) max_time_share: f64,
    pub(crate) search: SearchConfig,
    pub(crate) method: Method,
    pub(crate) task_batches: usize,
    pub(crate) curvature: Option<CurvatureConfig>,
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
            every: 10,
            dense_every: None,
            max_time_share: 1.0,
            search: SearchConfig::default(),
            method: Method::default(),
            task_batches: 1,
            curvature: None,
            batch_statistics: false,
            step_first: true,
            lines: false,
            panel: false,
            thresholds: None,
            edge_cap: None,
            warn_after: 3,
            worker_limit: Duration::from_secs(10),
            directory: None,
        }
    }
}

impl SharpnessConfig {
    /// The relative width of a certified bracket by default: that of
    /// [`SearchConfig`](critical_search::SearchConfig).
    pub const DEFAULT_TOLERANCE: f64 = SearchConfig::DEFAULT_TOLERANCE;

    /// Measures every 10 steps and keeps no file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Measures at the run-wide steps 0, N, 2N, …, where a step is one update of the weights. At
    /// least 1; the default is 10.
    pub fn with_every(mut self, steps: u64) -> Self {
        self.every = steps;
        self
    }

    /// Measures every so many steps, instead of every N, where there is more to see: in the warmup,
    /// which is while the learning rate rises from one update to the next, and near the edge, which is
    /// while the last measurement found η/η_c above 1/2. It must divide N; by default the interval is
    /// the same everywhere.
    pub fn with_dense_every(mut self, steps: u64) -> Self {
        self.dense_every = Some(steps);
        self
    }

    /// The largest share of the run's time that measuring may take, in (0, 1]; by default 1, no ceiling.
    ///
    /// A measurement that is due is left out where it would, at the price of the last one, lift the
    /// share of all time so far above the ceiling; the first one is always made. Which steps are
    /// measured then depends on the clock; the [summary](crate::SharpnessSummary) counts those left out.
    pub fn with_max_time_share(mut self, share: f64) -> Self {
        self.max_time_share = share;
        self
    }

    /// The largest relative width 1 − lower/upper of a certified bracket, in (0, 1). The default is that
    /// of [`SearchConfig`](critical_search::SearchConfig).
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.search.tolerance = tolerance;
        self
    }

    /// The largest relative error, as the search estimates it, of the critical learning rate inside its
    /// bracket, in (0, 1). The default is that of [`SearchConfig`](critical_search::SearchConfig).
    pub fn with_accuracy(mut self, accuracy: f64) -> Self {
        self.search.accuracy = accuracy;
        self
    }

    /// The most evaluations (forward passes) of one search. At least 2; the default is 64.
    pub fn with_max_evaluations(mut self, evaluations: usize) -> Self {
        self.search.max_evaluations = evaluations;
        self
    }

    /// The smallest and the largest learning rate that a search may try, positive and finite; by
    /// default 1e-12 and 1e6.
    pub fn with_learning_rate_limits(mut self, min: f64, max: f64) -> Self {
        self.search.min_learning_rate = min;
        self.search.max_learning_rate = max;
        self
    }

    /// How the search chooses its evaluations; by default guided. The published estimator serves as
    /// a baseline.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// How many halvings below its bracket each measurement looks for an earlier rise of the loss, at one evaluation each; by
    /// default 0. It stops where rounding would hide a rise. The record says whether a bracket was verified, and down to which
    /// learning rate (`verified_from`).
    pub fn with_verification(mut self, evaluations: usize) -> Self {
        self.search.verification = evaluations;
        self
    }

    /// How many batches of each [task](crate::SharpnessProbeBuilder::with_task) make one measurement; by
    /// default 1. The loss of the task is their mean, and the record has the spread of η_c over them.
    pub fn with_task_batches(mut self, batches: usize) -> Self {
        self.task_batches = batches;
        self
    }

    /// Makes no measured step at more than this fraction of its critical learning rate. If the scheduler asks for more, the
    /// probe makes the step at `fraction` · η_c and keeps the ratios between groups. In (0, 1]; off by default, because it
    /// changes the run on purpose. As long as no step is capped, the run stays the same to the bit.
    ///
    /// The probe must make the step: it does in burn's `Learner`, and in a hand-written loop by
    /// [`SharpnessProbe::optimize`](crate::SharpnessProbe::optimize). It measures before the step. The direction does not
    /// depend on η, so a capped step needs no second search, and the optimizer's moments are the same. After a measurement
    /// without a number (`not_descent`, say), the probe makes the step as the scheduler asks. Several workers that make
    /// the same step on replicas of the model cannot agree on a cap: the probe switches it off and says so.
    ///
    /// The probe measures every step while the learning rate rises, and while the last number had η above half of the
    /// cap; elsewhere every N steps. [Tasks](crate::SharpnessProbeBuilder::with_task) keep to their
    /// schedule, and have no say in the cap. The [record](crate::Measurement::learning_rate_used) and the
    /// [summary](crate::SharpnessSummary::capped) say which steps were capped; burn's own *Learning Rate* metric shows
    /// what the scheduler asks for.
    pub fn with_edge_cap(mut self, fraction: f64) -> Self {
        self.edge_cap = Some(fraction);
        self
    }

    /// How many measurements in a row must find the learning rate past the critical one, η/η_c > 1, for
    /// a warning: a `tracing` event, and a call of [`SharpnessProbe::on_edge`]'s function. At least 1; the
    /// default is 3, since a single mini-batch may say anything. Once back below, it may warn again.
    ///
    /// [`SharpnessProbe::on_edge`]: crate::SharpnessProbe::on_edge
    pub fn with_warning_after(mut self, measurements: u64) -> Self {
        self.warn_after = measurements;
        self
    }

    /// Whether batch norm computes from the statistics of the batch while the training loss is measured, as it
    /// does in training, and not from its running statistics; by default it does not.
    ///
    /// Then the loss that is measured is the one whose gradient makes the update, if nothing else behaves
    /// differently in training: the slope is known, and λ_c says how close this very training is to its
    /// edge. Dropout and noise stay off either way, since a loss that draws has no line to search along.
    /// Other [tasks](crate::SharpnessProbeBuilder::with_task) are measured as in validation all the same.
    ///
    /// It holds for burn's `BatchNorm`. The run stays the same to the bit. The first measurement makes a copy of
    /// the model with running statistics of its own, which costs three more forward passes once, or five. Burn
    /// brings those of the model up to date by that; they are put back by making the last forward pass once more. Where
    /// that gives other statistics (dropout below a batch norm, gradients that a loop of one's own accumulates)
    /// or cannot be done (several workers), this is said once: what reads them before the next training
    /// step then sees them one step early. Fields of the model that are no parameters are those of the
    /// moment of the copy.
    ///
    /// A batch norm whose input has no autodiff would use its running statistics all the same; that is a
    /// failure with its reason, and nothing is measured.
    pub fn with_batch_statistics(mut self, batch_statistics: bool) -> Self {
        self.batch_statistics = batch_statistics;
        self
    }

    /// Whether a model in burn's `Learner` makes its step before the measurement, so that the weights after it show the
    /// direction of the update; by default it does. Otherwise a copy of the optimizer makes a step of its own for that,
    /// before the model makes its step.
    ///
    /// It saves that step, and the moments that it makes: a measurement adds about one copy of the weights to the memory
    /// of the step, however large a single parameter is. The measurements are the same to rounding, but for a model with an
    /// `optimize` of its own. Then the update is all that this does to the weights: where it clips them after the
    /// optimizer's step, say, L(θ − ηΔθ) is the loss along the straight line to the clipped weights. Without this
    /// setting, the update is the optimizer's alone.
    ///
    /// The weights do not always show it: at a learning rate of 0, or one so small that the update has few
    /// digits left, with weights of 16 bits, with an optimizer that is not linear in the learning rate (Adafactor
    /// caps it), with several workers, or where a [group](crate::SharpnessProbeBuilder::with_group) is measured. There the
    /// measurement comes before the step, of a copy of the optimizer.
    ///
    /// In a loop of one's own, [`SharpnessProbe::optimize`](crate::SharpnessProbe::optimize) does this.
    pub fn with_step_first(mut self, step_first: bool) -> Self {
        self.step_first = step_first;
        self
    }

    /// Whether each measurement keeps the points at which its search has evaluated the loss, in the record's field
    /// [`line`](crate::Measurement::line); by default it does not. `sharpness line RUN STEP` draws them.
    ///
    /// It costs no evaluation, and some hundred bytes a measurement.
    pub fn with_lines(mut self, lines: bool) -> Self {
        self.lines = lines;
        self
    }

    /// Whether each measurement of the training loss has the panel, what it knows besides the search; by default it does not:
    ///
    /// - the [norm of the gradient](crate::Measurement::gradient_norm), ‖g‖, and
    ///   [that of the weights](crate::Measurement::weight_norm), ‖θ‖;
    /// - the [relative update](crate::Measurement::relative_update), η‖Δθ‖/‖θ‖;
    /// - the [cosine](crate::Measurement::gradient_cosine) of gradient and update, cos(g, Δθ);
    /// - the [agreement](crate::Measurement::agreement) of the step with its linear prediction, and its error;
    /// - the [noise](crate::Measurement::noise_scale) of the gradient, where burn's `Learner` accumulates several batches.
    ///
    /// It costs no evaluation of the loss: the norms take one pass over weights and gradients, and the agreement takes
    /// the search's own evaluation at η. It is none where there is no such evaluation, and before the slope is that of the measured loss
    /// ([`SlopeSource::Known`](crate::SlopeSource)). ‖g‖ is none where several workers make the update, since the scale of their
    /// gradients is not told. `SharpnessMetrics::metrics_panel` shows the panel in burn's dashboard.
    pub fn with_panel(mut self, panel: bool) -> Self {
        self.panel = panel;
        self
    }

    /// Names the optimizer, so that the record has the [thresholds](Thresholds) of its curvature by step, and the charts of
    /// λ_max and λ_pre have lines of their own beside 2/η. λ_c and λ_dir are of this very step, whose edge is 2/η under
    /// every optimizer. By default no optimizer is named.
    pub fn with_thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = Some(thresholds);
        self
    }

    /// Measures the [curvature](crate::hessian) that critical sharpness stands for, too, on a slower
    /// schedule: it takes gradients, tens to hundreds of them.
    pub fn with_curvature(mut self, curvature: CurvatureConfig) -> Self {
        self.curvature = Some(curvature);
        self
    }

    /// How long a measurement waits for another worker of the same update (burn's `DistributedDataParallel`) to come, and for
    /// each of its losses beyond ten times the time of an evaluation by the worker that searches. A worker that takes longer is
    /// left out, and the record's `workers` says so. Above 0; by default 10 seconds.
    pub fn with_worker_limit(mut self, limit: Duration) -> Self {
        self.worker_limit = limit;
        self
    }

    /// The run's folder, usually the one given to `SupervisedTraining::new`. Every measurement is
    /// appended to `measurements.jsonl` there, and a run resumed from a checkpoint finds the
    /// run-wide step there.
    ///
    /// Without a folder, measurements reach the metrics and the log only.
    pub fn with_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Each measured step is a multiple of it.
    pub(crate) fn interval(&self) -> u64 {
        self.dense_every.unwrap_or(self.every)
    }

    /// The search that this configuration describes, if all of it makes sense.
    pub(crate) fn validate(&self) -> Result<CriticalSearch, ConfigError> {
        if self.every == 0 {
            return Err(ConfigError::Every(self.every));
        }
        if let Some(dense) = self.dense_every
            && (dense == 0 || !self.every.is_multiple_of(dense))
        {
            let every = self.every;
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

/// A [`SharpnessConfig`] that cannot work.
#[derive(Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The interval between measurements is not a number of steps.
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
    /// The ceiling on the share of time is not a share.
    #[error(
        "measuring may take a share of {0} of the time, but a share is above 0 and at most 1: choose one such as 0.1"
    )]
    MaxTimeShare(f64),
    /// The residual at which an eigenvalue counts as converged is not a fraction.
    #[error(
        "the tolerance of eigenvalues is {0}, but it is a relative residual: choose one above 0 and below 1, such as 0.01"
    )]
    EigenvalueTolerance(f64),
    /// The cap is no fraction of the critical learning rate.
    #[error(
        "a cap at {0} of the critical learning rate is not possible: choose a fraction above 0 and at most 1, such as 0.3"
    )]
    EdgeCap(f64),
    /// A part of the optimizer whose thresholds are asked for is no fraction.
    #[error(
        "thresholds for a {name} of {value} are not possible: give the value of the optimizer, at least 0 and below 1"
    )]
    Thresholds {
        /// What it is of the optimizer.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A warning after no measurement.
    #[error("warning after {0} measurements past the edge is not possible: choose at least 1")]
    WarningAfter(u64),
    /// No time to wait for a worker.
    #[error(
        "waiting {0:?} for a worker is not possible: choose a time above 0, such as 10 seconds"
    )]
    WorkerLimit(Duration),
    /// No batch to measure a task on.
    #[error("measuring tasks on {0} batches is not possible: choose at least 1 batch")]
    TaskBatches(usize),
    /// The name of a task cannot be used.
    #[error("a task cannot be named \"{name}\": {why}")]
    TaskName {
        /// The name given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value that concerns the search.
    #[error(transparent)]
    Search(#[from] critical_search::SearchConfigError),
    /// Another probe, of this program or of another one, writes to the run's folder.
    #[error(
        "the folder {} belongs to another run: give each probe a folder of its own, or end the other run and drop its probe",
        directory.display()
    )]
    DirectoryInUse {
        /// The folder given.
        directory: PathBuf,
    },
    /// The run's folder cannot be made.
    #[error(
        "the folder {} for the measurements cannot be made ({source}): choose one that can be written",
        directory.display()
    )]
    Directory {
        /// The folder given.
        directory: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

debug_is_the_sentence!(ConfigError);
