mod edge_watch;
mod feed;
mod folder;
mod log;
mod record;
mod summary;

pub(crate) use feed::{Entry, Reading};
pub(crate) use folder::ClaimedFolder;

use edge_watch::EdgeWatch;
use feed::Feed;
use record::Record;
use sharpness_record::{CheckpointNote, Measurement};
use std::sync::Arc;
use std::time::Instant;
use summary::Summary;

#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) summary: Summary,
    pub(crate) edge: EdgeWatch,
    pub(crate) record: Record,
    pub(crate) feed: Feed,
}

impl Journal {
    pub(crate) fn new(folder: Option<ClaimedFolder>, warn_after: u64) -> Self {
        let mut journal = Self::default();
        journal.edge.warn_after = warn_after;
        journal.record.folder = folder;
        journal
    }

    /// Returns whether the warning about the edge is due.
    pub(crate) fn publish(&mut self, measurements: Vec<Arc<Measurement>>, interval: u64) -> bool {
        measurements.iter().for_each(|of| log::log(of));
        let failed = self.summary.read(&measurements);
        let warns = self.edge.read(&measurements);
        let lost = self.record.read(&measurements);
        self.feed.push(measurements, interval);
        self.tell_all(failed.into_iter().chain(lost));
        warns
    }

    pub(crate) fn restart(&mut self) {
        self.summary = Summary::default();
        self.edge.past_edge = 0;
        self.record.has_begun = false;
    }

    pub(crate) fn begin_item(&mut self, step: u64) {
        self.summary.numbers.tick(Instant::now());
        self.feed.items += 1;
        if !self.record.has_begun {
            self.begin_record_at(step);
        }
    }

    pub(crate) fn begin_record_at(&mut self, step: u64) {
        let notice = self.record.begin_at(step);
        self.tell_all(notice);
    }

    fn tell_all(&mut self, notices: impl IntoIterator<Item = String>) {
        notices.into_iter().for_each(|notice| self.tell(notice));
    }

    /// Tells the user once, in the log, the summary and the text of the dashboard.
    pub(crate) fn tell(&mut self, notice: String) {
        let notices = &mut self.summary.numbers.notices;
        if !notices.contains(&notice) {
            tracing::warn!("{notice}");
            notices.push(notice);
        }
    }

    pub(crate) fn note_checkpoint(&mut self, note: CheckpointNote) {
        let notice = self.record.note_checkpoint(note);
        self.tell_all(notice);
    }
}
