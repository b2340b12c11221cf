//! The guided search: which learning rate it evaluates next. [`crate::algorithm`] tells how and why.

use crate::search::Progress;
use crate::{Bracket, Evaluation};

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
/// The bends κη_c that a learned shape may have: h must have no second root before η_c.
const BENDS: std::ops::RangeInclusive<f64> = -0.9..=5.0;

/// The next learning rate to evaluate.
pub(crate) fn next(progress: &Progress) -> f64 {
    let tolerance = progress.tolerance();
    let closing = 1.0 - CLOSING * tolerance;
    // From one evaluation the root is known to some per cent only, on either side alike.
    let aside = if progress.trace().len() < 2 {
        0.0
    } else {
        ASIDE * tolerance
    };
    let estimate = estimate(progress);
    match (progress.lower(), progress.upper()) {
        (None, None) => progress.guess(),
        (Some(lower), None) => {
            let target = estimate.map_or(2.0 * lower, |estimate| {
                (estimate * (1.0 + aside)).max(lower / closing)
            });
            let least = if is_behind(progress, lower) {
                2.0 * lower
            } else {
                lower / closing
            };
            target.clamp(least, LARGEST_ADVANCE * lower)
        }
        (None, Some(upper)) => {
            // Without a slope, h may have no root at all: look for a fall far below at once.
            let has_slope = progress.slope().is_some();
            let retreat = if has_slope || progress.trace().len() < 2 {
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
            let most = if is_behind(progress, upper) {
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
            project(progress, target, lower, upper)
        }
    }
}

/// Whether the evaluations made have advanced by too little for the worst case that is promised.
fn is_behind(progress: &Progress, edge: f64) -> bool {
    let Some(first) = progress.trace().first() else {
        return false;
    };
    let advances = progress.trace().len() as f64 - 1.0;
    advances - (edge / first.learning_rate).log2().abs() >= SMALL_ADVANCES
}

/// Moves a target to where bisection of log η still ends in time, whichever side is kept.
fn project(progress: &Progress, target: f64, lower: f64, upper: f64) -> f64 {
    let wanted = -(1.0 - progress.tolerance()).ln();
    let Some((enclosed_at, width)) = enclosure(progress) else {
        return target;
    };
    let bisections = (width / wanted).log2().ceil().max(0.0) as i32;
    let last = enclosed_at as i32 + bisections + SLACK;
    let remaining = last - (progress.trace().len() as i32 + 1);
    let reach = wanted * f64::from(remaining.max(0)).exp2();
    let (least, most) = (upper * (-reach).exp(), lower * reach.exp());
    if least <= most {
        target.clamp(least, most)
    } else {
        (lower * upper).sqrt()
    }
}

/// After how many evaluations a crossing was first enclosed, and ln(upper/lower) then.
fn enclosure(progress: &Progress) -> Option<(usize, f64)> {
    let (mut lower, mut upper) = (0.0_f64, f64::INFINITY);
    for (index, evaluation) in progress.trace().iter().enumerate() {
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

/// A point of h.
#[derive(Clone, Copy)]
struct Point {
    eta: f64,
    h: f64,
}

/// The root of h, if the points of h give one between the ends that are known.
fn estimate(progress: &Progress) -> Option<f64> {
    let start = progress.slope().map(|slope| Point {
        eta: 0.0,
        h: -slope,
    });
    let mut points: Vec<Point> = progress
        .trace()
        .iter()
        // A change that rounding has made says nothing of h, and an infinite loss has no h.
        .filter(|evaluation| evaluation.rise.is_finite())
        .filter(|evaluation| evaluation.rise.abs() > progress.resolution())
        .map(|evaluation| Point {
            eta: evaluation.learning_rate,
            h: evaluation.rise / evaluation.learning_rate,
        })
        .chain(start)
        .collect();
    // The nearest to where the root is sought first, h(0) last.
    let near = match (progress.lower(), progress.upper()) {
        (Some(lower), Some(upper)) => (lower * upper).sqrt(),
        (lower, upper) => lower.or(upper).unwrap_or(f64::NAN),
    };
    let distance = |point: &Point| (point.eta / near).ln().abs();
    points.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let inside = |root: &f64| {
        root.is_finite()
            && *root > progress.lower().unwrap_or(0.0)
            && *root < progress.upper().unwrap_or(f64::INFINITY)
    };
    let candidate = match (points.as_slice(), start) {
        ([seen, _], Some(start)) => root_by_shape(*seen, start, progress.bend()),
        ([a, b, c, ..], _) => quadratic(*a, *b, *c)
            .filter(inside)
            .or_else(|| inverse_quadratic(*a, *b, *c).filter(inside))
            .or_else(|| secant(*a, *b)),
        ([a, b], None) => secant(*a, *b),
        _ => None,
    };
    candidate.filter(inside)
}

/// The root of h = h(0)(1 − η/root)(1 + κη) that passes through one point.
fn root_by_shape(seen: Point, start: Point, bend: f64) -> Option<f64> {
    let straightened = seen.h / (1.0 + bend * seen.eta).max(f64::MIN_POSITIVE);
    let share_of_the_way = 1.0 - straightened / start.h;
    (share_of_the_way > 0.0).then(|| seen.eta / share_of_the_way)
}

/// h(0) on the line through h at two evaluations.
pub(crate) fn start_of(a: &Evaluation, b: &Evaluation) -> f64 {
    let h = |seen: &Evaluation| seen.rise / seen.learning_rate;
    h(a) - a.learning_rate * (h(b) - h(a)) / (b.learning_rate - a.learning_rate)
}

/// The root of the line through two points.
fn secant(a: Point, b: Point) -> Option<f64> {
    (a.h != b.h).then(|| b.eta - b.h * (b.eta - a.eta) / (b.h - a.h))
}

/// The root at which the quadratic h(η) through three points rises.
fn quadratic(a: Point, b: Point, c: Point) -> Option<f64> {
    let slope_of = |p: Point, q: Point| (q.h - p.h) / (q.eta - p.eta);
    let bend = (slope_of(b, c) - slope_of(a, b)) / (c.eta - a.eta);
    // h = bend η² + slope η + start
    let slope = slope_of(a, b) - bend * (a.eta + b.eta);
    let start = a.h - slope * a.eta - bend * a.eta * a.eta;
    let discriminant = slope * slope - 4.0 * bend * start;
    // Where it rises, 2 bend η + slope is the positive root of the discriminant.
    let steepness = discriminant.sqrt();
    let root = if slope > 0.0 {
        // The other form would subtract nearly equal numbers.
        -2.0 * start / (slope + steepness)
    } else {
        (steepness - slope) / (2.0 * bend)
    };
    root.is_finite().then_some(root)
}

/// The value at h = 0 of the quadratic η(h) through three points.
fn inverse_quadratic(a: Point, b: Point, c: Point) -> Option<f64> {
    let term = |p: Point, q: Point, r: Point| p.eta * q.h * r.h / ((p.h - q.h) * (p.h - r.h));
    let root = term(a, b, c) + term(b, c, a) + term(c, a, b);
    root.is_finite().then_some(root)
}

/// The root of h between the ends of a bracket: nearer to η_c than its middle. The middle, if the
/// trace does not have the ends or h is infinite at one.
pub(crate) fn crossing(trace: &[Evaluation], bracket: &Bracket) -> f64 {
    let point_at = |eta: f64| {
        let seen = trace.iter().find(|seen| seen.learning_rate == eta);
        seen.map(|seen| Point {
            eta,
            h: seen.rise / eta,
        })
    };
    let root = match (point_at(bracket.lower()), point_at(bracket.upper())) {
        (Some(lower), Some(upper)) => secant(lower, upper),
        _ => None,
    };
    root.filter(|root| *root >= bracket.lower() && *root <= bracket.upper())
        .unwrap_or(bracket.critical_lr())
}

/// The bend κ that fits the evaluations of a line best, given where its root turned out to be.
pub(crate) fn learn_bend(trace: &[Evaluation], slope: f64, root: f64) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for evaluation in trace {
        let u = evaluation.learning_rate / root;
        let h = evaluation.rise / evaluation.learning_rate;
        // Next to the root and next to 0, the bend has no influence on h.
        let weight = (1.0 - u).abs();
        if weight > 1e-3 && u > 1e-6 && h.is_finite() {
            sum += weight * (-h / slope / (1.0 - u) - 1.0) / u;
            weights += weight;
        }
    }
    let bend = sum / weights;
    bend.is_finite()
        .then(|| bend.clamp(*BENDS.start(), *BENDS.end()) / root)
}
