use super::scale::GradientScale;
use crate::direction::{DirectionError, StepKind};
use crate::hessian::CurvatureMemory;
use critical_search::Guess;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// A single agreement of the two losses proves nothing: an output layer that starts at zero hides random numbers below
/// it.
const AGREEMENTS: u64 = 3;
/// The factor between the numbers of measurements at two comparisons.
const COMPARE_AGAIN: u64 = 4;

/// A checkpoint saves this, except faults, which the user may have mended, and anything as large as the weights.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) training: LineMemory,
    pub(crate) tasks: BTreeMap<String, LineMemory>,
    pub(crate) training_loss: TrainingLossTrust,
    pub(crate) gradient_scale: GradientScale,
    #[serde(serialize_with = "save_kind", deserialize_with = "read_kind")]
    pub(crate) step_kind: Kind,
    /// Measurements in a row with the training loss equal at all weights.
    #[serde(skip)]
    pub(crate) constant: u32,
    #[serde(skip)]
    pub(crate) curvature: CurvatureMemory,
    #[serde(skip)]
    pub(crate) curvature_stopped: bool,
    #[serde(skip)]
    pub(crate) batch_sharpness_stopped: bool,
    #[serde(skip)]
    pub(crate) batches_are_repeatable: bool,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct LineMemory {
    pub(crate) guess: Option<Guess>,
    #[serde(skip)]
    pub(crate) is_repeatable: bool,
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

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct TrainingLossTrust {
    comparisons: u64,
    measurements: u64,
    compared_at: u64,
    pub(crate) is_refuted: bool,
}

impl TrainingLossTrust {
    pub(crate) fn holds(&mut self, is_same_in_training: bool) -> bool {
        self.measurements += 1;
        self.is_established(is_same_in_training)
            && self.measurements < COMPARE_AGAIN * self.compared_at
    }

    pub(crate) fn is_established(&self, is_same_in_training: bool) -> bool {
        is_same_in_training && !self.is_refuted && self.comparisons >= AGREEMENTS
    }

    /// A single disagreement is final.
    pub(crate) fn note(&mut self, agrees: bool) {
        self.comparisons += 1;
        self.compared_at = self.measurements;
        self.is_refuted |= !agrees;
    }
}
