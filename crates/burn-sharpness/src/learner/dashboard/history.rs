use crate::Measurement;
use crate::journal::Entry;
use std::path::Path;
use std::sync::Arc;

const MOST: usize = 1000;

pub(super) fn before(step: u64, directory: &Path) -> Vec<Entry> {
    let Ok(record) = sharpness_record::read(directory) else {
        return Vec::new();
    };
    let mut earlier: Vec<Measurement> = record.measurements;
    earlier.retain(|measurement| measurement.step < step);
    earlier.sort_by_key(|measurement| measurement.step);
    let updates = earlier.chunk_by(|one, next| one.step == next.step);
    let stride = updates.clone().count().div_ceil(MOST).max(1);
    updates
        .step_by(stride)
        .map(|measurements| Entry {
            item: 0,
            interval: 1,
            measurements: measurements.iter().cloned().map(Arc::new).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharpness_record::{MeasurementOutcome, MeasurementWriter, TRAIN_TASK};

    #[test]
    fn a_long_record_is_thinned_and_later_steps_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert!(before(5, folder.path()).is_empty(), "there is no record");
        let mut writer = MeasurementWriter::open(folder.path(), 0).unwrap();
        for step in 0..2_001 {
            for task in [TRAIN_TASK, "other"] {
                let outcome = MeasurementOutcome::NoIncrease;
                let measurement = Measurement::new(step, None, task, outcome);
                writer.append(&measurement).unwrap();
            }
        }
        assert!(before(0, folder.path()).is_empty());
        let entries = before(2_000, folder.path());
        assert_eq!(entries.len(), MOST);
        assert_eq!(entries[1].of_task("other").unwrap().step, 2);
        assert_eq!(before(3, folder.path()).len(), 3);
    }
}
