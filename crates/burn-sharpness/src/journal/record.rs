use super::folder::ClaimedFolder;
use super::reader::{OfUpdate, Reader};
use sharpness_record::CheckpointNote;

#[derive(Default)]
pub(crate) struct Record {
    folder: Option<ClaimedFolder>,
    has_begun: bool,
}

impl Record {
    pub(super) fn new(folder: Option<ClaimedFolder>) -> Self {
        Self {
            folder,
            has_begun: false,
        }
    }

    pub(super) fn note_step(&mut self, step: u64) -> Option<String> {
        if self.has_begun {
            return None;
        }
        self.begin_at(step)
    }

    pub(super) fn begin_at(&mut self, step: u64) -> Option<String> {
        self.has_begun = true;
        let begun = self.folder.as_ref()?.begin_at(step);
        begun.err().map(|error| self.lose(&error))
    }

    fn lose(&mut self, error: &str) -> String {
        self.folder = None;
        format!(
            "measurements cannot be written to the run's folder; training goes on without the file: {error}"
        )
    }

    pub(super) fn note_checkpoint(&self, note: CheckpointNote) -> Option<String> {
        let error = note.save(self.folder.as_ref()?.directory()).err()?;
        Some(format!(
            "the step of a checkpoint could not be saved, so a run resumed from it counts its steps from 0: {error}"
        ))
    }

    pub(crate) fn find_checkpoint(&self, fingerprint: u64) -> Option<CheckpointNote> {
        let directory = self.folder.as_ref()?.directory();
        CheckpointNote::find(directory, fingerprint).ok().flatten()
    }
}

impl Reader for Record {
    fn read(&mut self, update: &OfUpdate) -> Option<String> {
        let folder = self.folder.as_ref()?;
        let mut written = update.measurements.iter().map(|of| folder.append(of));
        let error = written.find_map(Result::err)?;
        Some(self.lose(&error))
    }

    fn restart(&mut self) {
        self.has_begun = false;
    }
}
