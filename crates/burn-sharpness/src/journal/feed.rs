use super::reader::{OfUpdate, Reader};
use sharpness_record::Measurement;
use std::collections::VecDeque;
use std::sync::Arc;

const KEPT: usize = 1024;

/// Metrics see the training items on another thread, a few items late. A metric meets each measurement once, at its
/// training item or the next one after it was made.
#[derive(Default)]
pub(crate) struct Feed {
    pub(crate) items: u64,
    entries: VecDeque<Entry>,
    made: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    items: u64,
    entries: u64,
}

impl Reading {
    pub(crate) fn meet_item(&mut self) {
        self.items += 1;
    }
}

#[derive(Clone)]
pub(crate) struct Entry {
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
    fn push(&mut self, measurements: Vec<Arc<Measurement>>, interval: u64) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.made += 1;
        self.entries.push_back(Entry {
            item: self.items.saturating_sub(1),
            interval,
            measurements,
        });
    }

    pub(crate) fn begin(&self) -> Reading {
        Reading {
            items: self.items,
            entries: self.made,
        }
    }

    pub(crate) fn read(&self, reading: &mut Reading) -> Vec<Entry> {
        let oldest = self.made - self.entries.len() as u64;
        let known = reading.entries.saturating_sub(oldest) as usize;
        let new = self.entries.iter().skip(known);
        let new: Vec<Entry> = new
            .take_while(|entry| entry.item < reading.items)
            .cloned()
            .collect();
        reading.entries = reading.entries.max(oldest) + new.len() as u64;
        new
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
        let outcome = MeasurementOutcome::Failed;
        Arc::new(Measurement::new(step, None, task, outcome))
    }

    fn read(feed: &Feed, reading: &mut Reading, items: usize) -> Vec<Vec<u64>> {
        let mut at_item = || {
            reading.meet_item();
            let entries = feed.read(reading);
            let steps = entries.iter().map(|entry| entry.measurements[0].step);
            steps.collect()
        };
        (0..items).map(|_| at_item()).collect()
    }

    #[test]
    fn a_metric_meets_each_measurement_at_the_item_that_it_belongs_to() {
        let mut feed = Feed::default();
        let mut reading = feed.begin();
        for item in 0..4 {
            feed.items += 1;
            if item % 2 == 1 {
                feed.push(vec![measured(item, TRAIN_TASK), measured(item, "other")], 2);
            }
        }
        assert_eq!(feed.items, 4);
        let entry = feed.entries.back().unwrap();
        assert_eq!(entry.of_task("other").unwrap().step, 3);
        assert!(entry.of_task("none").is_none());
        let steps = read(&feed, &mut reading, 4);
        assert_eq!(steps, [vec![], vec![1], vec![], vec![3]]);
        assert!(read(&feed, &mut feed.begin(), 1).concat().is_empty());
    }

    #[test]
    fn a_measurement_that_comes_late_is_met_at_the_next_item() {
        let mut feed = Feed::default();
        let mut reading = feed.begin();
        feed.items += 1;
        assert!(read(&feed, &mut reading, 1).concat().is_empty());
        feed.push(vec![measured(0, TRAIN_TASK)], 1);
        feed.items += 1;
        feed.push(vec![measured(1, TRAIN_TASK)], 1);
        assert_eq!(read(&feed, &mut reading, 1), [[0, 1]]);
    }

    #[test]
    fn the_oldest_measurements_go_first() {
        let mut feed = Feed::default();
        let mut reading = feed.begin();
        for item in 0..KEPT as u64 + 1 {
            feed.items += 1;
            feed.push(vec![measured(item, TRAIN_TASK)], 1);
        }
        let steps = read(&feed, &mut reading, KEPT + 1);
        assert!(steps[0].is_empty());
        assert_eq!(steps[1], [1]);
        assert_eq!(steps[KEPT], [KEPT as u64]);
    }
}
