use burn_sharpness::{Measurement, MeasurementOutcome};
use sharpness_report::shown::decimals;
use std::sync::Arc;

/// The tasks, and the training batch itself as `mix`.
pub const TASKS: [&str; 3] = ["pretrain", "target", "mix"];

pub struct Point {
    pub ratio: f64,
    /// By task, one a batch.
    pub tasks: [Vec<Arc<Measurement>>; 3],
}

/// Returns the critical sharpness: infinite if the update hurts the task at any rate, 0 if the task gains without
/// limit, `None` if unknown.
pub fn extended(measurement: &Measurement) -> Option<f64> {
    match measurement.outcome {
        MeasurementOutcome::NotDescent => Some(f64::INFINITY),
        MeasurementOutcome::NoIncrease => Some(0.0),
        _ => measurement.critical_sharpness,
    }
}

/// Returns a quantile by the nearest rank; values may be infinite.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((share * last as f64).round() as usize).copied()
}

impl Point {
    pub fn sharpness(&self, task: usize) -> Vec<f64> {
        let measurements = self.tasks[task].iter();
        measurements.filter_map(|m| extended(m)).collect()
    }

    pub fn median(&self, task: usize) -> Option<f64> {
        quantile(&self.sharpness(task), 0.5)
    }

    /// Infinite if the task allows any rate.
    pub fn largest_rate(&self, task: usize) -> Option<f64> {
        self.median(task).map(|sharpness| 2.0 / sharpness)
    }

    /// Returns the largest rate that both tasks allow, and the stricter task.
    pub fn limit(&self) -> Option<(f64, &'static str)> {
        let rates = (0..2).filter_map(|task| Some((self.largest_rate(task)?, TASKS[task])));
        rates.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    pub fn line(&self) -> String {
        let cell = |task: usize| {
            let values = self.sharpness(task);
            let show = |share| quantile(&values, share).map_or("–".to_string(), show_sharpness);
            format!("{:>10} ({} … {})", show(0.5), show(0.25), show(0.75))
        };
        let limit = self.limit().map_or("–".to_string(), |(rate, task)| {
            format!("{} ({task})", show_rate(rate))
        });
        let (ratio, [a, b]) = (self.ratio, [0, 1].map(cell));
        format!("{ratio:>5.2}  {a:<32}  {b:<32}  {limit}")
    }
}

fn show_sharpness(value: f64) -> String {
    match value {
        0.0 => "gains".to_string(),
        value if value.is_infinite() => "hurt".to_string(),
        value => decimals(value, 1),
    }
}

pub fn show_rate(value: f64) -> String {
    match value {
        0.0 => "none".to_string(),
        value if value.is_infinite() => "any".to_string(),
        value => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = [3.0, 1.0, f64::INFINITY, 2.0];
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(f64::INFINITY));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
