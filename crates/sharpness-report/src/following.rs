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
}

/// A run that is followed. What else happens is noted on standard error, once.
pub struct Following {
    follower: Follower,
    followed: Vec<Measurement>,
    said: Option<String>,
}

impl Following {
    pub fn new(path: &Path) -> Self {
        Self {
            follower: Follower::new(path),
            followed: Vec::new(),
            said: None,
        }
    }

    /// The name of the run.
    pub fn name(&self) -> String {
        Run::of_file(&self.follower.file()).name
    }

    /// Hands over all that is new. A record that cannot be read is an error, unless it may come back.
    pub fn hear(
        &mut self,
        may_come_back: bool,
        mut take: impl FnMut(News<'_>) -> Result<()>,
    ) -> Result<()> {
        loop {
            match self.follower.next_event() {
                Ok(Some(Followed::Measurement(measurement))) => {
                    take(News::Measured(&measurement))?;
                    self.followed.push(*measurement);
                }
                Ok(Some(Followed::WentBack { kept, cause, .. })) => {
                    note(&told(cause, &self.followed, kept));
                    let dropped = self.followed.split_off(kept.min(self.followed.len()));
                    take(News::WentBack(&dropped))?;
                }
                Ok(Some(Followed::Note(text))) => note(&text),
                Ok(_) => {
                    let missing = self.follower.missing();
                    self.say_once(missing.map(|missing| format!("waiting: {missing}")));
                    return Ok(());
                }
                // Such as a folder on a network.
                Err(error) if may_come_back => {
                    self.say_once(Some(error.to_string()));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says what holds now, unless it was said last.
    fn say_once(&mut self, now: Option<String>) {
        if self.said != now {
            now.iter().for_each(|text| note(text));
            self.said = now;
        }
    }
}

fn note(text: &str) {
    warn(format_args!("note: {text}"));
}
