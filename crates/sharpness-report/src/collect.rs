//! Many runs by the paths of a command line: folders, files, patterns, and folders of runs.

use crate::Run;
use sharpness_record::{MEASUREMENTS_FILE, ReadError};
use std::path::{Path, PathBuf};

/// Runs that were read, and those that were left out.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Collected {
    /// The runs, each by a name of its own.
    pub runs: Vec<Run>,
    /// Why each of the others was left out.
    pub left_out: Vec<ReadError>,
}

impl Collected {
    /// Whether a run was left out for another reason than that its folder has no measurement yet: it was
    /// named and is not there, or cannot be read.
    pub fn has_failures(&self) -> bool {
        let mut errors = self.left_out.iter();
        errors.any(|error| !error.is_not_yet() || matches!(error, ReadError::Missing { .. }))
    }
}

/// Reads the runs at these paths, and leaves out what cannot be read.
///
/// A path is a run's folder or its file of measurements; a folder that holds folders of runs, which
/// stands for all of them; or a pattern such as `runs/*`, where the shell has not expanded it.
pub fn collect(paths: &[PathBuf]) -> Collected {
    let mut collected = Collected::default();
    let mut from: Vec<PathBuf> = Vec::new();
    for path in paths.iter().flat_map(|path| expand(path)) {
        match Run::open(&path) {
            Ok(run) => {
                collected.runs.push(run);
                from.push(path);
            }
            Err(error) => collected.left_out.push(error),
        }
    }
    // Runs of one name must be told apart in a legend.
    let names: Vec<String> = collected.runs.iter().map(|run| run.name.clone()).collect();
    for (run, path) in collected.runs.iter_mut().zip(from) {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = path.display().to_string();
        }
    }
    collected
}

/// The runs that a path stands for, or the path itself.
fn expand(path: &Path) -> Vec<PathBuf> {
    let within = runs_within(path);
    if !within.is_empty() {
        return within;
    }
    let text = path.to_string_lossy();
    if !path.exists() && text.contains(['*', '?', '[']) {
        let matching = glob::glob(&text).ok().into_iter().flatten().flatten();
        let matching: Vec<PathBuf> = matching.collect();
        if !matching.is_empty() {
            return matching;
        }
    }
    vec![path.to_path_buf()]
}

/// The folders of runs in a folder that is not one itself, in the order of their names.
pub fn runs_within(path: &Path) -> Vec<PathBuf> {
    if path.join(MEASUREMENTS_FILE).exists() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    let mut runs: Vec<PathBuf> = folders
        .filter(|folder| folder.join(MEASUREMENTS_FILE).exists())
        .collect();
    runs.sort();
    runs
}
