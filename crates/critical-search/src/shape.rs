//! The shape of a line: h(η) = f(η)/η, its interpolation, its roots and its bend.

use crate::{Bracket, Evaluation};

/// The bends κη_c that a learned shape may have: h must have no second root before η_c.
const BENDS: std::ops::RangeInclusive<f64> = -0.9..=5.0;

/// A point of h.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    pub(crate) eta: f64,
    pub(crate) h: f64,
}

/// The root of h = h(0)(1 − η/root)(1 + κη) that passes through one point.
pub(crate) fn root_by_shape(seen: Point, start: Point, bend: f64) -> Option<f64> {
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
pub(crate) fn secant(a: Point, b: Point) -> Option<f64> {
    (a.h != b.h).then(|| b.eta - b.h * (b.eta - a.eta) / (b.h - a.h))
}

/// The root at which the quadratic h(η) through three points rises.
pub(crate) fn quadratic(a: Point, b: Point, c: Point) -> Option<f64> {
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
pub(crate) fn inverse_quadratic(a: Point, b: Point, c: Point) -> Option<f64> {
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
