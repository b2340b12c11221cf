use crate::Measurement;
use crate::files::{LOCK_FILE, MEASUREMENTS_FILE, SUPERSEDED_FILE};
use serde::Deserialize;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a record cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Somebody else writes the record of this folder.
    #[error(
        "{} writes the measurements of {} already: give each run a folder of its own, or end the other one",
        holder_text(*holder),
        directory.display()
    )]
    Busy {
        /// The run's folder.
        directory: PathBuf,
        /// The number of the process that writes, if it could be read. It may be this one.
        holder: Option<u32>,
    },
    /// The system does not let a file be written.
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    match holder {
        Some(id) if id == std::process::id() => "another writer of this process".to_string(),
        Some(id) => format!("process {id}"),
        None => "another process".to_string(),
    }
}

impl WriteError {
    pub(crate) fn at(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::Unwritable { path, source }
    }
}

/// Appends measurements to the record of a run's folder, one line and one write each.
///
/// A folder has one writer at a time: it holds a lock until it is dropped or its process ends.
#[derive(Debug)]
pub struct MeasurementWriter {
    path: PathBuf,
    file: File,
    /// Whether the last write failed, and may have left a part of a line.
    is_torn: bool,
    lock: Lock,
}

impl MeasurementWriter {
    /// Opens the record of a folder, which is made if it is not there, for measurements from `step` on,
    /// as [`supersede_from`] leaves it.
    ///
    /// # Errors
    ///
    /// If another writer has the record open, or the system does not let it be written.
    pub fn open(directory: &Path, step: u64) -> Result<Self, WriteError> {
        let lock = Lock::new(directory)?;
        lock.supersede_from(step)?;
        let path = directory.join(MEASUREMENTS_FILE);
        let file = open_to_append(&path).map_err(|source| WriteError::at(&path, source))?;
        Ok(Self {
            path,
            file,
            is_torn: false,
            lock,
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    ///
    /// If it cannot be written, such as where the disk is full. The writer may be used again: what was
    /// written of the line is a damaged line, which readers pass over.
    pub fn append(&mut self, measurement: &Measurement) -> Result<(), WriteError> {
        let failed = |source| WriteError::at(&self.path, source);
        let mut line = if self.is_torn {
            vec![b'\n']
        } else {
            Vec::new()
        };
        serde_json::to_writer(&mut line, measurement).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // One write, so that a line is either there or not.
        let written = self.file.write_all(&line).map_err(failed);
        self.is_torn = written.is_err();
        written
    }

    /// Goes back to `step`, as [`supersede_from`] does, in the record that this writer has open.
    ///
    /// # Errors
    ///
    /// If the files cannot be read or written. The writer goes on where it was.
    pub fn supersede_from(&mut self, step: u64) -> Result<(), WriteError> {
        self.lock.supersede_from(step)?;
        let failed = |source| WriteError::at(&self.path, source);
        self.file = open_to_append(&self.path).map_err(failed)?;
        self.is_torn = false;
        Ok(())
    }
}

/// Goes back to `step`: moves the lines of this step and of later ones to [`SUPERSEDED_FILE`], so that
/// the record holds each step once when the run makes them anew.
///
/// Damaged lines, such as one that was cut short, move there as well. The record is replaced in one go:
/// a process that is killed loses nothing. A folder without a record stays as it is.
///
/// # Errors
///
/// If another writer has the record open, or the files cannot be read or written.
pub fn supersede_from(directory: &Path, step: u64) -> Result<(), WriteError> {
    if directory.join(MEASUREMENTS_FILE).exists() {
        Lock::new(directory)?.supersede_from(step)?;
    }
    Ok(())
}

/// The right to change the record of a folder.
#[derive(Debug)]
struct Lock {
    directory: PathBuf,
    /// The locked file, which is not the record itself: that one is replaced, and on some systems a
    /// locked file cannot be read.
    _file: File,
}

impl Lock {
    fn new(directory: &Path) -> Result<Self, WriteError> {
        let path = directory.join(LOCK_FILE);
        let failed = |source| WriteError::at(&path, source);
        fs::create_dir_all(directory).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                // The number only helps the message of who is refused: without it, nothing is lost.
                let number = std::process::id().to_string();
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.write_all(number.as_bytes()));
            }
            Err(TryLockError::WouldBlock) => {
                let mut number = String::new();
                let read = file.read_to_string(&mut number).ok();
                return Err(WriteError::Busy {
                    directory: directory.to_path_buf(),
                    holder: read.and_then(|_| number.trim().parse().ok()),
                });
            }
            // A file system without locks is no reason not to write.
            Err(TryLockError::Error(_)) => {}
        }
        let directory = directory.to_path_buf();
        Ok(Self {
            directory,
            _file: file,
        })
    }

    fn supersede_from(&self, step: u64) -> Result<(), WriteError> {
        let path = self.directory.join(MEASUREMENTS_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(WriteError::at(&path, error)),
        };
        let (kept, superseded): (Vec<&[u8]>, Vec<&[u8]>) = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .partition(|line| is_before(line, step));
        if superseded.is_empty() {
            return Ok(());
        }
        let aside = self.directory.join(SUPERSEDED_FILE);
        append_lines(&aside, &superseded.concat())
            .map_err(|source| WriteError::at(&aside, source))?;
        let rewritten = self.directory.join(format!("{MEASUREMENTS_FILE}.tmp"));
        replace(&path, &rewritten, &kept.concat())
            .map_err(|source| WriteError::at(&rewritten, source))
    }
}

/// Whether a line is complete and belongs to a step before `step`.
fn is_before(line: &[u8], step: u64) -> bool {
    #[derive(Deserialize)]
    struct Step {
        step: u64,
    }
    line.ends_with(b"\n") && serde_json::from_slice::<Step>(line).is_ok_and(|line| line.step < step)
}

fn replace(path: &Path, by: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(by)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(by, path)
}

fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Appends lines and ends the last one. They begin on a line of their own even where the file ends
/// within one.
pub(crate) fn append_lines(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).read(true).append(true).open(path)?;
    let mut content = Vec::with_capacity(lines.len() + 2);
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            content.push(b'\n');
        }
    }
    content.extend(lines);
    if !content.ends_with(b"\n") {
        content.push(b'\n');
    }
    file.write_all(&content)
}
