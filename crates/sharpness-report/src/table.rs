//! Summarizes each run in a row.

use crate::Run;
use serde::Serialize;
use sharpness_record::SharpnessSummary;
use sharpness_record::shown::{decimals, number, one_line};

/// Summarizes a run in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The run.
    pub run: String,
    /// The last measured step.
    pub last_step: Option<u64>,
    /// The measurements of the training loss.
    pub measurements: u64,
    /// The measurements with a critical sharpness.
    pub bracketed: u64,
    /// The first λ_c.
    pub first: Option<f64>,
    /// The last λ_c, if the last measurement gave a number.
    pub last: Option<f64>,
    /// The highest λ_c.
    pub highest: Option<f64>,
    /// The measured steps past the edge.
    pub past_edge: u64,
    /// The steps that an edge cap lowered.
    pub capped: u64,
    /// The first and the last of them.
    pub capped_steps: Option<(u64, u64)>,
    /// The most frequent limiting task.
    pub limiting_task: Option<String>,
    /// The mean evaluations of a measurement.
    pub evaluations: Option<f64>,
    /// The seconds spent measuring.
    pub seconds: f64,
    /// The outcomes without a number.
    pub no_number: Vec<NoNumberRow>,
    /// The step since which no measurement gave a number.
    pub no_number_since: Option<u64>,
}

/// Counts a run's measurements with one outcome that gives no number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NoNumberRow {
    /// The outcome, by its name in the record.
    pub outcome: String,
    /// The number of measurements.
    pub count: u64,
    /// The first and last step.
    pub steps: (u64, u64),
    /// The reason that the first states.
    pub reason: Option<String>,
}

impl Row {
    /// Summarizes a run.
    pub fn new(run: &Run) -> Self {
        let summary: SharpnessSummary = run.summary();
        let value = |point: Option<(u64, f64)>| point.map(|(_, value)| value);
        let since = summary.no_number_since.as_ref().map(|(step, _)| *step);
        let no_number = summary.no_number.iter().map(|none| NoNumberRow {
            outcome: none.outcome.name().to_string(),
            count: none.count,
            steps: (none.first_step, none.last_step),
            reason: none.reason.clone(),
        });
        Self {
            run: run.name.clone(),
            last_step: run.measurements.last().map(|m| m.step),
            measurements: summary.measurements,
            bracketed: summary.bracketed,
            first: value(summary.first),
            last: value(summary.last.filter(|_| since.is_none())),
            highest: value(summary.highest),
            past_edge: summary.past_edge,
            capped: summary.capped.map_or(0, |capped| capped.count),
            capped_steps: summary.capped.map(|of| (of.first_step, of.last_step)),
            limiting_task: summary.limiting_task().map(str::to_string),
            evaluations: summary.mean_evaluations(),
            seconds: run.seconds(),
            no_number: no_number.collect(),
            no_number_since: since,
        }
    }

    fn cells(&self) -> [String; 11] {
        let none = || "–".to_string();
        let number = |value: Option<f64>| value.map_or_else(none, number);
        let no_number = self.no_number.iter().map(|none| {
            let steps = match none.steps {
                (first, last) if first == last => format!("step {first}"),
                (first, last) => format!("steps {first} to {last}"),
            };
            let (count, outcome) = (none.count, &none.outcome);
            match &none.reason {
                Some(reason) => format!("{count} {outcome} ({steps}): {}", one_line(reason)),
                None => format!("{count} {outcome} ({steps})"),
            }
        });
        let no_number: Vec<String> = no_number.collect();
        [
            self.run.clone(),
            self.last_step.map_or_else(none, |step| step.to_string()),
            format!("{} of {}", self.bracketed, self.measurements),
            number(self.first),
            match self.no_number_since {
                Some(step) => format!("none since {step}"),
                None => number(self.last),
            },
            number(self.highest),
            match self.capped_steps {
                Some((first, last)) => {
                    let (past_edge, capped) = (self.past_edge, self.capped);
                    format!("{past_edge} ({capped} capped, {first} to {last})")
                }
                None => self.past_edge.to_string(),
            },
            self.limiting_task.clone().unwrap_or_else(none),
            number(self.evaluations),
            decimals(self.seconds, 1),
            match no_number.is_empty() {
                true => none(),
                false => no_number.join(", "),
            },
        ]
    }
}

const HEADER: &str = "run|steps|measured|λ_c first|last|highest|past the edge|limiting|evaluations|seconds|no number";

/// Returns a table with a row per run.
pub fn summary(runs: &[Run]) -> String {
    let header = HEADER.split('|').map(str::to_string).collect();
    let mut rows: Vec<Vec<String>> = vec![header];
    rows.extend(runs.iter().map(|run| Row::new(run).cells().to_vec()));
    let last = rows[0].len() - 1;
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..=last).filter_map(width).collect();
    let mut table = String::new();
    for row in rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            table += &match index {
                0 => format!("{cell}{padding}"),
                index if index == last => format!("  {cell}"),
                _ => format!("  {padding}{cell}"),
            };
        }
        table.push('\n');
    }
    table
}
