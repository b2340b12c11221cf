//! Holds measurements against a dense scan of the loss, and counts the wrong ones.

use burn_sharpness::{Measurement, MeasurementOutcome};
use sharpness_tests::{Kind, Scan, noise_around};
use std::collections::BTreeMap;

/// What is trained.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub kind: Kind,
    pub optimizer: usize,
    pub seed: u64,
    pub steps: u64,
    pub batch_size: usize,
    /// Whether the probe is told the loss of the training step, which makes the slope known.
    pub is_loss_told: bool,
}

/// How the measurements of some cases have ended.
#[derive(Default)]
pub struct Count {
    pub measured: usize,
    pub bracketed: usize,
    pub evaluations: usize,
    /// Brackets of a crossing after an earlier one.
    pub later: usize,
    pub wrong: Vec<String>,
    pub outcomes: BTreeMap<String, usize>,
}

impl Count {
    pub fn add(&mut self, other: Self) {
        self.measured += other.measured;
        self.bracketed += other.bracketed;
        self.evaluations += other.evaluations;
        self.later += other.later;
        self.wrong.extend(other.wrong);
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }

    pub fn check(&mut self, case: Case, measured: &Measurement, rise: impl Fn(f64) -> f64) {
        self.measured += 1;
        self.evaluations += measured.evaluations;
        let outcome = format!("{:?}", measured.outcome);
        *self.outcomes.entry(outcome).or_default() += 1;
        let wrong = match measured.outcome {
            MeasurementOutcome::Bracketed => {
                self.bracketed += 1;
                self.check_bracket(measured, rise)
            }
            MeasurementOutcome::NotDescent => {
                falls(case.kind, measured, rise).map(|fall| format!("it falls: {fall}"))
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.wrong.push(format!(
                "{case:?}, step {}: {wrong}; {measured:?}",
                measured.step
            ));
        }
    }

    fn check_bracket(
        &mut self,
        measured: &Measurement,
        rise: impl Fn(f64) -> f64,
    ) -> Option<String> {
        let (critical_lr, error) = (measured.critical_lr?, measured.critical_lr_error?);
        let scan = Scan::around(critical_lr, rise);
        let Some(distance) = scan.distance(critical_lr) else {
            return Some(format!("the scan finds no crossing: {scan:?}"));
        };
        self.later += usize::from(scan.earlier_rise.is_some());
        (distance > 3.0 * error).then(|| format!("off by {distance}, stated {error}: {scan:?}"))
    }
}

/// Where and how much a loss falls at first that is said not to.
fn falls(kind: Kind, measured: &Measurement, rise: impl Fn(f64) -> f64) -> Option<String> {
    let rate = measured.learning_rate?;
    let rates: Vec<f64> = (-16..8).map(|power| rate * 2f64.powi(power)).collect();
    // Where next to nothing moves, rounding does not show.
    let up_to_now = rates.iter().filter(|other| **other <= rate);
    let noise = up_to_now
        .map(|rate| noise_around(*rate, &rise))
        .fold(0.0, f64::max);
    let loss = measured.base_loss?;
    let units = match kind {
        Kind::HalfLoss(dtype) => 10.0 * dtype.finfo().epsilon,
        _ => 1e-5,
    };
    let visible = (10.0 * noise).max(units * loss);
    let first = rates
        .windows(2)
        .map(|pair| (pair[0], rise(pair[0]), rise(pair[1])));
    let first = first
        .into_iter()
        .find(|(_, change, _)| change.abs() > visible || change.is_nan())?;
    let (rate, change, next) = first;
    (change < 0.0 && next < -visible)
        .then(|| format!("by {:e} at {rate:e}, noise {noise:e}", -change))
}
