//! The results of a study: a line of JSON a run, and the table of them.

use crate::training::{Outcome, Run, Treatment};
use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The runs that were made, in a file to which each is added when it ends.
pub struct Results<T> {
    path: PathBuf,
    all: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> Results<T> {
    /// Those of a file in a folder, which is made if it is not there. A line that was cut is left out.
    pub fn open(folder: &Path, file: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join(file);
        let content = match std::fs::read_to_string(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        let all = content
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(Self {
            all: all.collect(),
            path,
        })
    }

    pub fn all(&self) -> &[T] {
        &self.all
    }

    pub fn push(&mut self, outcome: T) -> Result<()> {
        // After a line that was cut, too, it begins a line of its own.
        let line = format!("\n{}\n", serde_json::to_string(&outcome)?);
        let write = || {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.append(true).create(true).open(&self.path)?;
            file.write_all(line.as_bytes())
        };
        write().with_context(|| format!("{} cannot be written", self.path.display()))?;
        self.all.push(outcome);
        Ok(())
    }
}

impl Results<Outcome> {
    /// The result of a run, if it was made.
    pub fn find(&self, run: &Run) -> Option<&Outcome> {
        self.all.iter().find(|outcome| outcome.run == *run)
    }
}

/// The same for all seeds.
fn is_same_cell(a: &Run, b: &Run) -> bool {
    let treatment = match (a.treatment, b.treatment) {
        // Its steps depend on the seed.
        (Treatment::Longer { cap, .. }, Treatment::Longer { cap: other, .. }) => cap == other,
        (a, b) => a == b,
    };
    treatment
        && (a.network, a.peak, a.steps, a.has_warmup, a.every)
            == (b.network, b.peak, b.steps, b.has_warmup, b.every)
}

/// Medians and all losses, a row for each network, peak and treatment.
pub fn table(all: &[Outcome]) -> String {
    let mut cells: Vec<Vec<&Outcome>> = Vec::new();
    for outcome in all {
        match cells
            .iter_mut()
            .find(|cell| is_same_cell(&cell[0].run, &outcome.run))
        {
            Some(cell) => cell.push(outcome),
            None => cells.push(vec![outcome]),
        }
    }
    let mut text = "| network | peak | warmup | treatment | validation loss: median | of each seed | steps capped | forward passes |\n|---|---|---|---|---|---|---|---|\n".to_string();
    for cell in cells {
        let run = cell[0].run;
        let mut losses: Vec<f64> = cell
            .iter()
            .map(|o| o.valid.unwrap_or(f64::INFINITY))
            .collect();
        losses.sort_by(f64::total_cmp);
        let shown = |loss: f64| match loss.is_finite() {
            true => format!("{loss:.3}"),
            false => "not finite".to_string(),
        };
        let each: Vec<String> = cell
            .iter()
            .map(|o| shown(o.valid.unwrap_or(f64::INFINITY)))
            .collect();
        let cap_of = |fraction: f64| match run.every {
            Some(every) => format!("cap {fraction} (away from it, one step in {every} measured)"),
            None => format!("cap {fraction}"),
        };
        let treatment = match run.treatment {
            Treatment::None => "none".to_string(),
            Treatment::Cap(fraction) => cap_of(fraction),
            Treatment::Clip(norm) => format!("gradients clipped to {norm}"),
            Treatment::Longer { cap, .. } => {
                format!("none, as many passes as with {}", cap_of(cap))
            }
        };
        let mean =
            |of: fn(&Outcome) -> f64| cell.iter().map(|o| of(o)).sum::<f64>() / cell.len() as f64;
        let network = serde_json::to_value(run.network).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {} × {} | {} | {treatment} | {} | {} | {:.1} of {} | {:.0} |",
            network.as_str().unwrap_or_default(),
            run.peak,
            run.network.tuned(),
            if run.has_warmup { "a tenth" } else { "none" },
            shown(losses[losses.len() / 2]),
            each.join(" "),
            mean(|o| o.capped as f64),
            run.steps,
            mean(Outcome::forward_equivalents),
        );
    }
    text
}
