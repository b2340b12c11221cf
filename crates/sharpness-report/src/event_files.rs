//! `sharpness export --to tensorboard`: runs as event files, once or as they grow.

use crate::following::{Following, News, PAUSE, check_followed, is_pipe};
use anyhow::Result;
use sharpness_record::shown;
use sharpness_report::Run;
use sharpness_report::tensorboard::EventFiles;
use sharpness_report::terminal::say;
use std::path::{Path, PathBuf};

/// Writes runs, each as it is, within a folder.
pub fn export(runs: &[Run], folder: &Path) -> Result<()> {
    for run in runs {
        let mut files = EventFiles::new(folder, &run.name);
        run.measurements
            .iter()
            .for_each(|measurement| files.push(measurement));
        files.flush()?;
        say(shown::path(files.folder()));
    }
    Ok(())
}

/// Writes runs and what is added to them, until interrupted. They need not have begun.
pub fn export_and_follow(paths: &[PathBuf], folder: &Path) -> Result<()> {
    let mut all = Vec::new();
    for path in paths {
        check_followed(path, true)?;
        let following = Following::new(path);
        let name = following.name();
        let is_taken = |name: &str| {
            all.iter()
                .any(|(_, _, other): &(_, _, String)| other == name)
        };
        // Runs of one name are told apart by their paths.
        let name = if is_taken(&name) {
            shown::path(path)
        } else {
            name
        };
        all.push((following, EventFiles::new(folder, &name), name));
    }
    for (_, files, _) in &all {
        say(shown::path(files.folder()));
    }
    loop {
        for (following, files, _) in &mut all {
            following.hear(true, |news| {
                match news {
                    News::Measured(measurement) => files.push(measurement),
                    News::WentBack(dropped) => {
                        let first = dropped.iter().map(|measurement| measurement.step).min();
                        first.into_iter().for_each(|step| files.go_back(step));
                    }
                }
                Ok(())
            })?;
            files.flush()?;
        }
        if paths.iter().all(|path| is_pipe(path)) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}
