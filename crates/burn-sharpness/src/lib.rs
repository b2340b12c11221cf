//! Measures **critical sharpness** in training loops written with [burn]: how far a run is from the Edge of Stability,
//! for the price of a few forward passes.
//!
//! With an optimizer's step written θ ← θ − ηΔθ,
//!
//! ```text
//! η_c = min { η > 0 : L(θ − ηΔθ) > L(θ) }    critical learning rate
//! λ_c = 2 / η_c                              critical sharpness
//! ```
//!
//! Compare λ_c with the edge threshold 2/η: if λ_c > 2/η, this very step raises the loss (Kalra et al., arXiv
//! 2601.16979, 2026).
//!
//! 1. Make a [`SharpnessProbe`] from a [`SharpnessConfig`]. Attach it to the model for burn's `Learner`, or call it in
//!    a loop of your own.
//! 2. During the run, watch λ_c and 2/η in burn's dashboard (`dashboard_sharpness`), or read each [`Measurement`] by
//!    [`SharpnessProbe::latest`].
//! 3. After the run, print [`SharpnessProbe::summary`], and draw the record that the probe writes to the run's folder
//!    ([`SharpnessConfig::with_directory`]).
//!
//! # In burn's `Learner`
//!
//! ```no_run
//! # use burn::data::dataloader::DataLoader;
//! # use burn::lr_scheduler::constant::ConstantLr;
//! # use burn::optim::ModuleOptimizer;
//! # use burn::train::metric::{Adaptor, LearningRateMetric, LossInput, LossMetric};
//! # use burn::train::{InferenceStep, Learner, LearnerModel, SupervisedTraining, TrainStep};
//! # use std::sync::Arc;
//! use burn_sharpness::{SharpnessConfig, SharpnessMetrics, SharpnessProbe};
//!
//! # fn run<M>(
//! #     dir: &str,
//! #     train: Arc<dyn DataLoader<<M as TrainStep>::Input>>,
//! #     valid: Arc<dyn DataLoader<<M as InferenceStep>::Input>>,
//! #     model: M,
//! #     optim: ModuleOptimizer,
//! #     scheduler: ConstantLr,
//! # ) -> Result<(), burn_sharpness::ConfigError>
//! # where
//! #     M: LearnerModel + InferenceStep<Input = <M as TrainStep>::Input>,
//! #     <M as TrainStep>::Input: Clone,
//! #     <M as TrainStep>::Output: Adaptor<LossInput>,
//! #     <M as InferenceStep>::Output: Adaptor<LossInput>,
//! # {
//! let config = SharpnessConfig::new().with_every(10).with_directory(dir);
//! let probe = SharpnessProbe::new(config)?;
//! let training = SupervisedTraining::new(dir, train, valid)
//!     .metric_train_numeric(LossMetric::new())
//!     .metric_train_numeric(LearningRateMetric::new())
//!     .metrics_sharpness(&probe);
//! training.launch(Learner::new(probe.attach(model), optim, scheduler));
//! println!("{}", probe.summary()); // with any problems of the measuring
//! # Ok(())
//! # }
//! ```
//!
//! # In a hand-written loop
//!
//! Call [`SharpnessProbe::measure`] before the optimizer's step, or [`SharpnessProbe::optimize`] in its place, which
//! takes less memory and time. Without the default feature `learner`, burn is built without burn-train.
//!
//! # More than one number
//!
//! - Other losses along the same update (relative critical sharpness): [`SharpnessProbeBuilder::with_task`].
//! - One parameter group at a time: [`SharpnessProbeBuilder::with_group`].
//! - The curvature behind λ_c: [`hessian`], [`SharpnessConfig::with_curvature`].
//! - For SGD on small batches, the batch sharpness: [`SharpnessProbeBuilder::with_batch_sharpness`].
//! - Before training, the largest learning rate: [`LearningRateFinder`].
//!
//! # Guarantees
//!
//! - **The probe never changes the run**: the trained weights have the same bits as without the probe, and checkpoints
//!   load into the bare model. If a measurement fails, training goes on.
//! - **Every number is certified.** Each search ends in a named [outcome](MeasurementOutcome); only a certified bracket
//!   yields a λ_c.
//! - It works with any [`ModuleOptimizer`](burn::optim::ModuleOptimizer), and with gradient accumulation.
//!
//! The probe evaluates the loss in validation mode, on the batch that made the gradient: without dropout, and with
//! batch norm's running statistics or the batch's own ([`SharpnessConfig::with_batch_statistics`]).

#![cfg_attr(not(feature = "learner"), allow(dead_code, unused_imports))]
// Nothing that a training run can reach may panic.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

/// Makes `?` in `main`, `unwrap` and `expect` print an error's message.
macro_rules! debug_is_the_sentence {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

mod batch_norm;
mod batches;
mod builder;
mod calls;
mod config;
mod direction;
mod failure;
mod finder;
pub mod hessian;
mod journal;
#[cfg(feature = "learner")]
mod learner;
mod loss;
mod losses;
mod measure;
mod meeting;
#[cfg(feature = "learner")]
mod metric;
mod own_loop;
mod params;
mod probe;
mod run;
mod schedule;
mod session;
mod state;
mod task;
mod workers;

pub use batches::TaskBatches;
pub use builder::SharpnessProbeBuilder;
pub use config::{ConfigError, SharpnessConfig, Thresholds};
pub use critical_search::Method;
pub use direction::{DirectionError, Linearity, UpdateDirection};
pub use finder::{FinderError, LearningRateFinder, LearningRateRange, Spread};
#[cfg(feature = "learner")]
pub use learner::{Probed, ReportsLoss, SharpnessMetrics};
pub use loss::{IntoLoss, Loss, LossError};
#[cfg(feature = "learner")]
pub use metric::SharpnessMetric;
pub use own_loop::{Step, Update};
pub use probe::SharpnessProbe;
pub use sharpness_record::{
    About, Against, BaseLossSource, Edge, LinePoint, MEASUREMENTS_FILE, Measurement,
    MeasurementOutcome, NoNumber, Quantity, RECORD_VERSION, Scale, SharpnessSummary, SlopeSource,
    TRAIN_TASK, WorkerShare,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
