use crate::Run;
use sharpness_record::shown;
use sharpness_record::{MEASUREMENTS_FILE, ReadError, file_of};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// In folders.
const DEPTH: usize = 4;

/// The runs that were read and left out.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Collected {
    /// The runs, each with a distinct name.
    pub runs: Vec<Run>,
    /// The reasons for the runs left out.
    pub left_out: Vec<ReadError>,
    /// The runs in hidden folders, skipped unless a path names them.
    pub hidden: Vec<PathBuf>,
}

impl Collected {
    /// Whether a path does not exist, or a record is unreadable.
    pub fn has_failures(&self) -> bool {
        let mut errors = self.left_out.iter();
        errors.any(|error| !error.is_not_yet() || matches!(error, ReadError::Missing { .. }))
    }
}

/// Reads the runs at these paths, each run once, and leaves out unreadable runs.
///
/// A path is a run's folder, its file, a folder with runs up to four folders deep, or a pattern such as `runs/*`. If
/// several paths lead to one run, the run keeps its own name.
pub fn collect(paths: &[PathBuf]) -> Collected {
    let mut collected = Collected::default();
    let mut from: Vec<PathBuf> = Vec::new();
    let mut found = Found::default();
    for path in paths {
        found.expand(path);
    }
    let runs = each_once(found.runs);
    let hidden = runs.iter().cloned().chain(found.hidden);
    collected.hidden = each_once(hidden.collect()).split_off(runs.len());
    for path in runs {
        match Run::open(&path) {
            Ok(run) => {
                collected.runs.push(run);
                from.push(path);
            }
            Err(error) => collected.left_out.push(error),
        }
    }
    // Tells runs of the same name apart by their paths.
    let mut names: HashMap<String, usize> = HashMap::new();
    for run in &collected.runs {
        *names.entry(run.name.clone()).or_default() += 1;
    }
    for (run, path) in collected.runs.iter_mut().zip(from) {
        if names[&run.name] > 1 {
            run.name = shown::path(&path);
        }
    }
    collected
}

/// Keeps the path of each run that ends most like the real path.
fn each_once(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    let mut places: HashMap<PathBuf, (usize, usize)> = HashMap::new();
    for path in paths {
        let file = file_of(&path).unwrap_or_else(|_| path.clone());
        let file = std::path::absolute(&file).unwrap_or(file);
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        let names = file.iter().rev().zip(real.iter().rev());
        let own_names = names.take_while(|(given, own)| given == own).count();
        match places.entry(real) {
            Entry::Vacant(place) => {
                place.insert((kept.len(), own_names));
                kept.push(path);
            }
            Entry::Occupied(mut place) if own_names > place.get().1 => {
                place.get_mut().1 = own_names;
                kept[place.get().0] = path;
            }
            Entry::Occupied(_) => {}
        }
    }
    kept
}

#[derive(Default)]
struct Found {
    runs: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
}

impl Found {
    fn expand(&mut self, path: &Path) {
        if self.look_within(path) {
            return;
        }
        let text = path.to_string_lossy();
        if !path.exists() && text.contains(['*', '?', '[']) {
            let as_in_a_shell = glob::MatchOptions {
                require_literal_leading_dot: true,
                ..glob::MatchOptions::default()
            };
            let matching = glob::glob_with(&text, as_in_a_shell);
            let matching = matching.ok().into_iter().flatten().flatten();
            let matching: Vec<PathBuf> = matching.collect();
            matching.iter().for_each(|path| self.expand(path));
            if !matching.is_empty() {
                return;
            }
        }
        self.runs.push(path.to_path_buf());
    }

    fn look_within(&mut self, path: &Path) -> bool {
        let is_run = |folder: &Path| folder.join(MEASUREMENTS_FILE).exists();
        if !path.is_dir() || is_run(path) {
            return false;
        }
        let before = self.runs.len();
        let folders = WalkDir::new(path).min_depth(1).max_depth(DEPTH);
        let mut folders = folders.follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = folders.next() {
            let Ok(entry) = entry else { continue };
            if entry.file_type().is_dir() && is_run(entry.path()) {
                folders.skip_current_dir();
                let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
                let mut names = below.iter().map(|name| name.as_encoded_bytes());
                match names.any(|name| name.starts_with(b".")) {
                    true => self.hidden.push(entry.into_path()),
                    false => self.runs.push(entry.into_path()),
                }
            }
        }
        self.runs.len() > before
    }
}

/// Returns the folders of runs in a folder, by name, each run once.
pub fn runs_within(path: &Path) -> Vec<PathBuf> {
    let mut found = Found::default();
    found.look_within(path);
    each_once(found.runs)
}
