use crate::direction::{DirectionError, StepKind};
use crate::hessian::CurvatureMemory;
use critical_search::Guess;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The measurements at which the training step's loss must have agreed with the probe's before it may
/// stand for it. Once proves nothing: an output layer that starts at zero hides whatever random numbers
/// the layers below draw.
const AGREEMENTS: u64 = 3;
/// The factor of the number of measurements after which the two are compared again.
const COMPARE_AGAIN: u64 = 4;

/// What earlier measurements of a run have taught.
#[derive(Default)]
pub(crate) struct Memory {
    /// What is known of the training loss.
    pub(crate) training: LineMemory,
    /// What is known of each task and group.
    pub(crate) tasks: BTreeMap<Arc<str>, LineMemory>,
    /// Whether the training step's loss may stand for L(θ).
    pub(crate) training_loss: TrainingLossTrust,
    /// What the optimizer's steps are like, once that is known, or why they cannot be measured.
    pub(crate) step_kind: Option<Result<StepKind, DirectionError>>,
    /// How many measurements in a row found the training loss the same at all weights.
    pub(crate) constant: u32,
    /// Where the next measurement of the curvature starts.
    pub(crate) curvature: CurvatureMemory,
    /// Whether something has ended the measuring of the curvature.
    pub(crate) curvature_stopped: bool,
}

/// What is known of one loss along the updates.
#[derive(Default)]
pub(crate) struct LineMemory {
    /// Where the next search starts.
    pub(crate) guess: Option<Guess>,
    /// Whether two passes over the same weights were seen to give the same loss.
    pub(crate) is_repeatable: bool,
    /// Whether it is measured no more.
    pub(crate) stopped: bool,
    /// Whether something about it was told already.
    pub(crate) warned: bool,
}

impl Memory {
    /// Where the last search of the training loss ended, if it found η_c.
    pub(crate) fn critical_lr(&self) -> Option<f64> {
        self.training.guess.and_then(|guess| guess.critical_lr())
    }
}

/// Whether the loss that a training step has computed may stand for the one that the probe would
/// evaluate at the same weights.
#[derive(Default)]
pub(crate) struct TrainingLossTrust {
    comparisons: u64,
    measurements: u64,
    /// The measurement at which the two were compared last.
    compared_at: u64,
    is_refuted: bool,
}

impl TrainingLossTrust {
    /// Whether the training step's loss may stand for L(θ) at this measurement. The two are compared again once four times
    /// as many measurements have been made as at the last time.
    pub(crate) fn holds(&mut self, is_same_in_training: bool) -> bool {
        self.measurements += 1;
        self.is_established(is_same_in_training)
            && self.measurements < COMPARE_AGAIN * self.compared_at
    }

    /// Whether the loss measured is known to be the one that was differentiated.
    pub(crate) fn is_established(&self, is_same_in_training: bool) -> bool {
        is_same_in_training && !self.is_refuted && self.comparisons >= AGREEMENTS
    }

    /// Notes whether the two losses agreed. One disagreement is for good.
    pub(crate) fn note(&mut self, agrees: bool) {
        self.comparisons += 1;
        self.compared_at = self.measurements;
        self.is_refuted |= !agrees;
    }

    pub(crate) fn is_refuted(&self) -> bool {
        self.is_refuted
    }
}
