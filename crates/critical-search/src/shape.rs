//! Computes the shape of a line: the rise per learning rate h(η) = f(η)/η, its roots and its bend.

use crate::calibration::Calibration;

/// h must have no second root before η_c.
const BENDS: std::ops::RangeInclusive<f64> = -0.9..=5.0;
/// The share of the disagreement of two interpolations that counts as error (`tests/accuracy.rs`).
const DISAGREEMENT: f64 = 0.5;
/// The error by bends, in products of the relative distances to both ends.
const CURVATURE: f64 = 0.2;
/// The stated supplement, from `tests/suite/kinds.rs` of the workspace.
const EXTRA_CURVATURE: f64 = 0.6;
const CURVATURE_WITHOUT_START: f64 = 0.4;
const EXTRA_CURVATURE_WITHOUT_START: f64 = 1.3;

/// The error by bends that three points cannot show: a share of the distance to the nearer end, and its bound.
const UNSEEN: f64 = 0.15;
const MOST_UNSEEN: f64 = 0.0025;
const SURPRISE: f64 = 0.15;

/// The ratios of rise to fall between which polynomials lose their value.
const STEEP: std::ops::RangeInclusive<f64> = 12.0..=60.0;
/// The ratios of the steepness between the ends to that beside them between which a bend becomes a jump.
const JUMPING: std::ops::RangeInclusive<f64> = 2.0..=6.0;
/// The share of the deepest fall at the lower end, above which the loss has not begun to rise there.
const DEEP: f64 = 0.5;
/// The error of a root in an explosion, as a share of the distance to the farther end.
const HUGGING: f64 = 0.25;

/// The share of the interpolation error that the search states but does not reduce, for a first jump.
const UNASKED: f64 = 0.5;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) eta: f64,
    pub(crate) h: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    pub(crate) root: f64,
    /// The relative error that more evaluations would reduce.
    pub(crate) interpolation_error: f64,
    pub(crate) bend_error: f64,
    pub(crate) rounding_error: f64,
    /// f′ at the root, unless the loss explodes.
    pub(crate) steepness: Option<f64>,
    farthest: f64,
    /// The error if the loss is as smooth as it looks.
    pub(crate) smooth_error: f64,
}

impl Crossing {
    pub(crate) fn middle(lower: f64, upper: f64) -> Self {
        let root = lower + 0.5 * (upper - lower);
        Self {
            root,
            interpolation_error: 0.5 * (upper - lower) / root,
            farthest: 0.5 * (upper - lower) / root,
            smooth_error: 0.5 * (upper - lower) / root,
            bend_error: 0.0,
            rounding_error: 0.0,
            steepness: None,
        }
    }

    /// `resolution` is the error of f by rounding, `chord` the slope of h between larger points.
    pub(crate) fn between(
        lower: Point,
        upper: Point,
        others: &[Point],
        chord: f64,
        resolution: f64,
        explosiveness: f64,
    ) -> Self {
        let middle = Self::middle(lower.eta, upper.eta);
        let Some(straight) = secant(lower, upper).filter(|_| upper.h.is_finite()) else {
            return middle;
        };
        let inside = |root: &f64| (lower.eta..=upper.eta).contains(root);
        let mut curved = others.iter().filter_map(|third| {
            let root = quadratic(lower, upper, *third).filter(inside)?;
            Some((root, *third))
        });
        let best = curved.next();
        let root = best.map_or(straight, |(root, _)| root);
        let farthest = (root - lower.eta).max(upper.eta - root) / root;
        let disagreement = match (best, curved.next()) {
            (Some(_), Some((second, _))) => {
                // The straight h errs by more than both, unless it agrees by chance.
                let curved = (root / second).ln().abs();
                curved.max(DISAGREEMENT * DISAGREEMENT * (root / straight).ln().abs())
            }
            (Some(_), None) => DISAGREEMENT * (root / straight).ln().abs(),
            (None, _) => farthest,
        };
        let third = best.map(|(_, third)| third);
        let room = (root - lower.eta) * (upper.eta - root) / (root * root);
        let (curvature, extra_curvature) = if others.iter().any(|other| other.eta == 0.0) {
            (CURVATURE, EXTRA_CURVATURE)
        } else {
            (CURVATURE_WITHOUT_START, EXTRA_CURVATURE_WITHOUT_START)
        };
        let nearest = (root - lower.eta).min(upper.eta - root) / root;
        let unseen = if others.len() == 1 {
            (UNSEEN * nearest).min(MOST_UNSEEN)
        } else {
            0.0
        };
        let is_clear = |end: Point| (end.h * end.eta).abs() > 2.0 * resolution;
        let slope = third
            .filter(|_| is_clear(lower) && is_clear(upper))
            .map_or(chord, |third| {
                let straight = (upper.h - lower.h) / (upper.eta - lower.eta);
                straight
                    + second_difference(lower, upper, third) * (2.0 * root - lower.eta - upper.eta)
            });
        let slope = if slope > 0.0 { slope } else { chord };
        let hugging = HUGGING * explosiveness * farthest;
        let interpolation_error = (disagreement + curvature * room + hugging).min(farthest);
        let nodes = [Some(lower), Some(upper), third];
        let rounding: f64 = nodes
            .iter()
            .flatten()
            // h(0) is a slope, not a difference of losses.
            .filter(|node| node.eta > 0.0)
            .map(|node| resolution / node.eta * weight(*node, &nodes, root).abs())
            .sum();
        Self {
            root,
            interpolation_error,
            bend_error: (extra_curvature * room + unseen).min(farthest - interpolation_error),
            rounding_error: rounding / (slope * root),
            steepness: Some(slope * root),
            farthest,
            smooth_error: interpolation_error,
        }
    }

    pub(crate) fn add_surprise(&mut self, expected: Option<f64>) {
        let moved = expected.map_or(f64::INFINITY, |expected| (self.root / expected).ln().abs());
        self.interpolation_error = (self.interpolation_error + SURPRISE * moved).min(self.farthest);
        self.bend_error = self
            .bend_error
            .min(self.farthest - self.interpolation_error);
    }

    pub(crate) fn asked_error(&self, calibration: &Calibration) -> f64 {
        if calibration.is_wild() {
            self.error(calibration) - self.rounding_error
        } else {
            (calibration.usual_factor() * self.interpolation_error).min(self.farthest)
        }
    }

    pub(crate) fn error(&self, calibration: &Calibration) -> f64 {
        let interpolation = (1.0 + UNASKED) * self.interpolation_error + self.bend_error;
        (calibration.factor() * interpolation).min(self.farthest) + self.rounding_error
    }

    pub(crate) fn stated_error(&self, calibration: &Calibration) -> f64 {
        self.error(calibration)
            .max(calibration.least_share() * self.farthest)
    }
}

/// Is large if the loss rises from near its lowest very much higher than it fell, or very much faster.
pub(crate) fn explosiveness(lower: Point, upper: Point, depth: f64, slope: Option<f64>) -> f64 {
    let (fall, rise) = (-lower.h * lower.eta, upper.h * upper.eta);
    let steep = |ratio: f64| share_of(&STEEP, ratio);
    let deep = fall / (DEEP * depth.max(fall));
    let by_slope = slope.map_or(0.0, |slope| steep(rise / (slope * (upper.eta - lower.eta))));
    (steep(rise / fall) * deep.clamp(0.0, 1.0)).max(by_slope)
}

/// Is large if the loss rises much faster between the ends than beside them, by more than rounding.
pub(crate) fn jumpiness([below, lower, upper, above]: [Point; 4], resolution: f64) -> f64 {
    let rise = |a: Point, b: Point| b.h * b.eta - a.h * a.eta;
    let steepness = |a: Point, b: Point| rise(a, b) / (b.eta - a.eta);
    let across = (rise(lower, upper) - 2.0 * resolution) / (upper.eta - lower.eta);
    let beside = steepness(below, lower).max(steepness(upper, above));
    share_of(&JUMPING, across.max(0.0) / beside.max(f64::MIN_POSITIVE))
}

/// Returns how far a ratio lies in a range, from 0 to 1, in logarithms.
fn share_of(range: &std::ops::RangeInclusive<f64>, ratio: f64) -> f64 {
    let share = (ratio / range.start()).ln() / (range.end() / range.start()).ln();
    share.clamp(0.0, 1.0)
}

/// The weight of h at a node in the polynomial through the nodes (Lagrange).
fn weight(node: Point, nodes: &[Option<Point>], eta: f64) -> f64 {
    let others = nodes.iter().flatten().filter(|other| other.eta != node.eta);
    others
        .map(|other| (eta - other.eta) / (node.eta - other.eta))
        .product()
}

pub(crate) fn sorted(rates: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    rates
}

/// Half the second derivative.
fn second_difference(a: Point, b: Point, c: Point) -> f64 {
    let slope_of = |p: Point, q: Point| (q.h - p.h) / (q.eta - p.eta);
    (slope_of(b, c) - slope_of(a, b)) / (c.eta - a.eta)
}

/// Returns the root of h = h(0)(1 − η/root)(1 + κη) through one point.
pub(crate) fn root_by_shape(seen: Point, start: f64, bend: f64) -> Option<f64> {
    let straightened = seen.h / (1.0 + bend * seen.eta).max(f64::MIN_POSITIVE);
    let share_of_the_way = 1.0 - straightened / start;
    (share_of_the_way > 0.0).then(|| seen.eta / share_of_the_way)
}

/// Returns the root of h = h(0) + kηᵖ through two points far beyond it and far apart.
pub(crate) fn root_by_power(near: Point, far: Point, start: f64) -> Option<f64> {
    let (rise, farther) = (near.h - start, far.h - start);
    let power = (farther / rise).ln() / (far.eta / near.eta).ln();
    let root = near.eta * (-start / rise).powf(1.0 / power);
    (power > 0.0 && root.is_finite()).then_some(root)
}

pub(crate) fn start_of(a: Point, b: Point) -> f64 {
    a.h - a.eta * (b.h - a.h) / (b.eta - a.eta)
}

pub(crate) fn secant(a: Point, b: Point) -> Option<f64> {
    (a.h != b.h).then(|| b.eta - b.h * (b.eta - a.eta) / (b.h - a.h))
}

/// Returns the rising root of the quadratic h(η) through three points.
pub(crate) fn quadratic(a: Point, b: Point, c: Point) -> Option<f64> {
    let bend = second_difference(a, b, c);
    // h = bend η² + slope η + start
    let slope = (b.h - a.h) / (b.eta - a.eta) - bend * (a.eta + b.eta);
    let start = a.h - slope * a.eta - bend * a.eta * a.eta;
    let discriminant = slope * slope - 4.0 * bend * start;
    let steepness = discriminant.sqrt();
    let root = if slope > 0.0 {
        // The other form would subtract nearly equal numbers.
        -2.0 * start / (slope + steepness)
    } else {
        (steepness - slope) / (2.0 * bend)
    };
    root.is_finite().then_some(root)
}

pub(crate) fn inverse_quadratic(a: Point, b: Point, c: Point) -> Option<f64> {
    let term = |p: Point, q: Point, r: Point| p.eta * q.h * r.h / ((p.h - q.h) * (p.h - r.h));
    let root = term(a, b, c) + term(b, c, a) + term(c, a, b);
    root.is_finite().then_some(root)
}

pub(crate) fn learn_bend(
    points: impl Iterator<Item = Point>,
    slope: f64,
    root: f64,
) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for Point { eta, h } in points {
        let u = eta / root;
        // Next to the root and next to 0, h does not show the bend.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn jumpiness_of(f: impl Fn(f64) -> f64) -> f64 {
        let at = |eta: f64| Point {
            eta,
            h: f(eta) / eta,
        };
        jumpiness([0.7, 0.9, 1.1, 1.4].map(at), 0.01)
    }

    #[test]
    fn a_jump_between_the_ends_shows_and_a_bend_or_rounding_does_not() {
        let bend = |eta: f64| eta * (eta.powi(6) - 1.0);
        assert_eq!(jumpiness_of(bend), 0.0);
        let step = |height: f64| move |eta: f64| 0.1 * (eta - 1.0) + height * f64::from(eta > 1.0);
        assert_eq!(jumpiness_of(step(0.5)), 1.0);
        assert_eq!(jumpiness_of(step(0.02)), 0.0);
        let falls = |eta: f64| step(0.5)(eta) - 0.3 * eta;
        assert_eq!(jumpiness_of(falls), 1.0);
    }
}
