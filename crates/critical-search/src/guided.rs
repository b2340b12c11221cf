//! The guided search: which learning rate it evaluates next. [`crate::algorithm`] tells how and why.

use crate::guess::Guess;
use crate::shape::{Point, inverse_quadratic, quadratic, root_by_shape, secant};
use crate::trace::Trace;

/// The part of the tolerance that a closing evaluation uses, so that rounding cannot undo it.
const CLOSING: f64 = 0.98;
/// How far beside an estimate an evaluation is placed, in tolerances, so that the bracket that it
/// and the next one make has the root in its middle.
const ASIDE: f64 = 0.45;
/// The factor by which an evaluation may advance at most.
const LARGEST_ADVANCE: f64 = 16.0;
/// The evaluations that may advance by less than a factor 2 before a crossing is enclosed.
const SMALL_ADVANCES: f64 = 2.0;
/// The evaluations that interpolation may lose to bisection once a crossing is enclosed.
const SLACK: i32 = 1;
/// The next learning rate to evaluate.
pub(crate) fn next(trace: &Trace, guess: &Guess) -> f64 {
    let tolerance = trace.tolerance();
    let closing = 1.0 - CLOSING * tolerance;
    // From one evaluation the root is known to some per cent only, on either side alike.
    let aside = if trace.evaluations().len() < 2 {
        0.0
    } else {
        ASIDE * tolerance
    };
    let estimate = estimate(trace, guess);
    match (trace.lower(), trace.upper()) {
        (None, None) => guess.critical_lr(),
        (Some(lower), None) => {
            let target = estimate.map_or(2.0 * lower, |estimate| {
                (estimate * (1.0 + aside)).max(lower / closing)
            });
            let least = if is_behind(trace, lower) {
                2.0 * lower
            } else {
                lower / closing
            };
            target.clamp(least, LARGEST_ADVANCE * lower)
        }
        (None, Some(upper)) => {
            // Without a slope, h may have no root at all: look for a fall far below at once.
            let has_slope = trace.slope().is_some();
            let retreat = if has_slope || trace.evaluations().len() < 2 {
                0.5
            } else {
                1.0 / LARGEST_ADVANCE
            };
            let target = estimate.map_or(retreat * upper, |estimate| {
                if estimate >= upper * closing {
                    upper * closing
                } else {
                    estimate * (1.0 - aside)
                }
            });
            let most = if is_behind(trace, upper) {
                0.5 * upper
            } else {
                upper * closing
            };
            target.clamp(upper / LARGEST_ADVANCE, most)
        }
        (Some(lower), Some(upper)) => {
            let estimate = estimate.unwrap_or_else(|| (lower * upper).sqrt());
            let target = if estimate >= upper * closing {
                upper * closing
            } else if estimate <= lower / closing {
                lower / closing
            } else if upper - estimate > estimate - lower {
                // The nearer end is below: land above the root, so that it closes next.
                estimate * (1.0 + aside)
            } else {
                estimate * (1.0 - aside)
            };
            project(trace, target, lower, upper)
        }
    }
}

/// Whether the evaluations made have advanced by too little for the worst case that is promised.
fn is_behind(trace: &Trace, edge: f64) -> bool {
    let Some(first) = trace.evaluations().first() else {
        return false;
    };
    let advances = trace.evaluations().len() as f64 - 1.0;
    advances - (edge / first.learning_rate).log2().abs() >= SMALL_ADVANCES
}

/// Moves a target to where bisection of log η still ends in time, whichever side is kept.
fn project(trace: &Trace, target: f64, lower: f64, upper: f64) -> f64 {
    let wanted = -(1.0 - trace.tolerance()).ln();
    let Some((enclosed_at, width)) = enclosure(trace) else {
        return target;
    };
    let bisections = (width / wanted).log2().ceil().max(0.0) as i32;
    let last = enclosed_at as i32 + bisections + SLACK;
    let remaining = last - (trace.evaluations().len() as i32 + 1);
    let reach = wanted * f64::from(remaining.max(0)).exp2();
    let (least, most) = (upper * (-reach).exp(), lower * reach.exp());
    if least <= most {
        target.clamp(least, most)
    } else {
        (lower * upper).sqrt()
    }
}

/// After how many evaluations a crossing was first enclosed, and ln(upper/lower) then.
fn enclosure(trace: &Trace) -> Option<(usize, f64)> {
    let (mut lower, mut upper) = (0.0_f64, f64::INFINITY);
    for (index, evaluation) in trace.evaluations().iter().enumerate() {
        if evaluation.is_rise() {
            upper = upper.min(evaluation.learning_rate);
        } else {
            lower = lower.max(evaluation.learning_rate);
        }
        if lower > 0.0 && upper < f64::INFINITY {
            // A fall beyond a rise encloses nothing that is known here; the caller bisects.
            return (lower < upper).then(|| (index + 1, (upper / lower).ln()));
        }
    }
    None
}

/// The root of h, if the points of h give one between the ends that are known.
fn estimate(trace: &Trace, guess: &Guess) -> Option<f64> {
    let start = trace.slope().map(|slope| Point {
        eta: 0.0,
        h: -slope,
    });
    let mut points: Vec<Point> = trace
        .evaluations()
        .iter()
        // A change that rounding has made says nothing of h, and an infinite loss has no h.
        .filter(|evaluation| evaluation.rise.is_finite())
        .filter(|evaluation| evaluation.rise.abs() > trace.resolution())
        .map(|evaluation| Point {
            eta: evaluation.learning_rate,
            h: evaluation.rise / evaluation.learning_rate,
        })
        .chain(start)
        .collect();
    // The nearest to where the root is sought first, h(0) last.
    let near = match (trace.lower(), trace.upper()) {
        (Some(lower), Some(upper)) => (lower * upper).sqrt(),
        (lower, upper) => lower.or(upper).unwrap_or(f64::NAN),
    };
    let distance = |point: &Point| (point.eta / near).ln().abs();
    points.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let inside = |root: &f64| {
        root.is_finite()
            && *root > trace.lower().unwrap_or(0.0)
            && *root < trace.upper().unwrap_or(f64::INFINITY)
    };
    let candidate = match (points.as_slice(), start) {
        ([seen, _], Some(start)) => root_by_shape(*seen, start, guess.bend()),
        ([a, b, c, ..], _) => quadratic(*a, *b, *c)
            .filter(inside)
            .or_else(|| inverse_quadratic(*a, *b, *c).filter(inside))
            .or_else(|| secant(*a, *b)),
        ([a, b], None) => secant(*a, *b),
        _ => None,
    };
    candidate.filter(inside)
}
