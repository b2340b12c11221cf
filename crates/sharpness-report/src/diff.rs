//! Finds the first step that differs between two runs.

use crate::{Measurement, Run, TRAIN_TASK};
use sharpness_record::shown::one_line;
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

/// Losses are sums in single precision.
const LOSS_ERROR: f64 = 1e-5;
const RATE_ERROR: f64 = 1e-9;

/// A value with its relative error, or the reason for its absence.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A value in value·(1 ± error).
    Known {
        /// The value.
        value: f64,
        /// Its relative error.
        error: f64,
    },
    /// The reason for its absence.
    None(String),
}

impl Value {
    fn exact_to(error: f64, value: Option<f64>) -> Self {
        match value {
            Some(value) => Self::Known { value, error },
            None => Self::None("none".to_string()),
        }
    }

    /// Reads λ_c with three times its stated error, at most its bracket, or with half its bracket.
    fn of_sharpness(measurement: &Measurement) -> Self {
        let Some(value) = measurement.critical_sharpness else {
            let reason = measurement.no_number().unwrap_or_default();
            return Self::None(format!("none ({reason})"));
        };
        let bracket = || {
            let width = measurement.upper? - measurement.lower?;
            Some(width / measurement.critical_lr?)
        };
        let error = match (measurement.critical_lr_error, bracket()) {
            (Some(stated), Some(width)) => (DEVIATIONS * stated).min(width),
            (Some(stated), None) => DEVIATIONS * stated,
            (None, width) => 0.5 * width.unwrap_or(0.0),
        };
        Self::Known { value, error }
    }

    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known { value: a, error: e }, Self::Known { value: b, error: f }) => {
                (a - b).abs() <= a.abs() * e + b.abs() * f
            }
            (Self::None(_), Self::None(_)) => true,
            _ => false,
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known { value, error } => {
                match *value == 0.0 || (1e-3..1e9).contains(&value.abs()) {
                    true => write!(f, "{value:.6}")?,
                    false => write!(f, "{value:.6e}")?,
                }
                match *error > 1e-4 {
                    true => write!(f, " (±{:.1}%)", 100.0 * error),
                    false => Ok(()),
                }
            }
            Self::None(reason) => f.write_str(&one_line(reason)),
        }
    }
}

/// Compares a quantity of two runs at the steps that both measured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// The quantity, such as `λ_c of code`.
    pub quantity: String,
    /// The number of common steps.
    pub common: usize,
    /// The first step with a difference beyond the errors, and both values.
    pub parts: Option<(u64, Value, Value)>,
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (quantity, common) = (&self.quantity, self.common);
        match &self.parts {
            Some((step, a, b)) => write!(f, "{quantity}: parts at step {step}: {a} and {b}"),
            None if common == 0 => write!(f, "{quantity}: no step was measured in both"),
            None => write!(f, "{quantity}: the same at all {common} common steps"),
        }
    }
}

const DEVIATIONS: f64 = 3.0;

type Read = fn(&Measurement) -> Value;

/// Compares λ_c, loss and η of the training, and λ_c of each common task, in this order.
///
/// Values may differ by three times the stated error of λ_c or its bracket, by 10⁻⁵ for the loss, and by 10⁻⁹ for η.
pub fn diff(a: &Run, b: &Run) -> Vec<Comparison> {
    let training: [(&str, Read); 3] = [
        ("λ_c", Value::of_sharpness),
        ("loss", |m| Value::exact_to(LOSS_ERROR, m.base_loss)),
        ("η", |m| Value::exact_to(RATE_ERROR, m.learning_rate)),
    ];
    let training = training.map(|(name, of)| compare((a, b), TRAIN_TASK, name, of));
    let others = b.tasks();
    let tasks = a.tasks().into_iter().filter(|task| others.contains(task));
    let tasks = tasks.map(|task| {
        let name = format!("λ_c of {task}");
        compare((a, b), task, &name, Value::of_sharpness)
    });
    training.into_iter().chain(tasks).collect()
}

fn compare((a, b): (&Run, &Run), task: &str, quantity: &str, of: Read) -> Comparison {
    let in_b: BTreeMap<u64, &Measurement> = b.of_task(task).map(|m| (m.step, m)).collect();
    let both = a
        .of_task(task)
        .filter_map(|m| Some((m.step, of(m), of(in_b.get(&m.step)?))));
    let both: Vec<(u64, Value, Value)> = both.collect();
    Comparison {
        quantity: quantity.to_string(),
        common: both.len(),
        parts: both.into_iter().find(|(_, a, b)| !a.agrees(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharpness_record::MeasurementOutcome;

    fn run(sharpness: impl Fn(u64) -> Option<f64>) -> Run {
        let mut run = Run::default();
        for step in [0, 10, 20, 30] {
            let outcome = MeasurementOutcome::NonFiniteBaseLoss;
            let mut measurement = Measurement::new(step, None, TRAIN_TASK, outcome);
            measurement.learning_rate = Some(0.1 + 1e-12 * step as f64);
            measurement.base_loss = Some(3.0);
            if let Some(sharpness) = sharpness(step) {
                let critical = 2.0 / sharpness;
                measurement.outcome = MeasurementOutcome::Bracketed;
                measurement.critical_sharpness = Some(sharpness);
                measurement.critical_lr = Some(critical);
                measurement.lower = Some(0.98 * critical);
                measurement.upper = Some(1.02 * critical);
            }
            run.extend([measurement]);
        }
        run
    }

    fn lines(a: &Run, b: &Run) -> Vec<String> {
        diff(a, b).iter().map(Comparison::to_string).collect()
    }

    #[test]
    fn runs_part_where_their_brackets_do() {
        let a = run(|_| Some(100.0));
        let b = run(|step| Some(100.0 + 0.3 * step as f64));
        assert_eq!(
            lines(&a, &b),
            [
                "λ_c: parts at step 20: 100.000000 (±2.0%) and 106.000000 (±2.0%)",
                "loss: the same at all 4 common steps",
                "η: the same at all 4 common steps",
            ]
        );
        assert!(lines(&a, &a).iter().all(|line| line.contains("the same")));
        let [a, b] = [a, b].map(|mut run| {
            for measurement in &mut run.measurements {
                measurement.critical_lr_error = Some(0.001);
            }
            run
        });
        assert!(lines(&a, &b)[0].contains("parts at step 10"));
    }

    #[test]
    fn a_number_and_none_differ_and_two_nones_do_not() {
        let a = run(|_| Some(100.0));
        let b = run(|step| (step < 20).then_some(100.0));
        let part = &lines(&a, &b)[0];
        assert_eq!(
            part,
            "λ_c: parts at step 20: 100.000000 (±2.0%) and none (the loss is not finite)"
        );
        assert!(lines(&b, &b)[0].contains("the same"));
        assert!(lines(&a, &Run::default())[0].contains("no step was measured in both"));
    }
}
