//! What a measurement knows besides the search: norms, an angle, the agreement of the step with its linear prediction, and
//! the thresholds of the optimizer that the user names.

use super::along::{Along, End, finite};
use super::subject::Subject;
use crate::config::Thresholds;
use crate::direction::UpdateDirection;
use crate::hessian::{adam_threshold, heavy_ball_small_batch_threshold, heavy_ball_threshold};
use crate::params::{Sums, for_each, widened};
use burn::module::Module;
use critical_search::SearchResult;
use sharpness_record::{Measurement, SlopeSource};

/// The error of an agreement, as a part of 1 or of itself if that is more, beyond which it is not known.
const RESOLVED: f64 = 0.1;
/// What an interpolation may err by, as h bends in ways that its points do not show, in products of the relative distances to
/// both neighbours and the larger h of the two. By `tests/suite/kinds.rs` of the workspace: of a thousand agreements, 7 are off
/// by more than is stated.
const BEND: f64 = 0.4;
/// What rounding does to a squared norm, relative to it.
const ROUNDING: f64 = 1e-5;
/// Two learning rates that are so close to each other are the same.
const SAME: f64 = 1e-9;

/// What weights, gradient and direction tell. A part that is not known is none.
#[derive(Default)]
pub(super) struct Panel {
    gradient_norm: Option<f64>,
    weight_norm: Option<f64>,
    gradient_cosine: Option<f64>,
    noise: Option<Noise>,
}

/// What the gradients of the micro-batches of an update tell of their distribution: unbiased estimates.
#[derive(Clone, Copy, Debug)]
struct Noise {
    /// The trace of the covariance of the gradient of a micro-batch.
    variance: f64,
    /// The squared norm of the gradient of all data, which may come out negative.
    signal: f64,
}

impl Noise {
    /// From ‖gᵢ‖² of each micro-batch, and ‖Σgᵢ‖² (McCandlish et al., arXiv 1812.06162, appendix A.1, for batches of 1 and of
    /// all). None where the gradients differ by no more than rounding.
    fn new(squares: &[f64], of_sum: f64) -> Option<Self> {
        let count = squares.len() as f64;
        let mean = squares.iter().sum::<f64>() / count;
        let of_mean = of_sum / (count * count);
        let is_seen = mean - of_mean > ROUNDING * mean;
        (count > 1.0 && is_seen && mean.is_finite()).then(|| Self {
            variance: (mean - of_mean) * count / (count - 1.0),
            signal: (count * of_mean - mean) / (count - 1.0),
        })
    }
}

impl Panel {
    /// From one pass over weights and gradients.
    pub(super) fn new<M: Module>(
        subject: &mut Subject<'_, M>,
        direction: &UpdateDirection,
    ) -> Self {
        let Some(grads) = &subject.grads else {
            return Self::default();
        };
        let mut sums = Sums::default();
        for_each(subject.model, grads, |place| {
            let tensors = [&place.weight(), &place.tensor()];
            sums.push_pieces(tensors, |pieces| {
                pieces.map(|piece| {
                    let piece = widened(piece);
                    (piece.clone(), piece)
                })
            });
        });
        // The measurement does without what cannot be read.
        let Ok([of_weights, of_gradient]) = sums.read() else {
            return Self::default();
        };
        let facts = &mut subject.facts;
        let squares = std::mem::take(&mut facts.squared_gradients);
        let is_of_batches = facts.gradient_is_sum && squares.len() > 1;
        // Each may be on a device of its own.
        let squares = squares.into_iter().filter(|_| is_of_batches);
        let squares = squares.map(|square| Some(square.read().ok()?[0]));
        let squares: Vec<f64> = squares.collect::<Option<_>>().unwrap_or_default();
        let gradient_norm = of_gradient.sqrt();
        let cosine = direction.slope() / (gradient_norm * direction.norm());
        Self {
            // Gradients of micro-batches add up, while their loss is a mean.
            gradient_norm: finite(gradient_norm / subject.facts.micro_batches as f64)
                .filter(|_| subject.facts.gradient_is_sum),
            weight_norm: finite(of_weights.sqrt()),
            // Rounding carries it beyond 1 at most by its last digits.
            gradient_cosine: finite(cosine)
                .filter(|_| direction.is_shown())
                .map(|cosine| cosine.clamp(-1.0, 1.0)),
            noise: Noise::new(&squares, of_gradient),
        }
    }

    /// Writes the panel into the measurement of a loss along its direction.
    pub(super) fn write(&self, along: &Along, measurement: &mut Measurement) {
        measurement.gradient_norm = self.gradient_norm;
        measurement.weight_norm = self.weight_norm;
        measurement.gradient_cosine = self.gradient_cosine;
        measurement.gradient_variance = self.noise.map(|noise| noise.variance);
        measurement.gradient_signal = self.noise.map(|noise| noise.signal);
        if let Some((agreement, error)) = agreement(along) {
            measurement.agreement = Some(agreement);
            measurement.agreement_error = Some(error);
        }
    }
}

/// (L(θ) − L(θ − ηΔθ))/(η g·Δθ) with its error, where g is known to be the gradient of this very loss and the points of the
/// search tell.
fn agreement(along: &Along) -> Option<(f64, f64)> {
    let slope = along.finite_slope()?;
    let rate = along.learning_rate.filter(|rate| *rate > 0.0)?;
    if slope.source != SlopeSource::Known || slope.value == 0.0 {
        return None;
    }
    let Some(End::Searched(result)) = &along.end else {
        return None;
    };
    let (h, error) = rise_per_rate(result, slope.value, rate)?;
    let (agreement, error) = (-h / slope.value, error / slope.value.abs());
    (error <= RESOLVED * agreement.abs().max(1.0)).then_some((agreement, error))
}

/// A point of h(η) = f(η)/η, and what rounding does to it.
#[derive(Clone, Copy)]
struct Point {
    eta: f64,
    h: f64,
    rounding: f64,
}

/// h(η) with its error: where the search has evaluated it within rounding, and between its points as
/// [`interpolated`], which start with h(0) = −slope.
fn rise_per_rate(result: &SearchResult, slope: f64, rate: f64) -> Option<(f64, f64)> {
    let seen = result.trace.iter().filter(|seen| seen.rise.is_finite());
    let mut points: Vec<Point> = seen
        .map(|seen| Point {
            eta: seen.learning_rate,
            h: seen.rise / seen.learning_rate,
            rounding: result.resolution / seen.learning_rate,
        })
        .collect();
    let at_rate = |point: &&Point| (point.eta / rate - 1.0).abs() <= SAME;
    if let Some(point) = points.iter().find(at_rate) {
        return Some((point.h, point.rounding));
    }
    points.push(Point {
        eta: 0.0,
        h: -slope,
        rounding: 0.0,
    });
    interpolated(points, rate)
}

/// h at a rate by the parabola through both neighbours and the next nearest point, with its error: how much the straight line
/// through the neighbours differs, what h may [bend](BEND) without its points showing it, and the rounding of the points.
/// None beyond the points, and where there are only two.
fn interpolated(mut points: Vec<Point>, rate: f64) -> Option<(f64, f64)> {
    points.sort_by(|a, b| (a.eta - rate).abs().total_cmp(&(b.eta - rate).abs()));
    let below = *points.iter().find(|point| point.eta < rate)?;
    let above = *points.iter().find(|point| point.eta > rate)?;
    let is_other = |point: &&Point| point.eta != below.eta && point.eta != above.eta;
    let third = *points.iter().find(is_other)?;
    let through = |nodes: &[Point]| -> (f64, f64) {
        let weights = nodes.iter().map(|node| {
            let others = nodes.iter().filter(|other| other.eta != node.eta);
            let factors = others.map(|other| (rate - other.eta) / (node.eta - other.eta));
            (node, factors.product::<f64>())
        });
        weights.fold((0.0, 0.0), |(h, rounding), (node, weight)| {
            (h + weight * node.h, rounding + weight.abs() * node.rounding)
        })
    };
    let (straight, _) = through(&[below, above]);
    let (bent, rounding) = through(&[below, above, third]);
    let room = (rate - below.eta) * (above.eta - rate) / (above.eta * above.eta);
    let unseen = BEND * room * below.h.abs().max(above.h.abs());
    Some((bent, (bent - straight).abs() + unseen + rounding))
}

/// Writes the thresholds of an optimizer into a measurement, if its learning rate is known and not 0.
pub(super) fn write_thresholds(thresholds: Thresholds, measurement: &mut Measurement) {
    let Some(rate) = measurement.learning_rate.filter(|rate| *rate > 0.0) else {
        return;
    };
    match thresholds {
        Thresholds::HeavyBall {
            momentum,
            dampening,
        } => {
            let rate = (1.0 - dampening) * rate;
            measurement.large_batch_threshold = finite(heavy_ball_threshold(rate, momentum, 0.0));
            measurement.small_batch_threshold =
                finite(heavy_ball_small_batch_threshold(rate, momentum));
        }
        Thresholds::Adam { beta_1 } => {
            measurement.adam_threshold = finite(adam_threshold(rate, beta_1, 0.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_gradients_whose_distribution_is_known_is_unbiased() {
        // A linear model: the gradient of each example is its input, one of four with mean (3, 1).
        let inputs = [[5.0, 1.0], [1.0, 1.0], [3.0, 4.0], [3.0, -2.0]];
        let square = |[x, y]: [f64; 2]| x * x + y * y;
        let (mut variance, mut signal) = (0.0, 0.0);
        let mut count = 0.0;
        // Every update of three examples.
        for (a, b, c) in (0..64).map(|i| (inputs[i % 4], inputs[i / 4 % 4], inputs[i / 16])) {
            let sum = [a[0] + b[0] + c[0], a[1] + b[1] + c[1]];
            if let Some(noise) = Noise::new(&[a, b, c].map(square), square(sum)) {
                variance += noise.variance;
                signal += noise.signal;
            } else {
                assert!(a == b && b == c);
                signal += square(a);
            }
            count += 1.0;
        }
        assert!((variance / count - (2.0 * 4.0 + 2.0 * 9.0) / 4.0).abs() < 1e-12);
        assert!((signal / count - 10.0).abs() < 1e-12);
        assert!(Noise::new(&[4.0], 4.0).is_none() && Noise::new(&[], 0.0).is_none());
        assert!(Noise::new(&[f64::NAN, 1.0], 4.0).is_none());
        assert!(Noise::new(&[f64::INFINITY, 1.0], 4.0).is_none());
    }

    fn points(h: impl Fn(f64) -> f64, etas: &[f64]) -> Vec<Point> {
        let point = |eta: &f64| Point {
            eta: *eta,
            h: h(*eta),
            rounding: 0.0,
        };
        etas.iter().map(point).collect()
    }

    #[test]
    fn an_interpolation_is_exact_to_its_error_and_stays_between_its_points() {
        let shapes: [fn(f64) -> f64; 4] = [
            |eta| eta - 1.0,
            |eta| eta * eta + 0.5 * eta - 1.5,
            |eta| eta.exp() - std::f64::consts::E,
            |eta| (eta - 1.0) * (1.0 - 0.4 * eta),
        ];
        for h in shapes {
            for rate in [0.01, 0.2, 0.5, 0.9, 1.005, 1.5] {
                let seen = points(h, &[0.99, 0.0, 1.01, 2.0]);
                let (value, error) = interpolated(seen, rate).unwrap();
                let off = (value - h(rate)).abs();
                assert!(off <= error + 1e-12, "{off} where {error} was stated");
            }
            let seen = || points(h, &[0.0, 0.99, 1.01]);
            assert!(interpolated(seen(), 1.02).is_none());
            assert!(interpolated(points(h, &[0.0, 1.0]), 0.5).is_none());
            assert!(interpolated(points(h, &[0.0, 1.0, 1.0]), 0.5).is_none());
        }
    }
}
