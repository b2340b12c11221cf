use crate::files::MEASUREMENTS_FILE;
use crate::read::{Unread, parse_line, unreadable};
use crate::{Measurement, RECORD_VERSION, ReadError};
use same_file::Handle;
use std::fmt::{Display, Formatter};
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// An event in a followed record.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Followed {
    /// A new measurement.
    Measurement(Box<Measurement>),
    /// The record changed: the first `kept` of the followed measurements stand, the next `dropped` are gone.
    WentBack {
        /// The measurements that stand.
        kept: usize,
        /// The measurements that are gone.
        dropped: usize,
        /// The cause.
        cause: WentBack,
    },
    /// A note on a line that is no measurement.
    Note(String),
}

/// The reasons why measurements leave a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WentBack {
    /// Another file took its place, as when a run resumes or starts anew.
    Replaced,
    /// The file became shorter, or a program overwrote lines.
    Rewritten,
    /// The file is gone.
    Removed,
}

impl Display for WentBack {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Replaced => "run resumed or started anew",
            Self::Rewritten => "record cut short or written over",
            Self::Removed => "record removed",
        })
    }
}

/// Reads a record from its beginning and then as it grows, each complete line once.
///
/// The record may not exist yet, and may later be cut short, replaced or removed.
///
/// ```
/// use sharpness_record::{Followed, Follower, Measurement, MeasurementOutcome, MeasurementWriter};
///
/// let folder = std::env::temp_dir().join("sharpness-record-follow-example");
/// let mut follower = Follower::new(&folder);
/// assert_eq!(follower.next_event()?, None);
///
/// let measurement = Measurement::new(0, None, "train", MeasurementOutcome::NoIncrease);
/// MeasurementWriter::open(&folder, 0)?.append(&measurement)?;
/// let event = Followed::Measurement(Box::new(measurement));
/// assert_eq!(follower.next_event()?, Some(event));
/// assert_eq!(follower.next_event()?, None);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    open: Option<OpenRecord>,
    /// The hashes of the followed lines.
    followed: Vec<u64>,
    /// After a replacement: the number of lines found again.
    again: Option<(usize, WentBack)>,
    /// The measurement that ended this search.
    waiting: Option<Measurement>,
    has_noted_newer: bool,
}

impl Follower {
    /// Starts at the first line of a record, given as a run's folder or as the file.
    ///
    /// A missing path counts as a folder unless it ends in `.jsonl`. A pipe is read once.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            open: None,
            followed: Vec::new(),
            again: None,
            waiting: None,
            has_noted_newer: false,
        }
    }

    /// Returns the followed file.
    pub fn file(&self) -> PathBuf {
        let may_be_file =
            self.path.exists() || self.path.extension().is_some_and(|end| end == "jsonl");
        match may_be_file && !self.path.is_dir() {
            true => self.path.clone(),
            false => self.path.join(MEASUREMENTS_FILE),
        }
    }

    /// Returns a message to a waiting user, such as `runs/a is not there yet`; `None` once a measurement was followed.
    pub fn missing(&self) -> Option<String> {
        if !self.followed.is_empty() {
            return None;
        }
        let file = self.file();
        let missing = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => folder,
            _ => &file,
        };
        Some(match missing.exists() {
            true => format!("{} has no complete line yet", missing.display()),
            false => format!("{} is not there yet", missing.display()),
        })
    }

    /// Returns the next event, or `None` if nothing happened since the last call.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read. The next call tries again.
    pub fn next_event(&mut self) -> Result<Option<Followed>, ReadError> {
        if let Some(measurement) = self.waiting.take() {
            return Ok(Some(Followed::Measurement(Box::new(measurement))));
        }
        let file = self.file();
        loop {
            let Some(open) = &mut self.open else {
                match OpenRecord::open(&file) {
                    Ok(open) => self.open = Some(open),
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(unreadable(&file, error)),
                }
                continue;
            };
            let state = open.next_line(&file);
            match state.map_err(|source| unreadable(&file, source))? {
                State::Line(line) => {
                    if let Some(event) = self.take_line(&line) {
                        return Ok(Some(event));
                    }
                }
                State::End => return Ok(self.settle()),
                State::Changed(cause) => {
                    self.open = None;
                    self.again = Some((0, cause));
                    if cause == WentBack::Removed {
                        return Ok(self.settle());
                    }
                }
            }
        }
    }

    fn take_line(&mut self, line: &Line) -> Option<Followed> {
        let measurement = match parse_line(&line.bytes) {
            _ if line.bytes.iter().all(u8::is_ascii_whitespace) => return None,
            Ok(measurement) => measurement,
            Err(_) if self.again.is_some() => return None,
            Err(Unread::Newer(version)) => {
                let is_first = !std::mem::replace(&mut self.has_noted_newer, true);
                return is_first.then(|| Followed::Note(format!(
                    "lines are left out, from line {} on: version {version} of the record is newer than {RECORD_VERSION}",
                    line.number
                )));
            }
            Err(Unread::Broken(reason)) => {
                let number = line.number;
                let text = format!("line {number} is no measurement and is left out: {reason}");
                return Some(Followed::Note(text));
            }
        };
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&line.bytes);
        if let Some((found, _)) = &mut self.again
            && self.followed.get(*found) == Some(&hash)
        {
            *found += 1;
            return None;
        }
        let back = self.settle();
        self.followed.push(hash);
        match back {
            Some(back) => {
                self.waiting = Some(measurement);
                Some(back)
            }
            None => Some(Followed::Measurement(Box::new(measurement))),
        }
    }

    fn settle(&mut self) -> Option<Followed> {
        let (kept, cause) = self.again.take()?;
        let dropped = self.followed.len() - kept;
        self.followed.truncate(kept);
        (dropped > 0).then_some(Followed::WentBack {
            kept,
            dropped,
            cause,
        })
    }
}

struct Line {
    number: usize,
    bytes: Vec<u8>,
}

enum State {
    Line(Line),
    End,
    Changed(WentBack),
}

#[derive(Debug)]
struct OpenRecord {
    /// `None` for a pipe, which cannot change.
    handle: Option<Handle>,
    reader: BufReader<File>,
    position: u64,
    lines: usize,
    /// The last complete line, to check that the file still holds it.
    last: Vec<u8>,
    line: Vec<u8>,
}

impl OpenRecord {
    fn open(file: &Path) -> io::Result<Self> {
        let opened = File::open(file)?;
        let handle = match opened.metadata()?.is_file() {
            true => Some(Handle::from_file(opened.try_clone()?)?),
            false => None,
        };
        Ok(Self {
            handle,
            reader: BufReader::new(opened),
            position: 0,
            lines: 0,
            last: Vec::new(),
            line: Vec::new(),
        })
    }

    fn next_line(&mut self, file: &Path) -> io::Result<State> {
        if self.reader.buffer().is_empty()
            && let Some(cause) = self.change(file)?
        {
            return Ok(State::Changed(cause));
        }
        self.position += self.reader.read_until(b'\n', &mut self.line)? as u64;
        if !self.line.ends_with(b"\n") {
            return Ok(State::End);
        }
        let bytes = std::mem::take(&mut self.line);
        self.last.clone_from(&bytes);
        self.lines += 1;
        let number = self.lines;
        Ok(State::Line(Line { number, bytes }))
    }

    fn change(&mut self, file: &Path) -> io::Result<Option<WentBack>> {
        let Some(handle) = &self.handle else {
            return Ok(None);
        };
        match Handle::from_path(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Some(WentBack::Removed));
            }
            Err(error) => return Err(error),
            Ok(now) if now != *handle => return Ok(Some(WentBack::Replaced)),
            Ok(_) => {}
        }
        let read_again = (self.last.len() + self.line.len()) as u64;
        let mut bytes = Vec::new();
        let reader = &mut self.reader;
        reader.seek(SeekFrom::Start(self.position - read_again))?;
        reader.take(read_again).read_to_end(&mut bytes)?;
        let is_same = bytes.starts_with(&self.last) && bytes.ends_with(&self.line);
        let is_same = is_same && bytes.len() as u64 == read_again;
        Ok((!is_same).then_some(WentBack::Rewritten))
    }
}
