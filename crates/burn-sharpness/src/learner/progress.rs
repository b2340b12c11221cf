//! Where a run in burn's `Learner` stands.

use crate::Loss;
use burn::tensor::Device;
use std::thread::ThreadId;

/// A batch of an update that will be measured.
pub(super) struct KeptBatch<B> {
    pub(super) device: Device,
    pub(super) batch: B,
    /// The loss that the training step has computed on it, once it has.
    pub(super) training_loss: Option<Loss>,
    /// The thread of the training step.
    pub(super) thread: ThreadId,
}

/// Where a run stands. Workers of one process share it, so that what they do is told apart by
/// device.
pub(super) struct HookProgress<B> {
    /// The batches of the update that is being accumulated, kept only if it will be measured.
    pub(super) batches: Vec<KeptBatch<B>>,
    /// The run-wide step at which the run began or resumed.
    pub(super) first_step: Option<u64>,
    /// The run-wide step of the next update of each device that has made one.
    pub(super) next_steps: Vec<(Device, u64)>,
    /// The last step that a worker took on itself to measure.
    pub(super) claimed: Option<u64>,
    /// The updates made since the epoch began; `None` before the first one.
    pub(super) epoch_updates: Option<u64>,
    /// Whether a validation has begun since the last item: burn validates after each epoch.
    pub(super) validated: bool,
}

impl<B> HookProgress<B> {
    pub(super) fn new() -> Self {
        Self {
            batches: Vec::new(),
            first_step: None,
            next_steps: Vec::new(),
            claimed: None,
            epoch_updates: None,
            validated: false,
        }
    }

    pub(super) fn next_step_on(&self, device: &Device) -> Option<u64> {
        let mut steps = self.next_steps.iter();
        steps.find(|(of, _)| of == device).map(|(_, step)| *step)
    }

    pub(super) fn set_next_step_on(&mut self, device: &Device, next: u64) {
        match self.next_steps.iter_mut().find(|(of, _)| of == device) {
            Some((_, step)) => *step = next,
            None => self.next_steps.push((device.clone(), next)),
        }
    }

    /// Whether the next item is the first of an epoch.
    pub(super) fn is_epoch_start(&self) -> bool {
        self.epoch_updates
            .is_none_or(|updates| self.validated && updates > 0)
    }
}
