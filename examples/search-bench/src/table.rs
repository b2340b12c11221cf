use serde::Serialize;
use sharpness_report::shown::decimals;
use std::fmt::Write;

/// Evaluations are forward passes along the update; errors are relative to the η_c of a much finer search.
#[derive(Clone, Debug, Serialize)]
pub struct SearchRow {
    pub workload: &'static str,
    pub tolerance: f64,
    pub method: &'static str,
    /// All measurements but the first five.
    pub steps: usize,
    /// The evaluations of the first measurement, which does not count.
    pub first_evaluations: usize,
    pub mean_evaluations: f64,
    pub median_evaluations: f64,
    pub p95_evaluations: f64,
    pub mean_base_evaluations: f64,
    pub rms_error: f64,
    /// 95 of 100 errors do not exceed it.
    pub p95_error: f64,
    pub max_error: f64,
    /// The share of brackets that overlap with the other search's.
    pub overlap: f64,
    pub failures: usize,
    pub step_seconds: f64,
    pub measurement_seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct MemoryRow {
    pub workload: &'static str,
    pub weights_bytes: u64,
    pub peak_rss_bytes: u64,
    pub peak_rss_bytes_without_probe: u64,
    pub step_seconds: f64,
    pub measurement_seconds: f64,
}

impl MemoryRow {
    /// The memory of the probe, in weights.
    fn added(&self) -> f64 {
        let [with, without] = [self.peak_rss_bytes, self.peak_rss_bytes_without_probe];
        (with as f64 - without as f64) / self.weights_bytes as f64
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct PassRow {
    pub workload: &'static str,
    pub device: String,
    pub weights: usize,
    pub direction: &'static str,
    pub evaluations: usize,
    pub pass_seconds: f64,
    pub evaluation_seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Row {
    Search(SearchRow),
    Memory(MemoryRow),
    Pass(PassRow),
}

pub fn markdown(rows: &[Row]) -> String {
    let (mut searches, mut memory, mut passes) = (String::new(), String::new(), String::new());
    for row in rows {
        // Writing to a string cannot fail.
        let _ = match row {
            Row::Search(row) => write_search(&mut searches, row),
            Row::Memory(row) => write_memory(&mut memory, row),
            Row::Pass(row) => write_pass(&mut passes, row),
        };
    }
    let mut tables = Vec::new();
    if !searches.is_empty() {
        tables.push(format!(
            "| workload | method, ε | steps | first | evaluations: mean | median | 95% | L(θ) | error of η_c: rms | 95% | largest | brackets overlap | without bracket | measurement / training step |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n{searches}"
        ));
    }
    if !memory.is_empty() {
        tables.push(format!(
            "| workload | weights, MiB | peak without probe | with | more, in weights | measurement / training step |\n|---|---|---|---|---|---|\n{memory}"
        ));
    }
    if !passes.is_empty() {
        tables.push(format!(
            "| workload | device | weights | direction | evaluations | forward pass, ms | evaluation, ms | ratio |\n|---|---|---|---|---|---|---|---|\n{passes}"
        ));
    }
    tables.join("\n")
}

fn write_search(table: &mut String, row: &SearchRow) -> std::fmt::Result {
    writeln!(
        table,
        "| {} | {}, 1/{:.0} | {} | {} | {:.2} | {} | {} | {:.2} | {}% | {}% | {}% | {:.1}% | {} | {} |",
        row.workload,
        row.method,
        1.0 / row.tolerance,
        row.steps,
        row.first_evaluations,
        row.mean_evaluations,
        row.median_evaluations,
        row.p95_evaluations,
        row.mean_base_evaluations,
        decimals(100.0 * row.rms_error, 2),
        decimals(100.0 * row.p95_error, 2),
        decimals(100.0 * row.max_error, 2),
        100.0 * row.overlap,
        row.failures,
        decimals(row.measurement_seconds / row.step_seconds, 2),
    )
}

fn write_memory(table: &mut String, row: &MemoryRow) -> std::fmt::Result {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(
        table,
        "| {} | {:.0} | {:.0} | {:.0} | {:.2} | {} |",
        row.workload,
        mebibytes(row.weights_bytes),
        mebibytes(row.peak_rss_bytes_without_probe),
        mebibytes(row.peak_rss_bytes),
        row.added(),
        decimals(row.measurement_seconds / row.step_seconds, 2),
    )
}

fn write_pass(table: &mut String, row: &PassRow) -> std::fmt::Result {
    writeln!(
        table,
        "| {} | {} | {:.1}M | {} | {} | {} | {} | {} |",
        row.workload,
        row.device,
        row.weights as f64 / 1e6,
        row.direction,
        row.evaluations,
        decimals(1e3 * row.pass_seconds, 1),
        decimals(1e3 * row.evaluation_seconds, 1),
        decimals(row.evaluation_seconds / row.pass_seconds, 3),
    )
}
