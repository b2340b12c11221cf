use crate::base::Base;
use crate::mix::Mix;
use crate::sweep::Sweep;
use anyhow::Result;
use burn::optim::GradientsParams;
use gpt::optimizer::adamw;
use gpt::run::write_result;
use gpt::say;
use serde::Serialize;
use sharpness_report::plot::HeatMap;
use sharpness_report::shown::decimals;
use std::fmt::Write;
use std::path::Path;

pub struct Grid {
    ratios: Vec<f64>,
    rates: Vec<f64>,
    cells: Vec<Cell>,
    lost: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Cell {
    ratio: f64,
    learning_rate: f64,
    /// The change in nats; absent if the training diverged.
    pretrain_change: Option<f64>,
    target_change: Option<f64>,
}

impl Cell {
    fn change(&self, task: usize) -> Option<f64> {
        [self.pretrain_change, self.target_change][task]
    }
}

/// Trains each cell from the base at a constant rate, after a warmup of a fifth of the steps.
pub fn train(base: &Base, ratios: &[f64], rates: &[f64], steps: usize, lost: f64) -> Result<Grid> {
    let before = base.held_out_losses(&base.model)?;
    let warmup = (steps / 5).max(1);
    let mut cells = Vec::new();
    for &ratio in ratios {
        for &learning_rate in rates {
            let mut model = base.model.clone();
            let mut optim = adamw(0.0);
            let mut mix = Mix::new(base, ratio);
            for step in 0..steps {
                let loss = model.loss(mix.next_batch());
                let grads = GradientsParams::from_grads(loss.backward(), &model);
                let warm = ((step + 1) as f64 / warmup as f64).min(1.0);
                model = optim.step(learning_rate * warm, model, grads);
            }
            let after = base.held_out_losses(&model)?;
            let [pretrain_change, target_change] = [0, 1].map(|task| {
                let change = after[task] - before[task];
                change.is_finite().then_some(change)
            });
            let [pretrain, target] = [pretrain_change, target_change].map(show);
            say!(
                "trained at r = {ratio:.2}, η = {learning_rate:.0e}: pre-training loss {pretrain}, target loss {target}"
            );
            cells.push(Cell {
                ratio,
                learning_rate,
                pretrain_change,
                target_change,
            });
        }
    }
    Ok(Grid {
        ratios: ratios.to_vec(),
        rates: rates.to_vec(),
        cells,
        lost,
    })
}

fn show(change: Option<f64>) -> String {
    let sign = |change: f64| if change >= 0.0 { "+" } else { "" };
    let shown = change.map(|change| format!("{}{}", sign(change), decimals(change, 3)));
    shown.unwrap_or_else(|| "diverged".to_string())
}

const NAMES: [&str; 2] = ["pre-training", "target"];

impl Grid {
    pub fn save(&self, folder: &Path, sweep: &Sweep) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for cell in &self.cells {
            csv.serialize(cell)?;
        }
        write_result(folder, "grid.csv", csv.into_inner()?)?;
        write_result(folder, "grid.txt", self.table(sweep))?;
        for (task, file) in ["grid-pretrain.svg", "grid-target.svg"].iter().enumerate() {
            match self.heat_map(sweep, task).svg() {
                Ok(svg) => write_result(folder, file, svg)?,
                Err(error) => gpt::warn!("warning: {error}"),
            }
        }
        Ok(())
    }

    fn heat_map(&self, sweep: &Sweep, task: usize) -> HeatMap {
        let cell = |rate: f64, ratio: f64| {
            let mut cells = self.cells.iter();
            let cell = cells.find(|cell| cell.learning_rate == rate && cell.ratio == ratio);
            cell.and_then(|cell| cell.change(task))
        };
        let ratios = &self.ratios;
        let row = |rate: &f64| ratios.iter().map(|ratio| cell(*rate, *ratio)).collect();
        let name = NAMES[task];
        let curve = sweep.points.iter();
        let curve = curve.filter_map(|point| Some((point.ratio, point.largest_rate(task)?)));
        HeatMap {
            title: format!("Held-out {name} loss after a short mid-training"),
            x_label: "fraction r of pre-training text in the mix".to_string(),
            y_label: "learning rate η".to_string(),
            columns: ratios.clone(),
            rows: self.rates.clone(),
            cells: self.rates.iter().map(row).collect(),
            value_label: "change in nats, dark: worse".to_string(),
            curves: vec![(
                format!("critical learning rate of the {name} loss, before"),
                curve.collect(),
            )],
        }
    }

    /// Tabulates the changes, and how often the sweep's critical learning rate predicted that the pre-trained skill
    /// survives.
    pub fn table(&self, sweep: &Sweep) -> String {
        let mut text = String::new();
        for (task, name) in NAMES.iter().enumerate() {
            let _ = writeln!(text, "change of the {name} loss, in nats");
            let _ = write!(text, "{:>9}", "η \\ r");
            for ratio in &self.ratios {
                let _ = write!(text, "{ratio:>10.2}");
            }
            for rate in self.rates.iter().rev() {
                let _ = write!(text, "\n{rate:>9.0e}");
                for cell in self.cells.iter().filter(|cell| cell.learning_rate == *rate) {
                    let _ = write!(text, "{:>10}", show(cell.change(task)));
                }
            }
            let _ = writeln!(text, "\n");
        }
        let mut counts = [[0; 2]; 2];
        for cell in &self.cells {
            let point = sweep.points.iter().find(|point| point.ratio == cell.ratio);
            let Some(limit) = point.and_then(|point| point.largest_rate(0)) else {
                continue;
            };
            let is_kept = cell.change(0).is_some_and(|change| change < self.lost);
            let is_below = cell.learning_rate < limit;
            counts[usize::from(!is_below)][usize::from(!is_kept)] += 1;
        }
        let _ = writeln!(
            text,
            "pre-training loss kept (rise below {} nats) | lost\n  below its critical learning rate: {} | {}\n  above it: {} | {}",
            self.lost, counts[0][0], counts[0][1], counts[1][0], counts[1][1]
        );
        text
    }
}
