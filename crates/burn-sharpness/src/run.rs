use crate::config::SharpnessConfig;
use crate::journal::{ClaimedFolder, Journal, OfUpdate};
use crate::schedule::{Answer, Place, Schedule, TimeSpent};
use burn::tensor::Device;
use sharpness_record::{CheckpointNote, Measurement};
use std::sync::Arc;

pub(crate) type OnEdge = Arc<dyn Fn(&Measurement) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Run {
    pub(crate) step: u64,
    pub(crate) has_begun: bool,
    is_step_set: bool,
    /// The number of models that the probe was attached to. It measures the last.
    pub(crate) attached: u64,
    /// Whether a validation has begun since the last training item: burn validates after each epoch.
    pub(crate) is_validating: bool,
    epoch: Option<u64>,
    workers: Workers,
    /// Whether nothing is measured any more.
    pub(crate) is_stopped: bool,
    pub(crate) schedule: Schedule,
    pub(crate) journal: Journal,
    pub(crate) on_edge: Option<OnEdge>,
    pub(crate) has_metric: bool,
}

/// The progress of the workers of burn's `Learner`. The device tells workers of one process apart.
#[derive(Default)]
struct Workers {
    /// The run-wide step at which the run began or resumed.
    first_step: Option<u64>,
    /// The run-wide step of the next update of each device that has made one.
    next_steps: Vec<(Device, u64)>,
    /// The last step that a worker took on itself to measure.
    claimed: Option<u64>,
    /// The updates made since the epoch began; `None` before the first one.
    epoch_updates: Option<u64>,
}

impl Workers {
    fn next_step_on(&self, device: &Device) -> Option<u64> {
        let mut steps = self.next_steps.iter();
        steps.find(|(of, _)| of == device).map(|(_, step)| *step)
    }

    fn set_next_step_on(&mut self, device: &Device, next: u64) {
        match self.next_steps.iter_mut().find(|(of, _)| of == device) {
            Some((_, step)) => *step = next,
            None => self.next_steps.push((device.clone(), next)),
        }
    }
}

impl Run {
    pub(crate) fn new(folder: Option<ClaimedFolder>, warn_after: u64) -> Self {
        Self {
            journal: Journal::new(folder, warn_after),
            ..Self::default()
        }
    }

    /// Counts an attached model. Returns its number, and whether it begins a new run because the probe was used before.
    pub(crate) fn attach(&mut self) -> (u64, bool) {
        self.attached += 1;
        self.workers = Workers::default();
        let is_new = self.has_begun;
        if is_new {
            self.restart();
        }
        (self.attached, is_new)
    }

    fn restart(&mut self) {
        if !self.is_step_set {
            self.step = 0;
        }
        self.has_begun = false;
        self.epoch = None;
        self.is_stopped = false;
        self.schedule = Schedule::default();
        self.journal.restart();
        if self.is_step_set {
            self.journal.begin_record_at(self.step);
        }
    }

    /// Begins a step of a hand-written loop at this rate. Returns its place if it is due.
    pub(crate) fn begin_step(&mut self, rate: f64, config: &SharpnessConfig) -> Option<Place> {
        self.begin_item();
        let place = self.place_of(self.step);
        let is_due = self.is_due_at(place.step, config);
        self.step += 1;
        self.schedule.note_learning_rate(rate);
        is_due.then_some(place)
    }

    /// A batch of the `Learner` is about to make gradients on a device. Returns whether its update will be measured.
    pub(crate) fn begin_batch(&mut self, device: &Device, config: &SharpnessConfig) -> bool {
        let workers = &self.workers;
        let is_epoch_start = workers
            .epoch_updates
            .is_none_or(|updates| self.is_validating && updates > 0);
        self.begin_item();
        if is_epoch_start {
            self.epoch = Some(self.epoch.unwrap_or(0) + 1);
            self.workers.epoch_updates = Some(0);
        }
        let workers = &mut self.workers;
        let first_step = *workers.first_step.get_or_insert(self.step);
        // A device that makes gradients for another device's updates has no updates itself.
        let step = workers
            .next_step_on(device)
            .or_else(|| workers.next_steps.iter().map(|(_, step)| *step).max())
            .unwrap_or(first_step);
        self.is_due_at(step, config)
    }

    /// The `Learner` is about to make an update on a device at this rate. Returns its place and how many workers make
    /// updates, each the same ones, if no other worker makes it before.
    pub(crate) fn begin_update(&mut self, device: &Device, rate: f64) -> Option<(Place, usize)> {
        let workers = &mut self.workers;
        let step = workers
            .next_step_on(device)
            .or(workers.first_step)
            .unwrap_or(self.step);
        workers.set_next_step_on(device, step + 1);
        if workers.claimed.is_some_and(|claimed| step <= claimed) {
            return None;
        }
        workers.claimed = Some(step);
        workers.epoch_updates = workers.epoch_updates.map(|updates| updates + 1);
        let count = workers.next_steps.len();
        self.continue_at(step + 1);
        self.schedule.note_learning_rate(rate);
        Some((self.place_of(step), count))
    }

    /// The device that stands for a model whose parameters are spread over several: always the same one, though
    /// such a model names its devices in any order.
    pub(crate) fn device_of_spread(&self, any: Device) -> Device {
        let known = self.workers.next_steps.first();
        known.map_or(any, |(device, _)| device.clone())
    }

    fn place_of(&self, step: u64) -> Place {
        Place {
            step,
            epoch: self.epoch,
        }
    }

    fn begin_item(&mut self) {
        self.has_begun = true;
        self.is_step_set = false;
        self.is_validating = false;
        self.journal.begin_item(self.step);
    }

    pub(crate) fn set_step(&mut self, step: u64) {
        self.is_step_set = true;
        self.continue_at(step);
        self.journal.begin_record_at(step);
    }

    fn continue_at(&mut self, step: u64) {
        if step < self.step {
            self.schedule.forget_decisions();
        }
        self.step = step;
    }

    fn is_due_at(&mut self, step: u64, config: &SharpnessConfig) -> bool {
        if self.is_stopped {
            return false;
        }
        let summary = self.journal.summary();
        let spent = TimeSpent {
            probing: summary.probe_time,
            running: summary.run_time,
        };
        let (answer, is_new) = self.schedule.ask(step, config, spent);
        if answer == Answer::LeftOut && is_new {
            self.journal.leave_out();
        }
        answer == Answer::Due
    }

    /// Takes in the measurements of one update. Returns the function to call if the run has been past the edge for long
    /// enough.
    pub(crate) fn publish(
        &mut self,
        update: &OfUpdate,
        config: &SharpnessConfig,
    ) -> Option<OnEdge> {
        let all = update.measurements.iter().map(Arc::as_ref);
        self.schedule.note_measurements(all, config);
        let warns = self.journal.publish(update);
        self.on_edge.clone().filter(|_| warns)
    }

    /// Notes the step of a checkpoint with this fingerprint, and what was learned by then.
    pub(crate) fn note_checkpoint(&mut self, fingerprint: u64, state: String) {
        self.journal.note_checkpoint(CheckpointNote {
            step: self.step,
            epoch: self.epoch,
            fingerprint,
            state: Some(state),
        });
    }

    pub(crate) fn forget_workers(&mut self) {
        self.workers = Workers::default();
    }

    /// Continues at the step of the checkpoint with this fingerprint, if there is one. Returns what was learned by then.
    pub(crate) fn resume_from(&mut self, fingerprint: u64) -> Option<String> {
        let Some(note) = self.journal.find_checkpoint(fingerprint) else {
            self.journal.tell(
                "weights were loaded that no probe has saved in this folder: steps are counted from 0; `set_step` continues a run".to_string(),
            );
            return None;
        };
        self.step = note.step;
        self.epoch = note.epoch;
        self.schedule.forget_decisions();
        self.journal.begin_record_at(note.step);
        tracing::info!(
            step = note.step,
            "the probe resumes at the checkpoint's step"
        );
        Some(note.state.unwrap_or_default())
    }
}
