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
            epoch: None,
            is_stopped: false,
            schedule: Schedule::default(),
            journal: Journal::new(folder),
            on_edge: None,
            has_metric: false,
        }
    }

    /// A new run begins, in the same folder.
    pub(crate) fn restart(&mut self) {
        self.step = 0;
        self.epoch = None;
        self.is_stopped = false;
        self.schedule = Schedule::default();
        self.journal.restart();
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
