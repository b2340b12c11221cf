use crate::folder::OwnedFolder;
use crate::schedule::Scheduler;
use crate::terminal;
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

#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Absent if the folder is only read.
    _owned: Option<OwnedFolder>,
}

#[derive(Clone, Copy, Debug)]
pub struct Checkpoint {
    /// The epoch that it ended.
    pub epoch: usize,
    /// The next update.
    pub step: u64,
}

pub fn write_result(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
    write_whole(&folder.join(name), content.as_ref())
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    sharpness_record::write_whole(path, content)
        .with_context(|| format!("{} cannot be written", path.display()))
}

pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if terminal::is_closed(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::fail(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

impl RunFolder {
    pub fn for_new_run(out: Option<&Path>, name: &str) -> Result<Self> {
        let owned = OwnedFolder::for_results(out, name, CONFIG_FILE)?;
        Ok(Self {
            path: owned.path().to_path_buf(),
            _owned: Some(owned),
        })
    }

    /// Opens a run to read it, without a lock.
    pub fn of_run(path: &Path) -> Result<Self> {
        ensure!(
            path.join(CONFIG_FILE).exists(),
            "there is no run in {}: it has no {CONFIG_FILE}",
            path.display()
        );
        Ok(Self {
            path: path.to_path_buf(),
            _owned: None,
        })
    }

    pub fn to_resume(path: &Path) -> Result<Self> {
        let folder = Self::of_run(path)?;
        Ok(Self {
            _owned: Some(OwnedFolder::of_results(path)?),
            ..folder
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn tokenizer(&self) -> PathBuf {
        self.path.join("tokenizer.json")
    }

    pub fn save_config(&self, config: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(config)?;
        write_result(&self.path, CONFIG_FILE, json)
    }

    pub fn load_config<C: DeserializeOwned>(&self) -> Result<C> {
        let path = self.path.join(CONFIG_FILE);
        let unreadable = || format!("the configuration {} cannot be read", path.display());
        let json = fs::read_to_string(&path).with_context(unreadable)?;
        serde_json::from_str(&json).with_context(unreadable)
    }

    fn checkpoint_part(&self, name: &str, epoch: usize) -> PathBuf {
        self.path
            .join("checkpoint")
            .join(format!("{name}-{epoch}.bpk"))
    }

    pub fn load_weights(&self, checkpoint: Checkpoint) -> Result<ModuleRecord> {
        let path = self.checkpoint_part("model", checkpoint.epoch);
        ModuleRecord::load(&path)
            .map_err(|error| anyhow!("the weights {} cannot be read: {error}", path.display()))
    }

    /// Returns the newest complete checkpoint; a killed run may have left an incomplete one.
    pub fn newest_checkpoint(&self) -> Result<Checkpoint> {
        self.checkpoints().next().with_context(|| {
            format!(
                "the run in {} cannot resume: it stopped before its first checkpoint, so start again in another folder",
                self.path.display()
            )
        })
    }

    /// Returns the complete checkpoints, the newest first.
    pub fn checkpoints(&self) -> impl Iterator<Item = Checkpoint> {
        let mut epochs: Vec<usize> = fs::read_dir(self.path.join("checkpoint"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::WarmupStableDecay;
    use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
    use burn::module::Module;
    use burn::nn::LinearConfig;

    #[test]
    fn a_checkpoint_of_which_a_part_is_torn_or_missing_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder {
            path: folder.path().to_path_buf(),
            _owned: None,
        };
        fs::create_dir(folder.path().join("checkpoint")).unwrap();
        let epochs = |run: &RunFolder| run.checkpoints().map(|c| c.epoch).collect::<Vec<_>>();
        let device = crate::device::of_environment().unwrap();
        for epoch in 1..=4 {
            let model = LinearConfig::new(2, 2).init(&device);
            let part = |name: &str| run.checkpoint_part(name, epoch);
            model.into_record().save(part("model")).unwrap();
            OptimizerRecord::default().save(part("optim")).unwrap();
            let schedule = WarmupStableDecay::usual(1.0, 9).scheduler();
            let scheduler = ModuleLrScheduler::new(schedule);
            scheduler.to_record().save(part("scheduler")).unwrap();
        }
        assert_eq!(epochs(&run), [4, 3, 2, 1]);
        let weights = run.checkpoint_part("model", 4);
        let whole = fs::read(&weights).unwrap();
        for length in 0..whole.len() {
            fs::write(&weights, &whole[..length]).unwrap();
            assert_eq!(epochs(&run), [3, 2, 1], "{length} of {} bytes", whole.len());
        }
        fs::remove_file(run.checkpoint_part("optim", 3)).unwrap();
        fs::write(run.checkpoint_part("scheduler", 2), "").unwrap();
        assert_eq!(epochs(&run), [1]);
    }

    #[test]
    fn a_run_that_resumes_has_one_owner_and_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG_FILE), "{}").unwrap();
        let _run = RunFolder::to_resume(folder.path()).unwrap();
        let error = RunFolder::to_resume(folder.path()).unwrap_err().to_string();
        assert!(error.contains("under way"), "{error}");
        RunFolder::of_run(folder.path()).unwrap();
    }
}
