use burn_sharpness::hessian::{CurvatureMeasurement, CurvatureValue};
use burn_sharpness::{Measurement, TRAIN_TASK};
use serde::Serialize;
use sharpness_report::Run;
use sharpness_report::plot::Series;
use sharpness_report::shown::{decimals, number};
use std::fmt::{Display, Formatter};

pub const SUMMARY_FILE: &str = "summary.json";

#[derive(Default)]
pub struct Record(pub Run);

impl Record {
    /// NaN marks a gap without measurements.
    pub fn points(&self, of: impl Fn(&Measurement) -> Option<f64>) -> Vec<(f64, f64)> {
        self.0.curve(TRAIN_TASK, of)
    }

    pub fn curvature(
        &self,
        of: impl Fn(&CurvatureMeasurement) -> Option<&CurvatureValue>,
    ) -> Vec<(f64, f64)> {
        // Fewer measurements have a curvature.
        let measured = self.0.training().filter(|m| m.curvature.is_some());
        let curved = Run {
            measurements: measured.cloned().collect(),
            ..Run::default()
        };
        curved.curve(TRAIN_TASK, |m| of(m.curvature.as_ref()?)?.value)
    }

    pub fn failures(&self) -> Failures {
        let summary = self.0.summary();
        Failures {
            measurements: summary.measurements,
            without_number: summary.measurements - summary.bracketed,
        }
    }

    pub fn costs(&self, forward_seconds: f64) -> Vec<Cost> {
        let cost = |name: &'static str, seconds: Vec<f64>| {
            let count = seconds.len();
            (count > 0).then(|| {
                let mean = seconds.iter().sum::<f64>() / count as f64;
                Cost {
                    name,
                    measurements: count,
                    seconds: mean,
                    forward_passes: mean / forward_seconds,
                }
            })
        };
        let curvature = |of: fn(&CurvatureMeasurement) -> Option<&CurvatureValue>| {
            let measured = self.0.training();
            measured
                .filter_map(|m| Some(of(m.curvature.as_ref()?)?.seconds))
                .collect::<Vec<f64>>()
        };
        // The seconds of a measurement include its curvature.
        let plain = self.0.training().filter(|m| m.curvature.is_none());
        [
            cost("λ_c", plain.map(|m| m.seconds).collect()),
            cost("λ_dir", curvature(|c| Some(&c.directional_sharpness))),
            cost("λ_max", curvature(|c| Some(&c.hessian_sharpness))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Failures {
    pub measurements: u64,
    pub without_number: u64,
}

impl Display for Failures {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self {
            measurements,
            without_number,
        } = self;
        write!(
            f,
            "{without_number} of {measurements} measurements gave no number"
        )
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub name: &'static str,
    pub measurements: usize,
    pub seconds: f64,
    pub forward_passes: f64,
}

pub fn cost_table(costs: &[Cost]) -> String {
    let mut table = format!(
        "{:<7} {:>12} {:>10} {:>15}\n",
        "", "measurements", "seconds", "forward passes"
    );
    for cost in costs {
        table += &format!(
            "{:<7} {:>12} {:>10} {:>15}\n",
            cost.name,
            cost.measurements,
            number(cost.seconds),
            decimals(cost.forward_passes, 1)
        );
    }
    table
}

pub fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_string(),
        points,
        ..Series::default()
    }
}

/// Skips gaps.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_sharpness::MeasurementOutcome;

    #[test]
    fn what_was_not_measured_is_a_gap_and_no_part_of_a_mean() {
        let mut record = Record::default();
        for step in [0, 5, 10, 500, 505] {
            let mut measurement =
                Measurement::new(step, None, TRAIN_TASK, MeasurementOutcome::Bracketed);
            measurement.critical_sharpness = (step != 10).then_some(2.0);
            record.0.extend([measurement]);
        }
        let points = record.points(|m| m.critical_sharpness);
        let gaps = points.iter().filter(|(_, value)| value.is_nan());
        let gaps: Vec<f64> = gaps.map(|(step, _)| *step).collect();
        assert_eq!(gaps, [10.0, 255.0]);
        assert_eq!(mean(points.iter().map(|point| point.1)), Some(2.0));
        let failures = record.failures();
        assert_eq!(failures.to_string(), "1 of 5 measurements gave no number");
    }
}
