use burn_sharpness::Measurement;
use burn_sharpness::hessian::{CurvatureMeasurement, CurvatureValue};
use serde::Serialize;
use sharpness_report::plot::Series;
use std::sync::Arc;

/// The file of what a run comes to.
pub const SUMMARY_FILE: &str = "summary.json";

/// The measurements of a run.
#[derive(Default)]
pub struct Record(pub Vec<Arc<Measurement>>);

impl Record {
    /// (step, value) of a quantity, where it was measured.
    pub fn points(&self, of: impl Fn(&Measurement) -> Option<f64>) -> Vec<(f64, f64)> {
        let measured = self.0.iter();
        measured
            .filter_map(|m| Some((m.step as f64, of(m)?)))
            .collect()
    }

    /// (step, value) of a curvature.
    pub fn curvature(
        &self,
        of: impl Fn(&CurvatureMeasurement) -> Option<&CurvatureValue>,
    ) -> Vec<(f64, f64)> {
        self.points(|m| of(m.curvature.as_ref()?)?.value)
    }

    /// What each measurement cost, on average: forward passes or their equivalent, and seconds.
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
            let measured = self.0.iter();
            measured
                .filter_map(|m| Some(of(m.curvature.as_ref()?)?.seconds))
                .collect::<Vec<f64>>()
        };
        // The seconds of a measurement contain those of its curvature.
        let plain = self.0.iter().filter(|m| m.curvature.is_none());
        [
            cost("λc", plain.map(|m| m.seconds).collect()),
            cost("λ_dir", curvature(|c| Some(&c.directional_sharpness))),
            cost("λ_max", curvature(|c| Some(&c.hessian_sharpness))),
            cost("λ_pre", curvature(|c| c.preconditioned_sharpness.as_ref())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What a measurement costs on average.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// What is measured.
    pub name: &'static str,
    /// How often it was.
    pub measurements: usize,
    /// Its seconds.
    pub seconds: f64,
    /// The same in forward passes of the training batch.
    pub forward_passes: f64,
}

/// The costs as a table.
pub fn cost_table(costs: &[Cost]) -> String {
    let mut table = format!(
        "{:<7} {:>12} {:>10} {:>15}\n",
        "", "measurements", "seconds", "forward passes"
    );
    for cost in costs {
        table += &format!(
            "{:<7} {:>12} {:>10.4} {:>15.1}\n",
            cost.name, cost.measurements, cost.seconds, cost.forward_passes
        );
    }
    table
}

/// A curve of a plot.
pub fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_string(),
        points,
        ..Series::default()
    }
}

/// The mean of values, if there are any.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
