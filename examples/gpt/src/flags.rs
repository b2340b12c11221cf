use anyhow::{Result, ensure};
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Whether a flag, by the name of its field, is on the command line.
pub fn is_given(matches: &ArgMatches, flag: &str) -> bool {
    matches.try_contains_id(flag).unwrap_or(false)
        && matches.value_source(flag) == Some(ValueSource::CommandLine)
}

/// `mode` says when the flags, words in a text, have no effect, as in "with --find-lr".
pub fn refuse_unused(matches: &ArgMatches, flags: &str, mode: &str) -> Result<()> {
    for flag in flags.split_whitespace() {
        ensure!(
            !is_given(matches, flag),
            "--{} changes nothing {mode}: leave it out",
            flag.replace('_', "-")
        );
    }
    Ok(())
}

pub fn at_least_one(counts: &[(&str, u64)]) -> Result<()> {
    for (flag, count) in counts {
        ensure!(*count > 0, "{flag} is 0, but must be at least 1");
    }
    Ok(())
}

pub fn above_0(name: &str, value: f64) -> Result<()> {
    let is_above = value > 0.0 && value.is_finite();
    ensure!(is_above, "{name} is {value}, but must be above 0");
    Ok(())
}

pub fn not_below_0<T: Copy + Display + Into<f64>>(name: &str, value: T) -> Result<()> {
    let is_above = value.into() >= 0.0 && value.into().is_finite();
    ensure!(is_above, "{name} is {value}, but must not be below 0");
    Ok(())
}

/// Returns the absolute path, which means the same in any folder.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
    let absolute = absolute.unwrap_or_else(|_| path.to_path_buf());
    ensure!(
        absolute.to_str().is_some(),
        "the path {} is not UTF-8, so that a run's configuration cannot hold it: rename it",
        absolute.display()
    );
    Ok(absolute)
}
