use super::collect::{Collector, Unit};
use super::file::{format_of, read_file};
use super::parts::{Found, to_train_on};
use anyhow::{Result, ensure};
use sharpness_record::shown::{self, one_line};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use walkdir::WalkDir;

/// Reads the files to train on in the order of their names, and notes the other files.
pub(super) fn read(folder: &Path, out: &mut Collector) -> Result<Vec<String>> {
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |kind: &str| *others.entry(kind.to_string()).or_default() += 1;
    let mut files = Vec::new();
    let mut seen_folders = HashSet::new();
    let mut entries = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.loop_ancestor().is_some() => {
                count("links to folders that are read already");
                continue;
            }
            Err(error) => {
                out.begin(error.path().unwrap_or(folder));
                let why = error.into_io_error().map(|error| error.to_string());
                out.leave_out(Unit::File, None, &why.unwrap_or_default());
                continue;
            }
        };
        let path = entry.path();
        let is_folder = entry.file_type().is_dir();
        if entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.') {
            count("hidden");
            if is_folder {
                entries.skip_current_dir();
            }
        } else if is_folder {
            let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
            if !seen_folders.insert(real) {
                count("links to folders that are read already");
                entries.skip_current_dir();
            }
        } else if !entry.file_type().is_file() {
            count("pipes, sockets or devices");
        } else if let Some(format) = format_of(path) {
            let is_link = entry.path_is_symlink();
            let path = entry.into_path();
            files.push((is_link, Found { path, format }));
        } else {
            count(&kind_of(path));
        }
    }
    let is_empty = files.is_empty();
    let (files, links) = each_once(files);
    for _ in 0..links {
        count("links to files that are read already");
    }
    let (files, mut notes) = to_train_on(folder, files);
    let mut unread = 0_u64;
    for file in files {
        match out.wants_no_file() {
            true => unread += 1,
            false => read_file(&file.path, Some(file.format), out),
        }
    }

    let others = others.iter().map(|(kind, files)| format!("{files} {kind}"));
    let others = others.collect::<Vec<_>>().join(", ");
    ensure!(
        !is_empty || !out.notes().is_empty(),
        "the folder {} holds no text: no .txt, .md, .jsonl, .ndjson, .json or .parquet file, as it is or \
         with .gz or .zst{}",
        shown::path(folder),
        match others.is_empty() {
            true => String::new(),
            false => format!(", but {others}"),
        }
    );
    if unread > 0 {
        notes.push(format!(
            "{unread} more files of text are not read: the limit is reached"
        ));
    }
    if !others.is_empty() {
        notes.push(format!("files that are not read as text: {others}"));
    }
    Ok(notes)
}

fn each_once(files: Vec<(bool, Found)>) -> (Vec<Found>, usize) {
    let real = |file: &Found| file.path.canonicalize().unwrap_or_default();
    let mut seen = HashSet::new();
    if files.iter().any(|(is_link, _)| *is_link) {
        let themselves = files.iter().filter(|(is_link, _)| !is_link);
        seen.extend(themselves.map(|(_, file)| real(file)));
    }
    let count = files.len();
    let kept = files.into_iter();
    let kept = kept.filter(|(is_link, file)| !is_link || seen.insert(real(file)));
    let kept: Vec<Found> = kept.map(|(_, file)| file).collect();
    let links = count - kept.len();
    (kept, links)
}

fn kind_of(path: &Path) -> String {
    match path.extension() {
        Some(ending) => {
            let ending = ending.to_string_lossy().to_lowercase();
            one_line(&format!(".{ending}")).into_owned()
        }
        None => "without ending".to_string(),
    }
}
