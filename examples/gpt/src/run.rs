//! The folder of a run: its configuration, tokenizer and checkpoints.

use crate::schedule::Scheduler;
use anyhow::{Context, Result, anyhow, ensure};
use burn::lr_scheduler::LrSchedulerRecord;
use burn::optim::OptimizerRecord;
use burn::store::ModuleRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CONFIG_FILE: &str = "config.json";

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder(PathBuf);

/// A checkpoint that a run can resume from.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint {
    /// Its number, the epoch at whose end it was taken.
    pub epoch: usize,
    /// The next update.
    pub step: u64,
}

/// The folder for results, made if it is not there: the one given, or the first free `runs/NAME-N`.
///
/// # Errors
///
/// If it cannot be made.
pub fn results_folder(out: Option<&Path>, name: &str) -> Result<PathBuf> {
    let folder = match out {
        Some(out) => out.to_path_buf(),
        None => {
            let mut folders = (1..).map(|number| PathBuf::from(format!("runs/{name}-{number}")));
            let free = folders.find(|folder| !folder.exists());
            free.context("no free folder below runs")?
        }
    };
    fs::create_dir_all(&folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    Ok(folder)
}

/// Writes a file of the results.
///
/// # Errors
///
/// If it cannot be written.
pub fn write_result(folder: &Path, name: &str, content: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))
}

/// What `main` returns: an error is one line, and the exit code 1.
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl RunFolder {
    /// The folder for a new run: the one given, or the first free `runs/NAME-N`.
    ///
    /// # Errors
    ///
    /// If the folder given holds a run already.
    pub fn for_new_run(out: Option<&Path>, name: &str) -> Result<Self> {
        match out {
            Some(out) => {
                let folder = Self(out.to_path_buf());
                ensure!(
                    !folder.holds_run(),
                    "{} already holds a run: choose another --out, or give --resume to go on with it",
                    out.display()
                );
                Ok(folder)
            }
            None => {
                let mut free = (1..)
                    .map(|number| Self(PathBuf::from(format!("runs/{name}-{number}"))))
                    .filter(|folder| !folder.holds_run());
                free.next().context("no free folder below runs")
            }
        }
    }

    /// The folder of a run that is to resume.
    ///
    /// # Errors
    ///
    /// If there is no run in it.
    pub fn of_run(path: &Path) -> Result<Self> {
        let folder = Self(path.to_path_buf());
        ensure!(
            folder.holds_run(),
            "there is no run to resume in {}: it has no {CONFIG_FILE}",
            path.display()
        );
        Ok(folder)
    }

    fn holds_run(&self) -> bool {
        self.0.join(CONFIG_FILE).exists()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file of the run's tokenizer.
    pub fn tokenizer(&self) -> PathBuf {
        self.0.join("tokenizer.json")
    }

    /// Writes the run's configuration.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub fn save_config(&self, config: &impl Serialize) -> Result<()> {
        let unwritable = || format!("the run's folder {} cannot be written", self.0.display());
        fs::create_dir_all(&self.0).with_context(unwritable)?;
        let json = serde_json::to_string_pretty(config)?;
        fs::write(self.0.join(CONFIG_FILE), json).with_context(unwritable)
    }

    /// Reads the run's configuration.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn load_config<C: DeserializeOwned>(&self) -> Result<C> {
        let path = self.0.join(CONFIG_FILE);
        let unreadable = || format!("the configuration {} cannot be read", path.display());
        let json = fs::read_to_string(&path).with_context(unreadable)?;
        serde_json::from_str(&json).with_context(unreadable)
    }

    fn checkpoint_part(&self, name: &str, epoch: usize) -> PathBuf {
        self.0
            .join("checkpoint")
            .join(format!("{name}-{epoch}.bpk"))
    }

    /// The weights of a checkpoint.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn load_weights(&self, checkpoint: Checkpoint) -> Result<ModuleRecord> {
        let path = self.checkpoint_part("model", checkpoint.epoch);
        ModuleRecord::load(&path)
            .map_err(|error| anyhow!("the weights {} cannot be read: {error}", path.display()))
    }

    /// The newest checkpoint of which every part can be read: a run that was killed may have left
    /// one cut short.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn newest_checkpoint(&self) -> Result<Checkpoint> {
        self.checkpoints().next().with_context(|| {
            format!(
                "the run in {} cannot resume: it was stopped before its first checkpoint, so start it anew in another folder",
                self.0.display()
            )
        })
    }

    /// The checkpoints of which every part can be read, the newest first.
    pub fn checkpoints(&self) -> impl Iterator<Item = Checkpoint> {
        let mut epochs: Vec<usize> = fs::read_dir(self.0.join("checkpoint"))
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                let number = name.strip_prefix("scheduler-")?.strip_suffix(".bpk")?;
                number.parse().ok()
            })
            .collect();
        epochs.sort_unstable();
        epochs.into_iter().rev().filter_map(|epoch| {
            let part = |name: &str| self.checkpoint_part(name, epoch);
            ModuleRecord::load(part("model")).ok()?;
            OptimizerRecord::load(part("optim")).ok()?;
            let scheduler = LrSchedulerRecord::load(part("scheduler")).ok()?;
            let step = Scheduler::step_of(&scheduler)?;
            Some(Checkpoint { epoch, step })
        })
    }
}
