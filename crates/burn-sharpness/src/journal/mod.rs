//! Where a run's measurements go: the record, the metrics, the log, the summary.

mod edge_watch;
mod feed;
mod folder;
mod log;
mod reader;
mod record;
mod summary;

pub(crate) use feed::Entry;
pub(crate) use folder::ClaimedFolder;
pub(crate) use reader::OfUpdate;

use edge_watch::EdgeWatch;
use feed::Feed;
use log::Log;
use reader::Reader;
use record::Record;
use sharpness_record::{CheckpointNote, Measurement, SharpnessSummary};
use std::sync::Arc;
use std::time::Instant;
use summary::Summary;

/// Everything that is kept or told of a run's measurements.
#[derive(Default)]
pub(crate) struct Journal {
    log: Log,
    summary: Summary,
    edge: EdgeWatch,
    record: Record,
    feed: Feed,
}

impl Journal {
    /// A journal that warns after so many measurements in a row past the edge.
    pub(crate) fn new(folder: Option<ClaimedFolder>, warn_after: u64) -> Self {
        Self {
            edge: EdgeWatch::new(warn_after),
            record: Record::new(folder),
            ..Self::default()
        }
    }

    /// All who read the measurements, in this order.
    fn readers(&mut self) -> [&mut dyn Reader; 5] {
        [
            &mut self.log,
            &mut self.summary,
            &mut self.edge,
            &mut self.record,
            &mut self.feed,
        ]
    }

    /// Everything that reads measurements gets those of one update. Returns whether the run has now been past the edge
    /// for as long as a warning takes.
    pub(crate) fn publish(&mut self, update: &OfUpdate) -> bool {
        let readers = self.readers().into_iter();
        let notices: Vec<_> = readers.filter_map(|reader| reader.read(update)).collect();
        notices.into_iter().for_each(|notice| self.tell(notice));
        self.edge.warns()
    }

    /// A new run begins, in the same folder.
    pub(crate) fn restart(&mut self) {
        let readers = self.readers().into_iter();
        readers.for_each(|reader| reader.restart());
    }

    /// A training item is about to be made, the first of which is part of this step.
    pub(crate) fn begin_item(&mut self, step: u64) {
        self.summary.numbers.tick(Instant::now());
        self.feed.next_item();
        let notice = self.record.note_step(step);
        notice.into_iter().for_each(|notice| self.tell(notice));
    }

    /// The run goes on at this step: what its record has of later steps will be made anew.
    pub(crate) fn begin_record_at(&mut self, step: u64) {
        let notice = self.record.begin_at(step);
        notice.into_iter().for_each(|notice| self.tell(notice));
    }

    /// Tells the user something, once: in the log, the summary, and the text of the dashboard.
    pub(crate) fn tell(&mut self, notice: String) {
        let notices = &mut self.summary.numbers.notices;
        if !notices.contains(&notice) {
            tracing::warn!("{notice}");
            notices.push(notice);
        }
    }

    pub(crate) fn leave_out(&mut self) {
        self.summary.numbers.left_out += 1;
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
        self.summary.latest(task)
    }

    pub(crate) fn summary(&self) -> &SharpnessSummary {
        &self.summary.numbers
    }

    /// Notes at which step weights are saved.
    pub(crate) fn note_checkpoint(&mut self, note: CheckpointNote) {
        let notice = self.record.note_checkpoint(note);
        notice.into_iter().for_each(|notice| self.tell(notice));
    }

    /// The step at which weights with this fingerprint were saved, if they were.
    pub(crate) fn find_checkpoint(&self, fingerprint: u64) -> Option<CheckpointNote> {
        self.record.find_checkpoint(fingerprint)
    }
}
