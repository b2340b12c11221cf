use crate::config::ModelConfig;
use crate::files::check_is_itself;
use crate::name;
use crate::text::TOKENIZER_FILE;
use crate::weights::check_files;
use anyhow::{Result, bail, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub folder: PathBuf,
    pub step: u64,
    /// The learning rate of the steps that warm AdamW's moments; at 0 the weights stay as published.
    pub warm_rate: f64,
    pub config: ModelConfig,
}

impl Checkpoint {
    /// Opens all checkpoints, sorted by step, once every folder is known to be complete.
    ///
    /// If `steps` is empty, the folders' names give the steps, and a link to another given folder is skipped. `rates`
    /// are the rates of warming: one a folder, one for all, or none for 0.
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
        let mut series: Option<(&Path, String)> = None;
        for index in given_once(folders, steps.is_empty()) {
            let folder = &folders[index];
            let step = match steps.get(index) {
                Some(step) => *step,
                None => {
                    let named = name::read(folder)?;
                    let (first, of_first) =
                        series.get_or_insert_with(|| (folder, named.series.clone()));
                    ensure!(
                        *of_first == named.series,
                        "the paths of {} and {} differ in more than the step: their steps may be counted from different beginnings, as in two stages of training, so give --step, one for each folder",
                        first.display(),
                        folder.display()
                    );
                    named.step
                }
            };
            let rate = rates.get(index).or(rates.first()).copied();
            checkpoints.push(Self::open(folder, step, rate.unwrap_or(0.0))?);
        }
        checkpoints.sort_by_key(|checkpoint| checkpoint.step);
        let twice = checkpoints
            .windows(2)
            .find(|pair| pair[0].step == pair[1].step);
        if let Some([first, second]) = twice {
            bail!(
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
        let tokenizer = folder.join(TOKENIZER_FILE);
        let shown = folder.display();
        ensure!(tokenizer.exists(), "{shown} holds no {TOKENIZER_FILE}");
        check_is_itself(&tokenizer)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            step,
            warm_rate,
            config,
        })
    }
}

fn given_once(folders: &[PathBuf], passes_over_links: bool) -> Vec<usize> {
    let real = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| folder.clone());
    // Remove a slash at the end, which would follow the link.
    let is_link = |folder: &PathBuf| folder.components().as_path().is_symlink();
    let given = folders.iter().filter(|folder| !is_link(folder));
    let given: HashMap<PathBuf, &PathBuf> = given.map(|folder| (real(folder), folder)).collect();
    let mut kept = Vec::new();
    for (index, folder) in folders.iter().enumerate() {
        match given.get(&real(folder)) {
            Some(other) if passes_over_links && is_link(folder) => {
                let (link, folder) = (folder.display(), other.display());
                gpt::warn!(
                    "note: {link} leads to {folder}, which is given as well: the program skips it"
                );
            }
            _ => kept.push(index),
        }
    }
    kept
}
