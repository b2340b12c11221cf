use super::reader::{OfUpdate, Reader};
use sharpness_record::Measurement;
use std::collections::VecDeque;
use std::sync::Arc;

/// The number of measurements kept for metrics, which lag a few items behind.
const KEPT: usize = 1024;

/// Carries measurements from the training thread to the metrics, which see the training items on another thread, a few
/// items late.
///
/// Each measurement remembers its training item, so that a metric that counts items meets each
/// measurement once and at the right item.
#[derive(Default)]
pub(crate) struct Feed {
    items: u64,
    entries: VecDeque<Entry>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    /// The zero-based, run-wide index of the training item.
    pub(crate) item: u64,
    pub(crate) interval: u64,
    pub(crate) measurements: Vec<Arc<Measurement>>,
}

impl Entry {
    pub(crate) fn of_task(&self, task: &str) -> Option<&Measurement> {
        let mut measurements = self.measurements.iter().map(Arc::as_ref);
        measurements.find(|measurement| measurement.task == task)
    }
}

impl Feed {
    pub(crate) fn next_item(&mut self) {
        self.items += 1;
    }

    pub(crate) fn items(&self) -> u64 {
        self.items
    }

    fn push(&mut self, measurements: Vec<Arc<Measurement>>, interval: u64) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            item: self.items.saturating_sub(1),
            interval,
            measurements,
        });
    }

    /// Returns the measurements made during this training item.
    pub(crate) fn at(&self, item: u64) -> Option<Entry> {
        let entries = self.entries.iter().rev();
        entries
            .take_while(|entry| entry.item >= item)
            .find(|entry| entry.item == item)
            .cloned()
    }
}

impl Reader for Feed {
    fn read(&mut self, update: &OfUpdate) -> Option<String> {
        self.push(update.measurements.clone(), update.interval);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharpness_record::{MeasurementOutcome, TRAIN_TASK};

    fn measured(step: u64, task: &str) -> Arc<Measurement> {
        Arc::new(Measurement::new(
            step,
            None,
            task,
            MeasurementOutcome::Failed,
        ))
    }

    #[test]
    fn a_metric_meets_each_measurement_at_the_item_that_it_belongs_to() {
        let mut feed = Feed::default();
        for item in 0..4 {
            feed.next_item();
            if item % 2 == 1 {
                feed.push(vec![measured(item, TRAIN_TASK), measured(item, "other")], 2);
            }
        }
        assert_eq!(feed.items(), 4);
        assert!(feed.at(0).is_none() && feed.at(2).is_none());
        let entry = feed.at(3).unwrap();
        assert_eq!(entry.of_task("other").unwrap().step, 3);
        assert!(entry.of_task("none").is_none());
    }

    #[test]
    fn the_oldest_measurements_go_first() {
        let mut feed = Feed::default();
        for item in 0..KEPT as u64 + 1 {
            feed.next_item();
            feed.push(vec![measured(item, TRAIN_TASK)], 1);
        }
        assert!(feed.at(0).is_none() && feed.at(1).is_some());
    }
}
