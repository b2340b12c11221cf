use crate::Measurement;
use crate::files::{LOCK_FILE, MEASUREMENTS_FILE, SUPERSEDED_FILE};
use crate::lock::{FolderLock, LockError, holder_text};
use crate::whole::write_whole;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Explains why a record cannot be written.
#[derive(Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Another writer has the record.
    #[error(
        "{} writes the measurements of {} already: give each run a folder of its own, or stop the other writer",
        holder_text(*holder),
        directory.display()
    )]
    Busy {
        /// The run's folder.
        directory: PathBuf,
        /// The holder's process number, if readable. It may be this process.
        holder: Option<u32>,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

debug_is_the_sentence!(WriteError);

impl WriteError {
    pub(crate) fn at(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::Unwritable { path, source }
    }
}

/// Appends measurements to the record of a run's folder, and locks the folder until it is dropped.
#[derive(Debug)]
pub struct MeasurementWriter {
    directory: PathBuf,
    path: PathBuf,
    file: File,
    is_torn: bool,
    _lock: FolderLock,
}

impl MeasurementWriter {
    /// Opens the record for measurements from `step` on, after [`supersede_from`]; creates the folder if necessary.
    ///
    /// # Errors
    ///
    /// Fails if another writer has the record, or if a file cannot be written.
    pub fn open(directory: &Path, step: u64) -> Result<Self, WriteError> {
        let lock = claim(directory)?;
        move_away_from(directory, step)?;
        let path = directory.join(MEASUREMENTS_FILE);
        let file = open_to_append(&path).map_err(|source| WriteError::at(&path, source))?;
        Ok(Self {
            directory: directory.to_path_buf(),
            path,
            file,
            is_torn: false,
            _lock: lock,
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    ///
    /// Fails if the line cannot be written. The writer remains usable, and readers skip a partial line.
    pub fn append(&mut self, measurement: &Measurement) -> Result<(), WriteError> {
        self.append_line(measurement)
    }

    /// Adds a line with the fields of `more` besides the measurement's; readers skip them.
    ///
    /// # Errors
    ///
    /// Fails like [`append`](Self::append), and if `more` is not a struct or a map.
    pub fn append_with(
        &mut self,
        measurement: &Measurement,
        more: &impl Serialize,
    ) -> Result<(), WriteError> {
        #[derive(Serialize)]
        struct Line<'a, M> {
            #[serde(flatten)]
            measurement: &'a Measurement,
            #[serde(flatten)]
            more: &'a M,
        }
        self.append_line(&Line { measurement, more })
    }

    fn append_line(&mut self, line: &impl Serialize) -> Result<(), WriteError> {
        let failed = |source| WriteError::at(&self.path, source);
        let mut bytes = vec![b'\n'; usize::from(self.is_torn)];
        serde_json::to_writer(&mut bytes, line).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        // A single write, so that a line is either there or not.
        let written = self.file.write_all(&bytes).map_err(failed);
        self.is_torn = written.is_err();
        written
    }

    /// Goes back to `step`, as [`supersede_from`] does, in this writer's open record.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or written; the writer then continues at its old place.
    pub fn supersede_from(&mut self, step: u64) -> Result<(), WriteError> {
        move_away_from(&self.directory, step)?;
        let failed = |source| WriteError::at(&self.path, source);
        self.file = open_to_append(&self.path).map_err(failed)?;
        self.is_torn = false;
        Ok(())
    }
}

/// Moves the lines from `step` on to [`SUPERSEDED_FILE`], so that a run may repeat these steps.
///
/// Damaged lines move, too. If the process is killed, no line is lost. A folder without a record stays unchanged.
///
/// # Errors
///
/// Fails if another writer has the record, or if a file cannot be read or written.
pub fn supersede_from(directory: &Path, step: u64) -> Result<(), WriteError> {
    if directory.join(MEASUREMENTS_FILE).exists() {
        let _lock = claim(directory)?;
        move_away_from(directory, step)?;
    }
    Ok(())
}

/// Locks a file of its own: the record is replaced, and on some systems a locked file is unreadable.
fn claim(directory: &Path) -> Result<FolderLock, WriteError> {
    FolderLock::claim(&directory.join(LOCK_FILE)).map_err(|error| match error {
        LockError::Held { holder, .. } => WriteError::Busy {
            directory: directory.to_path_buf(),
            holder,
        },
        LockError::Unwritable { file, source } => WriteError::at(&file, source),
    })
}

fn move_away_from(directory: &Path, step: u64) -> Result<(), WriteError> {
    let path = directory.join(MEASUREMENTS_FILE);
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
    let aside = directory.join(SUPERSEDED_FILE);
    append_lines(&aside, &superseded.concat()).map_err(|source| WriteError::at(&aside, source))?;
    write_whole(&path, &kept.concat()).map_err(|source| WriteError::at(&path, source))
}

fn is_before(line: &[u8], step: u64) -> bool {
    #[derive(Deserialize)]
    struct Step {
        step: u64,
    }
    line.ends_with(b"\n") && serde_json::from_slice::<Step>(line).is_ok_and(|line| line.step < step)
}

fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Appends lines, on a line of their own even if the file ends within one.
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
