use crate::files::CHECKPOINTS_FILE;
use crate::write::{WriteError, append_lines};
use crate::{ReadError, read::unreadable};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// Identifies saved weights by a fingerprint, so that a run that resumes from them knows its step.
///
/// ```
/// use sharpness_record::CheckpointNote;
///
/// let folder = std::env::temp_dir().join("sharpness-record-checkpoint-example");
/// let note = CheckpointNote { step: 200, epoch: Some(1), fingerprint: 0xfeed, state: None };
/// note.save(&folder)?;
/// assert_eq!(CheckpointNote::find(&folder, 0xfeed)?, Some(note));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointNote {
    /// The number of updates before the checkpoint.
    pub step: u64,
    /// The epoch, from 1, if known.
    pub epoch: Option<u64>,
    /// The fingerprint of the weights.
    pub fingerprint: u64,
    /// The state of the measuring program, in its own format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl CheckpointNote {
    /// Appends the note to the run's folder, which it creates if necessary.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<(), WriteError> {
        let path = directory.join(CHECKPOINTS_FILE);
        let failed = |source| WriteError::at(&path, source);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let line = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        append_lines(&path, &line).map_err(failed)
    }

    /// Finds the newest note with this fingerprint, and skips damaged notes.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn find(directory: &Path, fingerprint: u64) -> Result<Option<Self>, ReadError> {
        let path = directory.join(CHECKPOINTS_FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, error)),
        };
        let lines = bytes.rsplit(|byte| *byte == b'\n');
        let mut notes = lines.filter_map(|line| serde_json::from_slice::<Self>(line).ok());
        Ok(notes.find(|note| note.fingerprint == fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_note_of_a_fingerprint_is_found_among_damaged_ones() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(CheckpointNote::find(folder.path(), 7).unwrap(), None);
        let note = |step, fingerprint| CheckpointNote {
            step,
            epoch: Some(1),
            fingerprint,
            state: (step > 100).then(|| "1 {\"0.1\"}".to_string()),
        };
        note(100, 7).save(folder.path()).unwrap();
        note(200, 8).save(folder.path()).unwrap();
        let path = folder.path().join(CHECKPOINTS_FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"\xff\xfe\n{\"step\":250,\"ep");
        std::fs::write(&path, bytes).unwrap();
        note(300, 7).save(folder.path()).unwrap();

        let find = |fingerprint| CheckpointNote::find(folder.path(), fingerprint).unwrap();
        assert_eq!(find(7), Some(note(300, 7)));
        assert_eq!(find(8), Some(note(200, 8)));
        assert_eq!(find(9), None);
    }
}
