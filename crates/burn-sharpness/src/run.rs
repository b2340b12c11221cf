use crate::journal::{ClaimedFolder, Journal};
use crate::schedule::{Answer, Schedule, TimeSpent};
use crate::{Measurement, SharpnessConfig};
use sharpness_record::CheckpointNote;
use std::sync::Arc;

/// A function that is called with the measurement that found a run past the edge.
pub(crate) type OnEdge = Arc<dyn Fn(&Measurement) + Send + Sync>;

/// Where a run stands.
pub(crate) struct Run {
    /// The run-wide step of the next update.
    pub(crate) step: u64,
    /// Whether a training item was seen since the run began.
    pub(crate) has_begun: bool,
    /// Whether the step was set since then, for the run that begins.
    pub(crate) is_step_set: bool,
    /// How many models the probe was attached to. It measures the last of them.
    pub(crate) attached: u64,
    /// Whether a validation has begun since the last training item.
    pub(crate) is_validating: bool,
    pub(crate) epoch: Option<u64>,
    /// Whether nothing is measured any more.
    pub(crate) is_stopped: bool,
    pub(crate) schedule: Schedule,
    pub(crate) journal: Journal,
    pub(crate) on_edge: Option<OnEdge>,
    /// Whether a metric of this probe was made.
    pub(crate) has_metric: bool,
}

impl Run {
    /// A run that has not begun, whose record is written to this folder.
    pub(crate) fn new(folder: Option<ClaimedFolder>) -> Self {
        Self {
            step: 0,
            has_begun: false,
            is_step_set: false,
            attached: 0,
            is_validating: false,
            epoch: None,
            is_stopped: false,
            schedule: Schedule::default(),
            journal: Journal::new(folder),
            on_edge: None,
            has_metric: false,
        }
    }

    /// A new run begins, in the same folder, at the step that was set for it.
    pub(crate) fn restart(&mut self) {
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

    /// A training item is about to be made.
    pub(crate) fn begin_item(&mut self) {
        self.has_begun = true;
        self.is_step_set = false;
        self.is_validating = false;
        self.journal.begin_item(self.step);
    }

    /// The run that begins, or goes on, is at this step.
    pub(crate) fn set_step(&mut self, step: u64) {
        self.is_step_set = true;
        self.continue_at(step);
        self.journal.begin_record_at(step);
    }

    /// The next update is the one of this step.
    pub(crate) fn continue_at(&mut self, step: u64) {
        if step < self.step {
            self.schedule.forget_decisions();
        }
        self.step = step;
    }

    /// Whether a measurement is to be made at this step.
    pub(crate) fn is_due_at(&mut self, step: u64, config: &SharpnessConfig) -> bool {
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

    /// Takes in the measurements of one update, the training's first. Returns the function to call if the run
    /// has been past the edge for as long as the configuration says. `interval` is the number of training items
    /// from one measurement to the next.
    pub(crate) fn publish(
        &mut self,
        measurements: Vec<Arc<Measurement>>,
        interval: u64,
        config: &SharpnessConfig,
    ) -> Option<OnEdge> {
        let all = measurements.iter().map(Arc::as_ref);
        self.schedule.note_measurements(all);
        let warns = self
            .journal
            .publish(measurements, interval, config.warn_after);
        self.on_edge.clone().filter(|_| warns)
    }

    /// Notes at which step weights with this fingerprint are saved.
    pub(crate) fn note_checkpoint(&mut self, fingerprint: u64) {
        self.journal.note_checkpoint(CheckpointNote {
            step: self.step,
            epoch: self.epoch,
            fingerprint,
        });
    }

    /// Continues at the step at which weights with this fingerprint were saved, if they were.
    pub(crate) fn resume_from(&mut self, fingerprint: u64) {
        let Some(note) = self.journal.find_checkpoint(fingerprint) else {
            self.journal.tell(
                "weights were loaded that no probe has saved in this folder: steps are counted from 0; `set_step` continues a run".to_string(),
            );
            return;
        };
        self.step = note.step;
        self.epoch = note.epoch;
        self.schedule.forget_decisions();
        self.journal.begin_record_at(note.step);
        tracing::info!(
            step = note.step,
            "the probe resumes at the checkpoint's step"
        );
    }
}
