//! What the commands share that follow a run that is under way.

use anyhow::{Result, bail};
use sharpness_record::{Followed, Follower};
use sharpness_report::terminal::warn;
use sharpness_report::{Measurement, ReadError, Run, read, runs_within, told};
use std::path::Path;
use std::time::Duration;

/// How often a run under way is looked at.
pub const PAUSE: Duration = Duration::from_millis(500);

/// Whether a path is read to its end and never grows: a pipe, such as `/dev/stdin`.
pub fn is_pipe(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| !metadata.is_dir() && !metadata.is_file())
}

/// Whether a run can be followed: it may have to begin yet, unless its measurements are wanted now.
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

/// What is new in a record.
pub enum News<'a> {
    /// A measurement was made.
    Measured(&'a Measurement),
    /// The run has gone back: these measurements are no longer part of it.
    WentBack(&'a [Measurement]),
    /// What a reader is to be told, once.
    Note(String),
    /// What holds from now on: why nothing comes, if anything is in the way.
    Standing(Option<&'a str>),
}

impl News<'_> {
    /// Writes a note on standard error, if it is one.
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

/// A run that is followed.
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

    /// The run, of which nothing is known yet.
    pub fn run(&self) -> Run {
        Run::of_file(&self.follower.file())
    }

    /// The measurements that were followed and are part of the record, in its order.
    pub fn followed(&self) -> &[Measurement] {
        &self.followed
    }

    /// Why nothing comes, if anything is in the way.
    pub fn standing(&self) -> Option<&str> {
        self.standing.as_deref()
    }

    /// Hands over all that is new. A record that cannot be read is an error, unless it may come back.
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
                // Such as a folder on a network.
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
