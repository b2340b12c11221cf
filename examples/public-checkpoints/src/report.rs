use anyhow::Result;
use gpt::run::write_result;
use sharpness_record::Quantity::CriticalSharpness;
use sharpness_record::shown::number;
use sharpness_report::plot::{Axis, Chart, Series};
use sharpness_report::{Measurement, Run, TRAIN_TASK};
use std::path::Path;

use crate::record::GRADIENT_TASK;

const CHART_FILE: &str = "checkpoints.svg";
const TABLE_FILE: &str = "checkpoints.txt";

/// The measurements of a sweep, and of the same weights during training.
pub struct Report {
    sweep: Run,
    beside: Option<Run>,
}

impl Report {
    pub fn open(sweep: &Path, beside: Option<&Path>) -> Result<Self> {
        Ok(Self {
            sweep: Run::open(sweep)?,
            beside: beside.map(Run::open).transpose()?,
        })
    }

    fn columns(&self) -> Vec<(&str, String)> {
        let mut columns = vec![
            (TRAIN_TASK, "AdamW".to_string()),
            (GRADIENT_TASK, "gradient".to_string()),
        ];
        let others = self.sweep.tasks().into_iter();
        let others = others.filter(|task| *task != GRADIENT_TASK);
        columns.extend(others.map(|task| (task, format!("{task}, AdamW"))));
        columns
    }

    /// Formats a row per checkpoint: the loss, and λ_c of each column or the outcome of its search.
    pub fn table(&self) -> String {
        let columns = self.columns();
        let mut header = vec!["step".to_string(), "loss".to_string()];
        header.extend(columns.iter().map(|(_, heading)| format!("λ_c {heading}")));
        if let Some(run) = &self.beside {
            header.push(format!("λ_c in {}", run.name));
        }
        let mut rows = vec![header];
        for of_adamw in self.sweep.training() {
            let at = |run: &Run, task: &str| {
                let mut measured = run.of_task(task);
                let same = measured.find(|m| m.step == of_adamw.step);
                same.map_or("–".to_string(), sharpness)
            };
            // Along the gradient, the weights are as published.
            let mut published = self.sweep.of_task(GRADIENT_TASK);
            let published = published.find(|m| m.step == of_adamw.step);
            let loss = published.and_then(|m| m.base_loss);
            let loss = loss.map_or("–".to_string(), number);
            let mut row = vec![of_adamw.step.to_string(), loss];
            row.extend(columns.iter().map(|(task, _)| at(&self.sweep, task)));
            row.extend(self.beside.iter().map(|run| at(run, TRAIN_TASK)));
            rows.push(row);
        }
        aligned(&rows)
    }

    fn chart(&self) -> Chart {
        let mut chart = Chart::new(
            "Critical sharpness over the checkpoints",
            Axis::linear("step"),
            Axis::log("critical sharpness λ_c"),
        );
        for (task, heading) in self.columns() {
            let name = match task {
                TRAIN_TASK | GRADIENT_TASK => format!("along {heading}"),
                _ => format!("of {heading}"),
            };
            let points = self.sweep.curve(task, CriticalSharpness);
            if points.iter().any(|(_, y)| y.is_finite()) {
                chart = chart.with_series(Series::new(name, points));
            }
        }
        if let Some(run) = &self.beside {
            let name = format!("in {}, while it trained", run.name);
            let points = run.curve(TRAIN_TASK, CriticalSharpness);
            chart = chart.with_series(Series::new(name, points));
        }
        chart
    }

    pub fn save(&self, folder: &Path) -> Result<()> {
        write_result(folder, TABLE_FILE, self.table())?;
        match self.chart().svg() {
            Ok(svg) => write_result(folder, CHART_FILE, svg),
            Err(error) => {
                // A sweep without a number is a result, too.
                gpt::warn!("note: there is no chart: {error}");
                Ok(())
            }
        }
    }
}

fn sharpness(measurement: &Measurement) -> String {
    match measurement.critical_sharpness {
        Some(value) => number(value),
        None => measurement.outcome.name().to_string(),
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut table = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let padding = " ".repeat(width - cell.chars().count());
            format!("{padding}{cell}")
        });
        table += &cells.collect::<Vec<_>>().join("  ");
        table.push('\n');
    }
    table
}
