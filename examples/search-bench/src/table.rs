use serde::Serialize;
use std::fmt::Write;

/// What one method did on one workload at one tolerance.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: &'static str,
    /// ε.
    pub tolerance: f64,
    /// `guided` or `published`.
    pub method: &'static str,
    /// The measurements that count: all but the first five.
    pub steps: usize,
    /// Mean, median and 95th percentile of the evaluations of a measurement.
    pub mean_evaluations: f64,
    /// See above.
    pub median_evaluations: f64,
    /// See above.
    pub p95_evaluations: f64,
    /// The share of measurements whose bracket overlaps with that of the other method.
    pub overlap: f64,
    /// The measurements without a bracket.
    pub failures: usize,
    /// The seconds of a training step, without any probe.
    pub step_seconds: f64,
    /// The mean seconds of a measurement.
    pub measurement_seconds: f64,
    /// The peak memory of a process that trains and measures at every tenth step.
    pub peak_rss_bytes: Option<u64>,
    /// The peak memory of a process that trains only.
    pub peak_rss_bytes_without_probe: Option<u64>,
}

/// The evaluations of measurements.
pub struct Evaluations(Vec<usize>);

impl Evaluations {
    /// Sorts them.
    pub fn new(mut evaluations: Vec<usize>) -> Self {
        evaluations.sort_unstable();
        Self(evaluations)
    }

    /// Their mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<usize>() as f64 / self.0.len() as f64
    }

    /// The value that this share of them does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .map_or(f64::NAN, |value| *value as f64)
    }
}

/// The rows as a table in Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut table = String::from(
        "| workload | ε | method | steps | evaluations: mean | median | 95% | brackets overlap | without bracket | measurement / training step | peak memory, with / without probe |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let memory = match (row.peak_rss_bytes, row.peak_rss_bytes_without_probe) {
            (Some(with), Some(without)) => format!("{:.3}", with as f64 / without as f64),
            _ => "not measured".to_string(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | 1/{:.0} | {} | {} | {:.2} | {} | {} | {:.1}% | {} | {:.2} | {memory} |",
            row.workload,
            1.0 / row.tolerance,
            row.method,
            row.steps,
            row.mean_evaluations,
            row.median_evaluations,
            row.p95_evaluations,
            100.0 * row.overlap,
            row.failures,
            row.measurement_seconds / row.step_seconds,
        );
    }
    table
}
