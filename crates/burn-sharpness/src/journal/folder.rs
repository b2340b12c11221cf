use crate::failure::lock;
use sharpness_record::{Measurement, MeasurementWriter, WriteError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, Weak};

static FOLDERS: LazyLock<Mutex<Vec<Claim>>> = LazyLock::new(Mutex::default);

type Claim = (PathBuf, Weak<Mutex<Slot>>);

/// Claims a run's folder for one probe at a time, since the lines of two runs would mix. Once the first probe has begun
/// its run, a second takes the folder over: a program may resume a run while it still holds the first probe.
pub(crate) struct ClaimedFolder {
    directory: PathBuf,
    slot: Arc<Mutex<Slot>>,
}

struct Slot {
    /// `None` once another probe has taken the folder over, or after a failed write.
    writer: Option<MeasurementWriter>,
    has_begun: bool,
}

impl ClaimedFolder {
    pub(crate) fn claim(directory: &Path) -> Result<Self, WriteError> {
        let mut folders = lock(&FOLDERS);
        folders.retain(|(_, slot)| slot.strong_count() > 0);
        // A folder that does not exist yet has no other probe.
        if let Ok(resolved) = directory.canonicalize() {
            let others = folders.iter().filter(|(other, _)| *other == resolved);
            for other in others.filter_map(|(_, slot)| slot.upgrade()) {
                let mut other = lock(&other);
                if other.has_begun {
                    other.writer = None;
                }
            }
        }
        let writer = MeasurementWriter::open(directory, u64::MAX)?;
        let slot = Arc::new(Mutex::new(Slot {
            writer: Some(writer),
            has_begun: false,
        }));
        let resolved = directory.canonicalize();
        let resolved = resolved.unwrap_or_else(|_| directory.to_path_buf());
        folders.push((resolved, Arc::downgrade(&slot)));
        Ok(Self {
            directory: directory.to_path_buf(),
            slot,
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn begin_at(&self, step: u64) -> Result<(), String> {
        let mut slot = lock(&self.slot);
        slot.has_begun = true;
        slot.write(|writer| writer.supersede_from(step))
    }

    pub(crate) fn append(&self, measurement: &Measurement) -> Result<(), String> {
        lock(&self.slot).write(|writer| writer.append(measurement))
    }
}

impl Slot {
    fn write(
        &mut self,
        write: impl FnOnce(&mut MeasurementWriter) -> Result<(), WriteError>,
    ) -> Result<(), String> {
        let writer = self
            .writer
            .as_mut()
            .ok_or("another probe of this program has taken the folder over")?;
        let written = write(writer).map_err(|error| error.to_string());
        if written.is_err() {
            self.writer = None;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_refused_before_its_run_begins_and_taken_over_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let first = ClaimedFolder::claim(folder.path()).unwrap();
        let refused = ClaimedFolder::claim(folder.path()).err().unwrap();
        assert!(matches!(refused, WriteError::Busy { .. }), "{refused}");

        first.begin_at(0).unwrap();
        let second = ClaimedFolder::claim(folder.path()).unwrap();
        let error = first.begin_at(1).unwrap_err();
        assert!(error.contains("taken the folder over"), "{error}");
        second.begin_at(1).unwrap();
        drop(second);
        ClaimedFolder::claim(folder.path()).unwrap();
    }
}
