use crate::workload::{Workload, train};
use anyhow::Result;
use burn::module::Module;
use serde::Serialize;

/// Multiples of a line's critical learning rate, closer around 1.
const PLACES: [f64; 23] = [
    0.03, 0.06, 0.12, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 1.0, 1.06, 1.12, 1.2, 1.35,
    1.5, 1.75, 2.0, 3.0, 4.0, 8.0,
];

#[derive(Serialize)]
pub struct Line {
    workload: &'static str,
    step: u64,
    slope: f64,
    update_norm: f64,
    base_loss: f64,
    /// (η, f(η)), by rising η.
    points: Vec<(f64, f64)>,
}

pub fn record<M: Module + 'static, B>(workload: Workload<M, B>) -> Result<Vec<Line>> {
    let (name, every) = (workload.name, workload.every);
    let mut lines = Vec::new();
    let mut critical_lr = None;
    train(workload, None, |at| {
        let is_due = at.index.is_multiple_of(every);
        let Some(line) = is_due.then(|| at.line()).flatten() else {
            return;
        };
        let rise = |eta: f64| line.rise(eta);
        critical_lr = crossing(critical_lr.unwrap_or(1e-2), rise);
        if let Some(critical_lr) = critical_lr {
            let points = PLACES.map(|place| (place * critical_lr, rise(place * critical_lr)));
            lines.push(Line {
                workload: name,
                step: at.index,
                slope: line.slope,
                update_norm: line.update_norm,
                base_loss: line.base_loss,
                points: points.to_vec(),
            });
        }
    })?;
    Ok(lines)
}

/// Doubles and bisects, to a part in a thousand.
fn crossing(guess: f64, rise: impl Fn(f64) -> f64) -> Option<f64> {
    let (mut lower, mut upper) = (guess, guess);
    while rise(upper) <= 0.0 {
        (lower, upper) = (upper, 2.0 * upper);
        if upper > 1e6 {
            return None;
        }
    }
    while rise(lower) > 0.0 {
        (lower, upper) = (0.5 * lower, lower);
        if lower < 1e-9 {
            return None;
        }
    }
    while 1.0 - lower / upper > 1e-3 {
        let middle = 0.5 * (lower + upper);
        match rise(middle) > 0.0 {
            true => upper = middle,
            false => lower = middle,
        }
    }
    Some(0.5 * (lower + upper))
}
