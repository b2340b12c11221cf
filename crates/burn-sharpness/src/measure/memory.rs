use crate::direction::{DirectionError, StepKind};
use crate::hessian::CurvatureMemory;
use critical_search::Guess;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of agreements between the training step's loss and the probe's before it may replace the
/// probe's. One agreement proves nothing: an output layer that starts at zero hides whatever random
/// numbers the layers below draw.
const AGREEMENTS: u64 = 3;
/// The factor between the numbers of measurements at two comparisons.
const COMPARE_AGAIN: u64 = 4;

#[derive(Default)]
pub(crate) struct Memory {
    /// Findings about the training loss.
    pub(crate) training: LineMemory,
    /// Findings about each task and group.
    pub(crate) tasks: BTreeMap<Arc<str>, LineMemory>,
    /// Whether the training step's loss may stand for L(θ).
    pub(crate) training_loss: TrainingLossTrust,
    /// The kind of the optimizer's steps once it is known, or the reason why they cannot be measured.
    pub(crate) step_kind: Option<Result<StepKind, DirectionError>>,
    /// The number of measurements in a row that found the training loss equal at all weights.
    pub(crate) constant: u32,
    /// The start of the next measurement of the curvature.
    pub(crate) curvature: CurvatureMemory,
    pub(crate) curvature_stopped: bool,
    pub(crate) batch_sharpness_stopped: bool,
    /// Whether two passes over a batch of batch sharpness have given the same loss.
    pub(crate) batches_are_repeatable: bool,
}

/// Findings about one loss along the updates.
#[derive(Default)]
pub(crate) struct LineMemory {
    pub(crate) guess: Option<Guess>,
    /// Whether two passes over the same weights have given the same loss.
    pub(crate) is_repeatable: bool,
    /// The start of the next measurement of its curvature, for a group.
    pub(crate) curvature: CurvatureMemory,
    pub(crate) stopped: bool,
    pub(crate) warned: bool,
}

impl Memory {
    /// Returns the last η_c of the training loss, if the last search found it.
    pub(crate) fn critical_lr(&self) -> Option<f64> {
        self.training.guess.and_then(|guess| guess.critical_lr())
    }
}

/// Decides whether the loss of a training step may replace the probe's own evaluation at the same weights.
#[derive(Default)]
pub(crate) struct TrainingLossTrust {
    comparisons: u64,
    measurements: u64,
    /// The last measurement that compared the two.
    compared_at: u64,
    is_refuted: bool,
}

impl TrainingLossTrust {
    /// Whether the training step's loss may serve as L(θ) at this measurement. The probe compares the two again after four
    /// times as many measurements as at the last comparison.
    pub(crate) fn holds(&mut self, is_same_in_training: bool) -> bool {
        self.measurements += 1;
        self.is_established(is_same_in_training)
            && self.measurements < COMPARE_AGAIN * self.compared_at
    }

    /// Whether the measured loss is known to be the differentiated loss.
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
