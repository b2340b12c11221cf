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
    /// Returns any message for the user.
    pub(super) fn read(&mut self, measurements: &[Arc<Measurement>]) -> Option<String> {
        for measurement in measurements {
            self.numbers.push(measurement);
            let task = measurement.task.clone();
            self.latest.insert(task, measurement.clone());
        }
        self.numbers.tick(Instant::now());
        let mut all = measurements.iter();
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
