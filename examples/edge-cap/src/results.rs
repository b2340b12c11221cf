use crate::training::{Outcome, Run, Treatment};
use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sharpness_report::plot::{Axis, Chart, Series};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The finished runs, in a file that grows by a line of JSON with each.
pub struct Results<T> {
    path: PathBuf,
    all: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> Results<T> {
    /// Skips a line that was cut short.
    pub fn open(folder: &Path, file: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join(file);
        let content = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            content => content,
        };
        let content = content.with_context(|| format!("{} cannot be read", path.display()))?;
        let all = content.lines();
        let all = all.filter_map(|line| serde_json::from_str(line).ok());
        let all = all.collect();
        Ok(Self { path, all })
    }

    pub fn all(&self) -> &[T] {
        &self.all
    }

    pub fn push(&mut self, outcome: T) -> Result<()> {
        // The last line may be cut short.
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
    pub fn find(&self, run: &Run) -> Option<&Outcome> {
        self.all.iter().find(|outcome| outcome.run == *run)
    }
}

/// Runs that differ only in their seed.
struct Cell<'a>(Vec<&'a Outcome>);

impl Cell<'_> {
    fn all(all: &[Outcome]) -> Vec<Cell<'_>> {
        let mut cells: Vec<Cell<'_>> = Vec::new();
        for outcome in all {
            let cell = cells.iter_mut().find(|cell| cell.holds(&outcome.run));
            match cell {
                Some(cell) => cell.0.push(outcome),
                None => cells.push(Cell(vec![outcome])),
            }
        }
        cells
    }

    fn run(&self) -> Run {
        self.0[0].run
    }

    fn holds(&self, other: &Run) -> bool {
        let run = self.run();
        let mut same = Run {
            seed: run.seed,
            ..*other
        };
        // The number of steps depends on the seed.
        if let (Treatment::Longer { steps: of_same, .. }, Treatment::Longer { steps, .. }) =
            (&mut same.treatment, run.treatment)
        {
            *of_same = steps;
        }
        same == run
    }

    fn network(&self) -> String {
        let name = serde_json::to_value(self.run().network).unwrap_or_default();
        name.as_str().unwrap_or_default().to_string()
    }

    fn treatment(&self) -> String {
        let run = self.run();
        let every = match run.every {
            Some(every) => format!(" (away from it, one step in {every} measured)"),
            None => String::new(),
        };
        match run.treatment {
            Treatment::None => "none".to_string(),
            Treatment::Cap(cap) => format!("cap {cap}{every}"),
            Treatment::Clip(norm) => format!("gradients clipped to {norm}"),
            Treatment::Longer { cap, .. } => {
                format!("none, as many passes as with cap {cap}{every}")
            }
        }
    }

    /// Infinity stands for a loss that is not finite.
    fn losses(&self) -> Vec<f64> {
        let losses = self.0.iter().map(|of| of.valid.unwrap_or(f64::INFINITY));
        losses.collect()
    }

    fn spread(&self) -> [f64; 3] {
        let mut losses = self.losses();
        losses.sort_by(f64::total_cmp);
        [0, losses.len() / 2, losses.len() - 1].map(|index| losses[index])
    }

    fn mean(&self, of: fn(&Outcome) -> f64) -> f64 {
        self.0.iter().map(|outcome| of(outcome)).sum::<f64>() / self.0.len() as f64
    }
}

pub fn table(all: &[Outcome]) -> String {
    let shown = |loss: f64| match loss.is_finite() {
        true => format!("{loss:.3}"),
        false => "not finite".to_string(),
    };
    let mut text = "| network | peak | warmup | treatment | validation loss: median | of each seed | steps capped | forward passes |\n|---|---|---|---|---|---|---|---|\n".to_string();
    for cell in Cell::all(all) {
        let run = cell.run();
        let [_, median, _] = cell.spread();
        let each: Vec<String> = cell.losses().into_iter().map(shown).collect();
        let _ = writeln!(
            text,
            "| {} | {} × {} | {} | {} | {} | {} | {:.1} of {} | {:.0} |",
            cell.network(),
            run.peak,
            run.network.tuned(),
            if run.has_warmup { "a tenth" } else { "none" },
            cell.treatment(),
            shown(median),
            each.join(" "),
            cell.mean(|of| of.capped as f64),
            run.steps,
            cell.mean(Outcome::forward_equivalents),
        );
    }
    text
}

/// One chart per network, without longer runs: the median and the range of the validation losses by peak.
pub fn figures(all: &[Outcome]) -> Result<Vec<(String, String)>> {
    let is_drawn = |run: &Run| run.has_warmup && !matches!(run.treatment, Treatment::Longer { .. });
    let mut cells = Cell::all(all);
    cells.retain(|cell| is_drawn(&cell.run()));
    cells.sort_by(|a, b| a.run().peak.total_cmp(&b.run().peak));
    let mut charts: Vec<(String, Vec<Series>)> = Vec::new();
    for cell in &cells {
        let (network, treatment) = (cell.network(), cell.treatment());
        let rate = cell.run().peak * cell.run().network.tuned();
        let [low, median, high] = cell.spread();
        let index = charts.iter().position(|(name, _)| *name == network);
        let index = index.unwrap_or_else(|| {
            charts.push((network, Vec::new()));
            charts.len() - 1
        });
        let curves = &mut charts[index].1;
        let curve = curves.iter().position(|curve| curve.name == treatment);
        let curve = curve.unwrap_or_else(|| {
            curves.push(Series::new(treatment, Vec::new()));
            curves.len() - 1
        });
        curves[curve].points.push((rate, median));
        curves[curve].band.push((rate, low, high));
    }
    let svg = |(name, curves): (String, Vec<Series>)| {
        let title = format!("{name}: the loss by peak, median and range of the seeds");
        let x = Axis::log("peak learning rate");
        let chart = Chart::new(&title, x, Axis::linear("validation loss"));
        let chart = curves.into_iter().fold(chart, Chart::with_series);
        Ok((name, chart.svg()?))
    };
    charts.into_iter().map(svg).collect()
}
