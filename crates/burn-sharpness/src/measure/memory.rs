use super::scale::GradientScale;
use crate::direction::{DirectionError, StepKind};
use crate::hessian::CurvatureMemory;
use critical_search::Guess;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The number of times that the training step's loss must agree with the probe's before it may replace it. A single
/// agreement proves nothing: an output layer that starts at zero hides random numbers below it.
const AGREEMENTS: u64 = 3;
/// The factor between the numbers of measurements at two comparisons.
const COMPARE_AGAIN: u64 = 4;

/// The lessons of a run's measurements for the next ones. A checkpoint saves them, except faults, which the user may
/// have mended before the run resumes, and anything as large as the weights.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) training: LineMemory,
    /// Findings about each task and group.
    pub(crate) tasks: BTreeMap<String, LineMemory>,
    /// Whether the training step's loss may stand for L(θ).
    pub(crate) training_loss: TrainingLossTrust,
    /// Whether workers that share their gradients take their sum or their mean.
    pub(crate) gradient_scale: GradientScale,
    /// The kind of the optimizer's steps once it is known, or the reason why they cannot be measured.
    #[serde(serialize_with = "save_kind", deserialize_with = "read_kind")]
    pub(crate) step_kind: Kind,
    /// The number of consecutive measurements that found the training loss equal at all weights.
    #[serde(skip)]
    pub(crate) constant: u32,
    /// The start of the next measurement of the curvature.
    #[serde(skip)]
    pub(crate) curvature: CurvatureMemory,
    #[serde(skip)]
    pub(crate) curvature_stopped: bool,
    #[serde(skip)]
    pub(crate) batch_sharpness_stopped: bool,
    /// Whether two passes over a batch of batch sharpness gave the same loss.
    #[serde(skip)]
    pub(crate) batches_are_repeatable: bool,
}

/// Findings about one loss along the updates.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct LineMemory {
    pub(crate) guess: Option<Guess>,
    /// Whether two passes over the same weights have given the same loss.
    #[serde(skip)]
    pub(crate) is_repeatable: bool,
    /// The start of the next measurement of a group's curvature.
    #[serde(skip)]
    pub(crate) curvature: CurvatureMemory,
    #[serde(skip)]
    pub(crate) stopped: bool,
    #[serde(skip)]
    pub(crate) warned: bool,
}

type Kind = Option<Result<StepKind, DirectionError>>;

fn save_kind<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    let known = kind.as_ref().and_then(|kind| kind.as_ref().ok());
    known.serialize(serializer)
}

fn read_kind<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Kind, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(Ok))
}

impl Memory {
    pub(crate) fn critical_lr(&self) -> Option<f64> {
        self.training.guess.and_then(|guess| guess.critical_lr())
    }
}

/// Decides whether the loss of a training step may replace the probe's own evaluation at the same weights.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct TrainingLossTrust {
    comparisons: u64,
    measurements: u64,
    compared_at: u64,
    is_refuted: bool,
}

impl TrainingLossTrust {
    /// Whether the training step's loss may serve as L(θ) at this measurement. The probe compares the two again after
    /// [`COMPARE_AGAIN`] times as many measurements.
    pub(crate) fn holds(&mut self, is_same_in_training: bool) -> bool {
        self.measurements += 1;
        self.is_established(is_same_in_training)
            && self.measurements < COMPARE_AGAIN * self.compared_at
    }

    pub(crate) fn is_established(&self, is_same_in_training: bool) -> bool {
        is_same_in_training && !self.is_refuted && self.comparisons >= AGREEMENTS
    }

    /// Notes whether the two losses agreed. A single disagreement is final.
    pub(crate) fn note(&mut self, agrees: bool) {
        self.comparisons += 1;
        self.compared_at = self.measurements;
        self.is_refuted |= !agrees;
    }

    pub(crate) fn is_refuted(&self) -> bool {
        self.is_refuted
    }
}
