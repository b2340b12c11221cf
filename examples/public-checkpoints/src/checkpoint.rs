//! A checkpoint: a folder as published, and the step at which its weights were saved.

use crate::config::ModelConfig;
use crate::text::TOKENIZER_FILE;
use crate::weights::check_files;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// A checkpoint, of which all but the weights was read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// The step at which it was saved.
    pub step: u64,
    /// The learning rate of the steps that warm AdamW's moments at it; at 0 the weights stay as published.
    pub warm_rate: f64,
    /// The shape of its model.
    pub config: ModelConfig,
}

impl Checkpoint {
    /// The checkpoints in these folders by rising step, once every one of them was seen to hold what it
    /// needs. The steps are those given, one a folder, or those that the folders' names tell. The rates of
    /// warming are one a folder, one for all, or 0.
    ///
    /// # Errors
    ///
    /// If a folder lacks something, if no step is known, or if two checkpoints have the same.
    pub fn open_all(folders: &[PathBuf], steps: &[u64], rates: &[f64]) -> Result<Vec<Self>> {
        ensure!(
            rates.len() <= 1 || rates.len() == folders.len(),
            "--warm-rate gives {} rates for {} folders: give one, or one for each",
            rates.len(),
            folders.len()
        );
        ensure!(
            steps.is_empty() || steps.len() == folders.len(),
            "--step gives {} steps for {} folders: give one for each",
            steps.len(),
            folders.len()
        );
        let mut checkpoints = Vec::new();
        for (index, folder) in folders.iter().enumerate() {
            let step = steps.get(index).copied().or_else(|| step_of(folder));
            let step = step.with_context(|| {
                format!(
                    "the name of {} tells no step: name it like step-1000, or give --step",
                    folder.display()
                )
            })?;
            let rate = rates.get(index).or(rates.first()).copied();
            checkpoints.push(Self::open(folder, step, rate.unwrap_or(0.0))?);
        }
        checkpoints.sort_by_key(|checkpoint| checkpoint.step);
        let twice = checkpoints
            .windows(2)
            .find(|pair| pair[0].step == pair[1].step);
        if let Some([first, second]) = twice {
            anyhow::bail!(
                "{} and {} are both of step {}: tell them apart by --step",
                first.folder.display(),
                second.folder.display(),
                first.step
            );
        }
        Ok(checkpoints)
    }

    fn open(folder: &Path, step: u64, warm_rate: f64) -> Result<Self> {
        ensure!(folder.is_dir(), "there is no folder {}", folder.display());
        let config = ModelConfig::open(folder)?;
        check_files(folder)?;
        ensure!(
            folder.join(TOKENIZER_FILE).exists(),
            "{} holds no {TOKENIZER_FILE}",
            folder.display()
        );
        Ok(Self {
            folder: folder.to_path_buf(),
            step,
            warm_rate,
            config,
        })
    }
}

/// The step that a folder's name tells: the number after `step` (`stage1-step1000-tokens5B`), after
/// `checkpoint` (`checkpoint-500`), or the number that is the whole name.
fn step_of(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let name = folder.file_name()?.to_str()?.to_lowercase();
    let number = |text: &str| {
        let text = text.trim_start_matches(['-', '_', '=', ' ']);
        let end = text.find(|letter: char| !letter.is_ascii_digit());
        text[..end.unwrap_or(text.len())].parse().ok()
    };
    let after = |word: &str| name.split(word).skip(1).find_map(number);
    after("step")
        .or_else(|| after("checkpoint"))
        .or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_steps() {
        let known = [
            ("stage1-step1000-tokens5B", Some(1000)),
            ("runs/step-200", Some(200)),
            ("Step_0", Some(0)),
            ("footsteps-step30", Some(30)),
            ("checkpoint-500/", Some(500)),
            ("0042", Some(42)),
            ("gpt2", None),
            ("OLMo-2-1B", None),
            ("step", None),
        ];
        for (name, step) in known {
            assert_eq!(step_of(Path::new(name)), step, "{name}");
        }
    }
}
