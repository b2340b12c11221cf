use anyhow::{Result, bail};
use sharpness_record::{Followed, Follower};
use sharpness_report::terminal::warn;
use sharpness_report::{Measurement, ReadError, Run, read, runs_within, told};
use std::path::Path;
use std::time::Duration;

pub const PAUSE: Duration = Duration::from_millis(500);

/// Whether a path is a pipe, which is read to its end and never grows.
pub fn is_pipe(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| !metadata.is_dir() && !metadata.is_file())
}

/// Checks that a run can be followed; with `may_begin` it need not exist yet.
pub fn check_followed(path: &Path, may_begin: bool) -> Result<()> {
    if is_pipe(path) {
        return Ok(());
    }
    if let Some(run) = runs_within(path).first() {
        let (folder, run) = (path.display(), run.display());
        bail!("{folder} is a folder of runs: name one of them, such as {run}");
    }
    match read(path) {
        Err(error) if !(may_begin && error.is_not_yet()) => Err(ReadError::into(error)),
        _ => Ok(()),
    }
}

pub enum News<'a> {
    Measured(&'a Measurement),
    /// These measurements are no longer part of the run.
    WentBack(&'a [Measurement]),
    /// A message, given once.
    Note(String),
    /// The present obstacle, if any.
    Standing(Option<&'a str>),
}

impl News<'_> {
    pub fn warn(&self) {
        let note = match self {
            Self::Note(text) => Some(text.as_str()),
            Self::Standing(text) => *text,
            _ => None,
        };
        if let Some(text) = note {
            warn(format_args!("note: {text}"));
        }
    }
}

pub struct Following {
    follower: Follower,
    followed: Vec<Measurement>,
    standing: Option<String>,
}

impl Following {
    pub fn new(path: &Path) -> Self {
        Self {
            follower: Follower::new(path),
            followed: Vec::new(),
            standing: None,
        }
    }

    pub fn run(&self) -> Run {
        Run::of_file(&self.follower.file())
    }

    pub fn followed(&self) -> &[Measurement] {
        &self.followed
    }

    pub fn standing(&self) -> Option<&str> {
        self.standing.as_deref()
    }

    /// Passes on all news. An unreadable record is an error, unless it may come back.
    pub fn hear(
        &mut self,
        may_come_back: bool,
        mut take: impl FnMut(News<'_>) -> Result<()>,
    ) -> Result<()> {
        let standing = loop {
            match self.follower.next_event() {
                Ok(Some(Followed::Measurement(measurement))) => {
                    take(News::Measured(&measurement))?;
                    self.followed.push(*measurement);
                }
                Ok(Some(Followed::WentBack { kept, cause, .. })) => {
                    take(News::Note(told(cause, &self.followed, kept)))?;
                    let dropped = self.followed.split_off(kept.min(self.followed.len()));
                    take(News::WentBack(&dropped))?;
                }
                Ok(Some(Followed::Note(text))) => take(News::Note(text))?,
                Ok(_) => {
                    let missing = self.follower.missing();
                    break missing.map(|missing| format!("waiting: {missing}"));
                }
                Err(error) if may_come_back => break Some(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        };
        if self.standing != standing {
            self.standing = standing;
            take(News::Standing(self.standing.as_deref()))?;
        }
        Ok(())
    }
}
