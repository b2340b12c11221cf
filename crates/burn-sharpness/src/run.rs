use crate::config::SharpnessConfig;
use crate::journal::{ClaimedFolder, Journal, OfUpdate};
use crate::schedule::{Place, Schedule};
use crate::workers::{Replica, Workers};
use sharpness_record::{CheckpointNote, Measurement};
use std::sync::Arc;

pub(crate) type OnEdge = Arc<dyn Fn(&Measurement) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Run {
    pub(crate) step: u64,
    pub(crate) has_begun: bool,
    is_step_set: bool,
    pub(crate) attached: u64,
    pub(crate) is_validating: bool,
    epoch: Option<u64>,
    epoch_updates: Option<u64>,
    pub(crate) workers: Workers,
    pub(crate) is_stopped: bool,
    pub(crate) schedule: Schedule,
    pub(crate) journal: Journal,
    pub(crate) on_edge: Option<OnEdge>,
    pub(crate) has_metric: bool,
}

impl Run {
    pub(crate) fn new(folder: Option<ClaimedFolder>, warn_after: u64) -> Self {
        Self {
            journal: Journal::new(folder, warn_after),
            ..Self::default()
        }
    }

    pub(crate) fn attach(&mut self) -> (u64, bool) {
        self.attached += 1;
        self.forget_workers();
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

    pub(crate) fn begin_step(&mut self, rate: f64, config: &SharpnessConfig) -> Option<Place> {
        self.begin_item();
        let place = self.place_of(self.step);
        let is_due = self.is_due_at(place.step, config);
        self.step += 1;
        self.schedule.note_learning_rate(rate);
        is_due.then_some(place)
    }

    pub(crate) fn begin_batch(
        &mut self,
        replica: &Replica,
        config: &SharpnessConfig,
    ) -> Option<u64> {
        let is_epoch_start = self
            .epoch_updates
            .is_none_or(|updates| self.is_validating && updates > 0);
        self.begin_item();
        if is_epoch_start {
            self.epoch = Some(self.epoch.unwrap_or(0) + 1);
            self.epoch_updates = Some(0);
        }
        let step = self.workers.step_of(replica, self.step);
        self.is_due_at(step, config).then_some(step)
    }

    /// Returns the place of the update, and whether this worker is the first to make it.
    pub(crate) fn begin_update(&mut self, replica: &Replica, rate: f64) -> (Place, bool) {
        let (step, is_first) = self.workers.begin_update(replica, self.step);
        if is_first {
            self.epoch_updates = self.epoch_updates.map(|updates| updates + 1);
            self.continue_at(step + 1);
            self.schedule.note_learning_rate(rate);
        }
        (self.place_of(step), is_first)
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
        let summary = &mut self.journal.summary.numbers;
        !self.is_stopped && self.schedule.is_due(step, config, summary)
    }

    pub(crate) fn publish(
        &mut self,
        measurements: Vec<Arc<Measurement>>,
        interval: u64,
        config: &SharpnessConfig,
    ) -> Option<OnEdge> {
        let all = measurements.iter().map(Arc::as_ref);
        self.schedule.note_measurements(all, config);
        let warns = self.journal.publish(&OfUpdate {
            measurements,
            interval,
        });
        self.on_edge.clone().filter(|_| warns)
    }

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
        self.epoch_updates = None;
    }

    pub(crate) fn resume_from(&mut self, fingerprint: u64) -> Option<String> {
        let Some(note) = self.journal.record.find_checkpoint(fingerprint) else {
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
