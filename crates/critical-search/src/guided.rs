//! Chooses the learning rates of the guided search; see [`crate::algorithm`].

use crate::guess::Guess;
use crate::shape::{Point, inverse_quadratic, quadratic, root_by_power, root_by_shape, secant};
use crate::trace::Trace;

/// A margin for floating-point rounding.
const CLOSING: f64 = 0.98;
/// The offset from an estimate, in tolerances, that centres the root between this evaluation and the next.
const ASIDE: f64 = 0.45;
/// The margin beside an estimate, in shares of the extrapolated distance and of a bracket's reach
/// (`tests/accuracy.rs`).
const PER_DISTANCE: f64 = 0.2;
const PER_REACH: f64 = 0.15;
/// Further out the loss may explode, and a bracket with such an end takes long to narrow.
const LARGEST_ADVANCE: f64 = 8.0;
const LARGEST_RETREAT: f64 = 16.0;
const FAR_APART: f64 = 5.0;
const UNGUIDED: f64 = 4.0;
/// The advances below a factor 2 before a crossing is enclosed.
const SMALL_ADVANCES: usize = 2;
/// While estimates converge, the next advance is at most this share of the last, in ln η.
const NEARER: f64 = 0.5;
const LEAST_ADVANCE: f64 = 0.1;
/// The evaluations that interpolation may lose to bisection.
const SLACK: i32 = 1;

pub(crate) fn next(trace: &Trace, guess: &Guess, estimate: Option<f64>) -> f64 {
    match (trace.lower(), trace.upper()) {
        (Some(lower), None) => above(trace, guess, lower, estimate),
        (None, Some(upper)) => below(trace, upper, estimate),
        (Some(lower), Some(upper)) => between(trace, lower, upper, estimate),
        (None, None) => f64::NAN,
    }
}

fn reach(trace: &Trace) -> f64 {
    -(1.0 - CLOSING * trace.tolerance()).ln()
}

fn margin(trace: &Trace, distance: f64) -> f64 {
    let reach = reach(trace);
    let wanted = (PER_DISTANCE * distance + PER_REACH * reach).max(trace.accuracy());
    if distance < reach {
        return wanted.min(reach - distance);
    }
    // The next evaluation closes the bracket. A single evaluation errs by a few per cent, on either side alike.
    if trace.evaluations().len() < 2 {
        0.0
    } else {
        ASIDE * reach
    }
}

fn above(trace: &Trace, guess: &Guess, lower: f64, estimate: Option<f64>) -> f64 {
    let target = estimate.map_or(UNGUIDED * lower, |root| {
        root * margin(trace, (root / lower).ln()).exp()
    });
    let mut least = least_advance(trace);
    if guess.is_measured() && converges(trace, lower, estimate) {
        least = least.min(2.0);
    }
    target.clamp(least * lower, LARGEST_ADVANCE * lower)
}

fn below(trace: &Trace, upper: f64, estimate: Option<f64>) -> f64 {
    // Without a slope, h may have no root: look far below for a fall.
    let retreat = if trace.line.slope().is_some() || trace.evaluations().len() < 2 {
        2.0
    } else {
        LARGEST_RETREAT
    };
    let target = estimate.map_or(upper / retreat, |root| {
        root / margin(trace, (upper / root).ln()).exp()
    });
    // A retreat of a factor of 2 is likelier to close the bracket immediately.
    let is_first = trace.evaluations().len() == SMALL_ADVANCES + 1;
    let least = if is_first { 2.0 } else { least_advance(trace) };
    target.clamp(upper / LARGEST_RETREAT, upper / least)
}

fn converges(trace: &Trace, lower: f64, estimate: Option<f64>) -> bool {
    let falls = trace.rates().filter(|rate| *rate < lower);
    let before = falls.fold(0.0, f64::max);
    estimate
        .is_some_and(|root| before > 0.0 && (root / lower).ln() < NEARER * (lower / before).ln())
}

/// Grows with each missed estimate.
fn least_advance(trace: &Trace) -> f64 {
    match trace.evaluations().len() {
        0..=SMALL_ADVANCES => 1.0 + LEAST_ADVANCE * trace.tolerance(),
        evaluations => 2f64
            .powi((evaluations + 1 - SMALL_ADVANCES) as i32)
            .min(LARGEST_ADVANCE),
    }
}

fn between(trace: &Trace, lower: f64, upper: f64, estimate: Option<f64>) -> f64 {
    let estimate = estimate.unwrap_or_else(|| (lower * upper).sqrt());
    let closing = 1.0 - CLOSING * trace.tolerance();
    let aside = ASIDE * trace.tolerance();
    let target = if 1.0 - lower / upper <= trace.tolerance() {
        estimate
    } else if estimate >= upper * closing {
        let m = margin(trace, (upper / estimate).ln()).exp();
        (estimate / m).max(upper * closing)
    } else if estimate <= lower / closing {
        let m = margin(trace, (estimate / lower).ln()).exp();
        (estimate * m).min(lower / closing)
    } else if upper - estimate > estimate - lower {
        // Land beyond the root, so that the nearer end closes next.
        estimate * (1.0 + aside)
    } else {
        estimate * (1.0 - aside)
    };
    project(trace, target, lower, upper)
}

/// Moves a target so that bisection of log η still ends in time on either side.
fn project(trace: &Trace, target: f64, lower: f64, upper: f64) -> f64 {
    let wanted = -(1.0 - trace.sure_width()).ln();
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

/// Returns the number of evaluations until a crossing is enclosed, and its ln(upper/lower).
fn enclosure(trace: &Trace) -> Option<(usize, f64)> {
    let (mut lower, mut upper) = (0.0_f64, f64::INFINITY);
    for (index, evaluation) in trace.evaluations().iter().enumerate() {
        if evaluation.is_rise() {
            upper = upper.min(evaluation.learning_rate);
        } else {
            lower = lower.max(evaluation.learning_rate);
        }
        if lower > 0.0 && upper < f64::INFINITY {
            return (lower < upper).then(|| (index + 1, (upper / lower).ln()));
        }
    }
    None
}

fn far_apart(a: &Point, b: &Point) -> bool {
    let (near, far) = if a.eta < b.eta { (a, b) } else { (b, a) };
    near.eta > 0.0 && far.eta >= FAR_APART * near.eta && far.h > 0.0 && far.h.is_finite()
}

/// The explosiveness beyond which the estimate is the middle of the bracket, if its ends are nearer than `NEAR`.
const EXPLOSIVE: f64 = 0.3;
const NEAR: f64 = 2.0;

pub(crate) fn estimate(trace: &Trace, guess: &Guess) -> Option<f64> {
    // The nearest to the root first, h(0) last.
    let near = match (trace.lower(), trace.upper()) {
        (Some(lower), Some(upper)) => (lower * upper).sqrt(),
        (lower, upper) => lower.or(upper).unwrap_or(f64::NAN),
    };
    let points = trace.points_nearest_to(near);
    let inside = |root: &f64| {
        root.is_finite()
            && *root > trace.lower().unwrap_or(0.0)
            && *root < trace.upper().unwrap_or(f64::INFINITY)
    };
    let slope = || guess.slope(&trace.line).filter(|slope| *slope > 0.0);
    if let (Some(fall), Some(rise)) = (trace.last_fall(), trace.first_rise())
        && rise.learning_rate < NEAR * fall.learning_rate
        && trace.explosiveness(fall, rise) > EXPLOSIVE
    {
        return Some((fall.learning_rate * rise.learning_rate).sqrt()).filter(inside);
    }
    let candidate = match points.as_slice() {
        [a, b, ..] if far_apart(a, b) => {
            let (near, far) = if a.eta < b.eta { (a, b) } else { (b, a) };
            slope().and_then(|slope| root_by_power(*near, *far, -slope))
        }
        [a, b, c, ..] => quadratic(*a, *b, *c)
            .filter(inside)
            .or_else(|| inverse_quadratic(*a, *b, *c).filter(inside))
            .or_else(|| secant(*a, *b)),
        [seen, Point { eta: 0.0, .. }] | [seen] => {
            slope().and_then(|slope| root_by_shape(*seen, -slope, guess.bend(&trace.line)))
        }
        [a, b] => secant(*a, *b),
        [] => None,
    };
    candidate.filter(inside)
}
