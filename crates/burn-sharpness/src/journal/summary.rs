use super::reader::{OfUpdate, Reader};
use sharpness_record::{Measurement, MeasurementOutcome, SharpnessSummary};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Numbers in the reasons may make each differ.
const REASONS: usize = 4;

#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) numbers: SharpnessSummary,
    pub(crate) latest: BTreeMap<String, Arc<Measurement>>,
    reasons: usize,
}

impl Summary {
    fn reason_to_tell(&mut self, update: &OfUpdate) -> Option<String> {
        let mut all = update.measurements.iter();
        // If the training's own measurement failed, the tasks fail for its reason.
        let failed = all.find(|of| of.outcome == MeasurementOutcome::Failed)?;
        let reason = failed.reason.as_ref()?;
        let mut told = self.numbers.notices.iter();
        if self.reasons == REASONS || told.any(|notice| notice.contains(reason)) {
            return None;
        }
        self.reasons += 1;
        Some(if failed.is_of_training() {
            format!("a measurement failed: {reason}")
        } else {
            format!("a measurement of {} failed: {reason}", failed.task)
        })
    }
}

impl Reader for Summary {
    fn read(&mut self, update: &OfUpdate) -> Option<String> {
        for measurement in &update.measurements {
            self.numbers.push(measurement);
            let task = measurement.task.clone();
            self.latest.insert(task, measurement.clone());
        }
        self.numbers.tick(Instant::now());
        self.reason_to_tell(update)
    }

    fn restart(&mut self) {
        *self = Self::default();
    }
}
