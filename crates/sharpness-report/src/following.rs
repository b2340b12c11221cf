//! What `tail` and `watch` share: following a run that is under way.

use anyhow::{Result, bail};
use sharpness_report::{ReadError, read, runs_within};
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
