//! Where a run's measurements go: the record, the metrics, the log, the summary.

mod edge_watch;
mod feed;
mod folder;

pub(crate) use feed::Entry;
pub(crate) use folder::ClaimedFolder;

use edge_watch::EdgeWatch;
use feed::Feed;
use sharpness_record::{CheckpointNote, Measurement, MeasurementOutcome, SharpnessSummary};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Everything that is kept or told of a run's measurements.
#[derive(Default)]
pub(crate) struct Journal {
    feed: Feed,
    folder: Option<ClaimedFolder>,
    /// Whether the record is written from the run's first step on.
    has_begun: bool,
    edge: EdgeWatch,
    /// The last measurement of each task.
    latest: BTreeMap<String, Arc<Measurement>>,
    summary: SharpnessSummary,
    /// How many reasons of failed measurements were told.
    reasons: usize,
}

/// So many reasons of failed measurements are told: some have numbers in them that are others each time.
const REASONS: usize = 4;

impl Journal {
    pub(crate) fn new(folder: Option<ClaimedFolder>) -> Self {
        Self {
            folder,
            ..Self::default()
        }
    }

    /// A new run begins, in the same folder.
    pub(crate) fn restart(&mut self) {
        *self = Self {
            folder: self.folder.take(),
            // Metrics that were made before go on counting items.
            feed: std::mem::take(&mut self.feed),
            ..Self::default()
        };
    }

    /// A training item is about to be made, the first of which is part of this step.
    pub(crate) fn begin_item(&mut self, step: u64) {
        self.summary.tick(Instant::now());
        self.feed.next_item();
        if !self.has_begun {
            self.begin_record_at(step);
        }
    }

    /// The run goes on at this step: what its record has of later steps will be made anew.
    pub(crate) fn begin_record_at(&mut self, step: u64) {
        self.has_begun = true;
        if let Some(folder) = &self.folder
            && let Err(error) = folder.begin_at(step)
        {
            self.lose_record(&error);
        }
    }

    fn lose_record(&mut self, error: &str) {
        self.folder = None;
        self.tell(format!(
            "measurements cannot be written to the run's folder; training goes on without the file: {error}"
        ));
    }

    /// Tells the user something, once: in the log, the summary, and the text of the dashboard.
    pub(crate) fn tell(&mut self, notice: String) {
        if !self.summary.notices.contains(&notice) {
            tracing::warn!("{notice}");
            self.summary.notices.push(notice);
        }
    }

    /// Tells why a measurement failed.
    fn tell_reason(&mut self, measurement: &Measurement) {
        let MeasurementOutcome::Failed = measurement.outcome else {
            return;
        };
        let Some(reason) = measurement.reason.as_ref() else {
            return;
        };
        let mut told = self.summary.notices.iter();
        if self.reasons == REASONS || told.any(|notice| notice.contains(reason)) {
            return;
        }
        self.reasons += 1;
        let what = if measurement.is_of_training() {
            "a measurement failed".to_string()
        } else {
            format!("a measurement of {} failed", measurement.task)
        };
        self.tell(format!("{what}: {reason}"));
    }

    /// Everything that reads measurements gets those of one update: the training's, then the tasks'.
    /// Returns whether the run has been past the edge for as long as `warn_after` says.
    pub(crate) fn publish(
        &mut self,
        measurements: Vec<Arc<Measurement>>,
        interval: u64,
        warn_after: u64,
    ) -> bool {
        let mut warns = false;
        let has_failed = |of: &Arc<Measurement>| of.outcome == MeasurementOutcome::Failed;
        // Where the training's own measurement failed, those of tasks did for the same reason.
        if let Some(failed) = measurements.iter().find(|of| has_failed(of)) {
            self.tell_reason(failed);
        }
        for measurement in &measurements {
            log(measurement);
            if measurement.is_of_training() && self.edge.note(measurement, warn_after) {
                warns = true;
                warn(measurement, warn_after);
            }
            if let Some(folder) = &self.folder
                && let Err(error) = folder.append(measurement)
            {
                self.lose_record(&error);
            }
            self.summary.push(measurement);
            let task = measurement.task.clone();
            self.latest.insert(task, measurement.clone());
        }
        self.summary.tick(Instant::now());
        self.feed.push(measurements, interval);
        warns
    }

    pub(crate) fn leave_out(&mut self) {
        self.summary.left_out += 1;
    }

    /// The measurements that belong to a training item.
    pub(crate) fn entry_at(&self, item: u64) -> Option<Entry> {
        self.feed.at(item)
    }

    /// The number of training items announced so far.
    pub(crate) fn items(&self) -> u64 {
        self.feed.items()
    }

    pub(crate) fn latest(&self, task: &str) -> Option<Arc<Measurement>> {
        self.latest.get(task).cloned()
    }

    pub(crate) fn summary(&self) -> &SharpnessSummary {
        &self.summary
    }

    /// Notes at which step weights are saved.
    pub(crate) fn note_checkpoint(&mut self, note: CheckpointNote) {
        if let Some(folder) = &self.folder
            && let Err(error) = note.save(folder.directory())
        {
            self.tell(format!(
                "the step of a checkpoint could not be noted, so that a run resumed from it counts its steps from 0: {error}"
            ));
        }
    }

    /// The step at which weights with this fingerprint were saved, if they were.
    pub(crate) fn find_checkpoint(&self, fingerprint: u64) -> Option<CheckpointNote> {
        let directory = self.folder.as_ref()?.directory();
        CheckpointNote::find(directory, fingerprint).ok().flatten()
    }
}

fn log(measurement: &Measurement) {
    tracing::info!(
        step = measurement.step,
        epoch = measurement.epoch,
        task = measurement.task,
        outcome = ?measurement.outcome,
        learning_rate = measurement.learning_rate,
        base_loss = measurement.base_loss,
        base_loss_source = ?measurement.base_loss_source,
        slope = measurement.slope,
        critical_lr = measurement.critical_lr,
        critical_sharpness = measurement.critical_sharpness,
        edge_ratio = measurement.edge_ratio(),
        limiting_task = measurement.limiting_task,
        evaluations = measurement.evaluations,
        seconds = measurement.seconds,
        "measured critical sharpness"
    );
    if let Some(reason) = &measurement.reason {
        tracing::warn!(
            step = measurement.step,
            task = measurement.task,
            reason,
            "a measurement failed"
        );
    }
}

fn warn(training: &Measurement, measurements_in_a_row: u64) {
    tracing::warn!(
        step = training.step,
        learning_rate = training.learning_rate,
        critical_lr = training.critical_lr,
        edge_ratio = training.edge_ratio(),
        update_norm = training.update_norm,
        slope = training.slope,
        measurements_in_a_row,
        "the learning rate is past the critical one: this step raises the loss"
    );
}
