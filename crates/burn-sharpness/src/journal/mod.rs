mod edge_watch;
mod feed;
mod folder;
mod log;
mod metrics;
mod reader;
mod record;
mod summary;

pub(crate) use feed::{Entry, Reading};
pub(crate) use folder::ClaimedFolder;
pub(crate) use reader::OfUpdate;

use edge_watch::EdgeWatch;
use feed::Feed;
use log::Log;
use reader::Reader;
use record::Record;
use sharpness_record::CheckpointNote;
use std::time::Instant;
use summary::Summary;

#[derive(Default)]
pub(crate) struct Journal {
    log: Log,
    pub(crate) summary: Summary,
    pub(crate) edge: EdgeWatch,
    pub(crate) record: Record,
    pub(crate) feed: Feed,
}

impl Journal {
    pub(crate) fn new(folder: Option<ClaimedFolder>, warn_after: u64) -> Self {
        Self {
            edge: EdgeWatch::new(warn_after),
            record: Record::new(folder),
            ..Self::default()
        }
    }

    fn readers(&mut self) -> [&mut dyn Reader; 5] {
        [
            &mut self.log,
            &mut self.summary,
            &mut self.edge,
            &mut self.record,
            &mut self.feed,
        ]
    }

    /// Returns whether the warning about the edge is due.
    pub(crate) fn publish(&mut self, update: &OfUpdate) -> bool {
        let readers = self.readers().into_iter();
        let notices: Vec<_> = readers.filter_map(|reader| reader.read(update)).collect();
        notices.into_iter().for_each(|notice| self.tell(notice));
        self.edge.warns()
    }

    pub(crate) fn restart(&mut self) {
        let readers = self.readers().into_iter();
        readers.for_each(|reader| reader.restart());
    }

    pub(crate) fn begin_item(&mut self, step: u64) {
        self.summary.numbers.tick(Instant::now());
        self.feed.items += 1;
        let notice = self.record.note_step(step);
        notice.into_iter().for_each(|notice| self.tell(notice));
    }

    pub(crate) fn begin_record_at(&mut self, step: u64) {
        let notice = self.record.begin_at(step);
        notice.into_iter().for_each(|notice| self.tell(notice));
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
        notice.into_iter().for_each(|notice| self.tell(notice));
    }
}
