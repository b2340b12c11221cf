use crate::UpdateDirection;
use crate::hessian::CurvatureMeasurement;
use crate::loss::UpdateLoss;
use crate::task::TRAIN_TASK;
use critical_search::{Outcome, SearchResult};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of the record that this crate writes.
pub const RECORD_VERSION: u32 = 1;

/// How a measurement ended. Only [`Bracketed`](Self::Bracketed) comes with a critical sharpness.
///
/// Its serialized form is the name in snake case, such as `no_increase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasurementOutcome {
    /// The critical learning rate is known to the tolerance.
    Bracketed,
    /// The loss did not rise at any learning rate up to the limit, which is in `lower`.
    NoIncrease,
    /// The loss does not fall along the update: its slope is not positive, or it rises at once.
    NotDescent,
    /// The loss changes too little along the update for its rounding to show where it rises.
    BelowResolution,
    /// The loss at the current weights is NaN or infinite.
    NonFiniteBaseLoss,
    /// The update direction is NaN or infinite.
    NonFiniteSlope,
    /// The budget of evaluations was spent; what is known is in `lower` and `upper`.
    BudgetExhausted,
    /// Something else went wrong, said in `reason`.
    Failed,
}

/// Where the loss L(θ) of a measurement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseLossSource {
    /// The training step computed it, by a path that was seen to agree with the probe's to rounding.
    Training,
    /// The probe evaluated it, by one more forward pass.
    Evaluated,
}

/// One measurement of critical sharpness: the record that metrics, log, report and plots only read.
///
/// A field that was not measured is `None` (`null` in JSON), never a number that stands for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The version of this record, [`RECORD_VERSION`].
    pub version: u32,
    /// The run-wide step, counted in updates of the weights from 0, over all epochs.
    pub step: u64,
    /// The epoch, from 1, where it is known.
    pub epoch: Option<u64>,
    /// The task whose loss was measured; `train` is the batch that made the update.
    pub task: String,
    /// The task with the smallest critical learning rate along this update, `train` included; one that
    /// the update hurts at once (`not_descent`) comes before all others. Absent if no task is limited,
    /// or if there is no task but the training.
    #[serde(default)]
    pub limiting_task: Option<String>,
    /// The learning rate η in use at this step.
    pub learning_rate: Option<f64>,
    /// The loss L(θ).
    pub base_loss: Option<f64>,
    /// Where L(θ) comes from.
    pub base_loss_source: Option<BaseLossSource>,
    /// The fraction of the batch that the loss was evaluated on, where the objective states less
    /// than 1.
    pub batch_fraction: f64,
    /// The slope g·Δθ, at which the loss starts to fall along the update.
    pub slope: Option<f64>,
    /// The norm ‖Δθ‖ of the update direction.
    pub update_norm: Option<f64>,
    /// How the measurement ended.
    pub outcome: MeasurementOutcome,
    /// Why it failed, where it did.
    pub reason: Option<String>,
    /// The largest learning rate, below `upper`, at which the loss was seen not to rise.
    pub lower: Option<f64>,
    /// The smallest learning rate at which the loss was seen to rise.
    pub upper: Option<f64>,
    /// The critical learning rate η_c, as the middle of a certified bracket.
    pub critical_lr: Option<f64>,
    /// The critical sharpness λ_c = 2/η_c.
    pub critical_sharpness: Option<f64>,
    /// The 95% interval for η_c that the spread of the loss over the examples allows, where the
    /// objective gives the losses of examples: how much of η_c is batch noise.
    pub critical_lr_interval: Option<(f64, f64)>,
    /// The standard deviation of η_c over the task's batches, to first order, where the loss of a task
    /// is the mean over several.
    #[serde(default)]
    pub critical_lr_spread: Option<f64>,
    /// Whether an earlier crossing was looked for and not seen, where the loss was bracketed.
    pub first_crossing_verified: Option<bool>,
    /// The curvature that critical sharpness stands for, at the steps at which it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curvature: Option<CurvatureMeasurement>,
    /// The evaluations of the loss along the update, one forward pass each; L(θ) is not counted.
    pub evaluations: usize,
    /// The wall-clock time of the whole measurement, in seconds.
    pub seconds: f64,
}

impl Measurement {
    /// An empty record of what is yet to be measured.
    pub(crate) fn new(step: u64, epoch: Option<u64>, task: &str) -> Self {
        Self {
            version: RECORD_VERSION,
            step,
            epoch,
            task: task.to_string(),
            limiting_task: None,
            learning_rate: None,
            base_loss: None,
            base_loss_source: None,
            batch_fraction: 1.0,
            slope: None,
            update_norm: None,
            outcome: MeasurementOutcome::Failed,
            reason: None,
            lower: None,
            upper: None,
            critical_lr: None,
            critical_sharpness: None,
            critical_lr_interval: None,
            critical_lr_spread: None,
            first_crossing_verified: None,
            curvature: None,
            evaluations: 0,
            seconds: 0.0,
        }
    }

    /// The same measurement under the name of another task, at no cost.
    pub(crate) fn of_other_task(&self, task: &str) -> Self {
        Self {
            task: task.to_string(),
            curvature: None,
            evaluations: 0,
            seconds: 0.0,
            ..self.clone()
        }
    }

    /// Records L(θ).
    pub(crate) fn set_base_loss(&mut self, base: &UpdateLoss, source: BaseLossSource) {
        self.base_loss = Some(base.value()).filter(|loss| loss.is_finite());
        self.base_loss_source = Some(source);
        self.batch_fraction = base.batch_fraction();
    }

    /// Records what the update is.
    pub(crate) fn set_direction(&mut self, direction: &UpdateDirection) {
        self.learning_rate = Some(direction.learning_rate());
        self.update_norm = Some(direction.norm()).filter(|norm| norm.is_finite());
    }

    /// Records how the search ended.
    pub(crate) fn set_result(&mut self, result: &SearchResult) {
        self.evaluations = result.trace.len();
        self.outcome = match result.outcome {
            Outcome::Bracketed(bracket) => {
                self.lower = Some(bracket.lower());
                self.upper = Some(bracket.upper());
                self.critical_lr = Some(bracket.critical_lr());
                self.critical_sharpness = Some(bracket.critical_sharpness());
                self.critical_lr_interval = bracket.interval();
                self.first_crossing_verified = Some(bracket.is_verified());
                MeasurementOutcome::Bracketed
            }
            Outcome::NoIncrease { limit } => {
                self.lower = Some(limit);
                MeasurementOutcome::NoIncrease
            }
            Outcome::BudgetExhausted { lower, upper } => {
                self.lower = lower;
                self.upper = upper;
                MeasurementOutcome::BudgetExhausted
            }
            Outcome::NotDescent => MeasurementOutcome::NotDescent,
            Outcome::BelowResolution => MeasurementOutcome::BelowResolution,
            Outcome::NonFiniteBaseLoss => MeasurementOutcome::NonFiniteBaseLoss,
            Outcome::NonFiniteSlope => MeasurementOutcome::NonFiniteSlope,
        };
    }

    /// Records why there is no result.
    pub(crate) fn set_failure(&mut self, reason: impl Into<String>) {
        self.outcome = MeasurementOutcome::Failed;
        self.reason = Some(reason.into());
    }

    pub(crate) fn set_seconds(&mut self, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
    }

    /// Whether it is of the loss that made the update.
    pub(crate) fn is_of_training(&self) -> bool {
        self.task == TRAIN_TASK
    }

    /// The edge threshold 2/η: a critical sharpness above it means that this very step raises the
    /// loss. `None` where the learning rate is 0 or unknown.
    pub fn edge_threshold(&self) -> Option<f64> {
        self.learning_rate
            .filter(|learning_rate| *learning_rate > 0.0)
            .map(|learning_rate| 2.0 / learning_rate)
    }

    /// The edge ratio ηλ_c/2 = η/η_c, which crosses 1 at the Edge of Stability.
    pub fn edge_ratio(&self) -> Option<f64> {
        Some(self.learning_rate? / self.critical_lr?)
    }
}
