use crate::Measurement;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file of measurements in a run's folder.
pub const MEASUREMENTS_FILE: &str = "measurements.jsonl";
/// Where lines go that a resumed run makes anew.
const SUPERSEDED_FILE: &str = "measurements-superseded.jsonl";
/// The steps at which checkpoints were taken.
const CHECKPOINTS_FILE: &str = "measurement-checkpoints.jsonl";

/// Appends measurements to `measurements.jsonl`, one line each, flushed line by line.
pub(crate) struct MeasurementWriter {
    file: File,
}

impl MeasurementWriter {
    /// Opens the file for measurements from `step` on.
    ///
    /// Lines of later steps, left by a run that was resumed from an earlier checkpoint, and a last
    /// line that was cut short, move to `measurements-superseded.jsonl`, so that the file holds each
    /// step once.
    pub(crate) fn open(directory: &Path, step: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(MEASUREMENTS_FILE);
        let file = open_locked(&path)?;
        let content = fs::read_to_string(&path)?;
        let (kept, superseded): (Vec<&str>, Vec<&str>) = content
            .split_inclusive('\n')
            .partition(|line| is_before(line, step));
        if superseded.is_empty() {
            return Ok(Self { file });
        }
        append_line(
            &directory.join(SUPERSEDED_FILE),
            superseded.concat().trim_end(),
        )?;
        let rewritten = directory.join(format!("{MEASUREMENTS_FILE}.tmp"));
        fs::write(&rewritten, kept.concat())?;
        fs::rename(&rewritten, &path)?;
        Ok(Self {
            file: open_locked(&path)?,
        })
    }

    pub(crate) fn append(&mut self, measurement: &Measurement) -> io::Result<()> {
        let mut line = serde_json::to_string(measurement)?;
        line.push('\n');
        // One write, so that a line is either there or not.
        self.file.write_all(line.as_bytes())
    }
}

/// Whether a line is complete and belongs to a step before `step`.
fn is_before(line: &str, step: u64) -> bool {
    #[derive(Deserialize)]
    struct Step {
        step: u64,
    }
    line.ends_with('\n') && serde_json::from_str::<Step>(line).is_ok_and(|line| line.step < step)
}

fn open_locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::ResourceBusy,
            format!("another run is writing {}", path.display()),
        )),
        // A file system without locks is no reason not to write.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// The run-wide step and epoch at which the weights with this fingerprint were saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) step: u64,
    pub(crate) epoch: Option<u64>,
    pub(crate) fingerprint: u64,
}

impl Checkpoint {
    /// Notes the checkpoint in the run's folder.
    pub(crate) fn save(&self, directory: &Path) -> io::Result<()> {
        append_line(&checkpoints_file(directory), &serde_json::to_string(self)?)
    }

    /// The newest checkpoint of the run whose weights have this fingerprint.
    pub(crate) fn find(directory: &Path, fingerprint: u64) -> Option<Self> {
        let content = fs::read_to_string(checkpoints_file(directory)).ok()?;
        content
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Self>(line).ok())
            .find(|checkpoint| checkpoint.fingerprint == fingerprint)
    }
}

fn checkpoints_file(directory: &Path) -> PathBuf {
    directory.join(CHECKPOINTS_FILE)
}
