//! What flags the examples have in common.

use anyhow::{Result, ensure};
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::path::{Path, PathBuf};

/// Whether a flag, by the name of its field, is on the command line.
pub fn is_given(matches: &ArgMatches, flag: &str) -> bool {
    matches.try_contains_id(flag).unwrap_or(false)
        && matches.value_source(flag) == Some(ValueSource::CommandLine)
}

/// Refuses flags that are given though they would change nothing; `mode` says where, as in
/// "with --find-lr".
///
/// # Errors
///
/// Names the first one.
pub fn refuse_unused(matches: &ArgMatches, flags: &[&str], mode: &str) -> Result<()> {
    for flag in flags {
        ensure!(
            !is_given(matches, flag),
            "--{} changes nothing {mode}: leave it out",
            flag.replace('_', "-")
        );
    }
    Ok(())
}

/// The path from the root, so that it means the same in any folder; as it is where it does not exist.
pub fn absolute(path: &Path) -> PathBuf {
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
    absolute.unwrap_or_else(|_| path.to_path_buf())
}
