//! Tables for the terminal, and CSV for everything else.

use crate::{Measurement, Run, TRAIN_TASK};
use std::io::{self, Write};

/// One row a run: how it went.
pub fn summary(runs: &[Run]) -> String {
    let header = [
        "run",
        "steps",
        "measured",
        "λc first",
        "last",
        "highest",
        "past the edge",
        "limiting",
        "evaluations",
        "seconds",
    ];
    let mut rows = vec![header.map(str::to_string)];
    rows.extend(runs.iter().map(row));
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    let mut table = String::new();
    for row in rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            if index == 0 {
                table += &format!("{cell}{padding}");
            } else {
                table += &format!("  {padding}{cell}");
            }
        }
        table.push('\n');
    }
    table
}

fn row(run: &Run) -> [String; 10] {
    let number =
        |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    let sharpness = run.points(TRAIN_TASK, |m| m.critical_sharpness);
    let highest = sharpness.iter().map(|point| point.1).reduce(f64::max);
    let measured = run.training().count();
    let past = run
        .training()
        .filter(|m| m.edge_ratio().is_some_and(|ratio| ratio > 1.0));
    let evaluations: u64 = run.training().map(|m| m.evaluations as u64).sum();
    let seconds: f64 = run.measurements.iter().map(|m| m.seconds).sum();
    let last_step = run.measurements.last().map(|m| m.step.to_string());
    [
        run.name.clone(),
        last_step.unwrap_or_else(|| "–".to_string()),
        format!("{} of {measured}", sharpness.len()),
        number(sharpness.first().map(|point| point.1)),
        number(sharpness.last().map(|point| point.1)),
        number(highest),
        past.count().to_string(),
        limiting(run).unwrap_or_else(|| "–".to_string()),
        number((measured > 0).then(|| evaluations as f64 / measured as f64)),
        format!("{seconds:.1}"),
    ]
}

/// The task that limited most of the steps.
fn limiting(run: &Run) -> Option<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for task in run.training().filter_map(|m| m.limiting_task.as_deref()) {
        match counts.iter_mut().find(|(name, _)| *name == task) {
            Some((_, count)) => *count += 1,
            None => counts.push((task, 1)),
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(most.0.to_string())
}

/// The measurements of runs as CSV with a header, one line each; what was not measured is empty. It
/// loads as it is into pandas (`pandas.read_csv`) and into Weights & Biases (as a table).
///
/// # Errors
///
/// If the output cannot be written.
pub fn csv(runs: &[Run], output: impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(output);
    csv.write_record([
        "run",
        "step",
        "epoch",
        "task",
        "outcome",
        "learning_rate",
        "base_loss",
        "slope",
        "update_norm",
        "lower",
        "upper",
        "critical_lr",
        "critical_sharpness",
        "edge_threshold",
        "edge_ratio",
        "directional_sharpness",
        "hessian_sharpness",
        "preconditioned_sharpness",
        "limiting_task",
        "evaluations",
        "seconds",
    ])?;
    for run in runs {
        for measurement in &run.measurements {
            csv.write_record(csv_row(run, measurement))?;
        }
    }
    csv.flush()
}

fn csv_row(run: &Run, m: &Measurement) -> [String; 21] {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let curvature = m.curvature.as_ref();
    [
        run.name.clone(),
        m.step.to_string(),
        m.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        m.task.clone(),
        m.outcome.name().to_string(),
        number(m.learning_rate),
        number(m.base_loss),
        number(m.slope),
        number(m.update_norm),
        number(m.lower),
        number(m.upper),
        number(m.critical_lr),
        number(m.critical_sharpness),
        number(m.edge_threshold()),
        number(m.edge_ratio()),
        number(curvature.and_then(|c| c.directional_sharpness.value)),
        number(curvature.and_then(|c| c.hessian_sharpness.value)),
        number(curvature.and_then(|c| c.preconditioned_sharpness.as_ref()?.value)),
        m.limiting_task.clone().unwrap_or_default(),
        m.evaluations.to_string(),
        m.seconds.to_string(),
    ]
}
