//! Implements `sharpness export --to tensorboard`.

use crate::following::{Following, News, PAUSE, check_followed, is_pipe};
use anyhow::Result;
use sharpness_record::shown;
use sharpness_report::Run;
use sharpness_report::tensorboard::EventFiles;
use sharpness_report::terminal::say;
use std::path::{Path, PathBuf};

pub fn export(runs: &[Run], folder: &Path) -> Result<()> {
    let mut all = Vec::new();
    for run in runs {
        let mut files = EventFiles::new(folder, &run.name, &all);
        run.measurements.iter().for_each(|m| files.push(m));
        files.flush()?;
        say(shown::path(files.folder()));
        all.push(files);
    }
    Ok(())
}

pub fn export_and_follow(paths: &[PathBuf], folder: &Path) -> Result<()> {
    let (mut followed, mut all) = (Vec::new(), Vec::new());
    for path in paths {
        check_followed(path, true)?;
        followed.push(Following::new(path));
    }
    for following in &followed {
        let files = EventFiles::new(folder, &following.run().name, &all);
        say(shown::path(files.folder()));
        all.push(files);
    }
    loop {
        for (following, files) in followed.iter_mut().zip(&mut all) {
            following.hear(true, |news| {
                news.warn();
                match news {
                    News::Measured(measurement) => files.push(measurement),
                    News::WentBack(dropped) => {
                        let first = dropped.iter().map(|measurement| measurement.step).min();
                        first.into_iter().for_each(|step| files.go_back(step));
                    }
                    News::Note(_) | News::Standing(_) => {}
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
