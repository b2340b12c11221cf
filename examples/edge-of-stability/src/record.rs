use burn_sharpness::Quantity;
use serde::Serialize;
use sharpness_report::Run;
use sharpness_report::shown::{decimals, number};
use std::fmt::{Display, Formatter};

pub const SUMMARY_FILE: &str = "summary.json";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Failures {
    measurements: u64,
    without_number: u64,
}

impl Failures {
    pub fn of(run: &Run) -> Self {
        let summary = run.summary();
        Self {
            measurements: summary.measurements,
            without_number: summary.measurements - summary.bracketed,
        }
    }
}

impl Display for Failures {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (none, all) = (self.without_number, self.measurements);
        write!(f, "{none} of {all} measurements gave no number")
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub name: &'static str,
    pub measurements: usize,
    pub seconds: f64,
    pub forward_passes: f64,
}

/// Returns the cost of λ_c, λ_dir and λ_max, if measured.
pub fn costs(run: &Run, forward_seconds: f64) -> Vec<Cost> {
    let cost = |name: &'static str, seconds: Vec<f64>| {
        let mean = mean(seconds.iter().copied())?;
        Some(Cost {
            name,
            measurements: seconds.len(),
            seconds: mean,
            forward_passes: mean / forward_seconds,
        })
    };
    let curvature = |quantity: Quantity| {
        let measured = run.training().filter_map(|m| quantity.curvature(m));
        measured.map(|value| value.seconds).collect()
    };
    // The seconds of a measurement include its curvature.
    let plain = run.training().filter(|m| m.curvature.is_none());
    let costs = [
        cost("λ_c", plain.map(|m| m.seconds).collect()),
        cost("λ_dir", curvature(Quantity::DirectionalSharpness)),
        cost("λ_max", curvature(Quantity::HessianSharpness)),
    ];
    costs.into_iter().flatten().collect()
}

pub fn cost_table(costs: &[Cost]) -> String {
    let mut table = format!(
        "{:<7} {:>12} {:>10} {:>15}\n",
        "", "measurements", "seconds", "forward passes"
    );
    for cost in costs {
        let (name, measurements) = (cost.name, cost.measurements);
        let (seconds, passes) = (number(cost.seconds), decimals(cost.forward_passes, 1));
        table += &format!("{name:<7} {measurements:>12} {seconds:>10} {passes:>15}\n");
    }
    table
}

/// Skips gaps.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_sharpness::{Measurement, MeasurementOutcome, TRAIN_TASK};

    #[test]
    fn what_was_not_measured_is_no_part_of_a_mean() {
        let mut run = Run::default();
        for step in [0, 5, 10, 500, 505] {
            let mut measurement =
                Measurement::new(step, None, TRAIN_TASK, MeasurementOutcome::Bracketed);
            measurement.critical_sharpness = (step != 10).then_some(2.0);
            run.extend([measurement]);
        }
        let points = run.curve(TRAIN_TASK, Quantity::CriticalSharpness);
        assert_eq!(mean(points.iter().map(|point| point.1)), Some(2.0));
        let said = Failures::of(&run).to_string();
        assert_eq!(said, "1 of 5 measurements gave no number");
    }
}
