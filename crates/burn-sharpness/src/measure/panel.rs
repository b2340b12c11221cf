use super::along::{Along, End, finite};
use super::subject::Subject;
use crate::config::Thresholds;
use crate::direction::UpdateDirection;
use crate::hessian::{adam_threshold, heavy_ball_small_batch_threshold, heavy_ball_threshold};
use crate::params::{Sums, for_each, widened};
use burn::module::Module;
use sharpness_record::{Measurement, SlopeSource};

/// The largest error, relative to the larger of 1 and the agreement.
const RESOLVED: f64 = 0.1;
const ROUNDING: f64 = 1e-5;
const SAME: f64 = 1e-9;

#[derive(Default)]
pub(super) struct Panel {
    gradient_norm: Option<f64>,
    weight_norm: Option<f64>,
    gradient_cosine: Option<f64>,
    noise: Option<Noise>,
}

#[derive(Clone, Copy, Debug)]
struct Noise {
    /// The trace of the covariance of the gradient of a micro-batch.
    variance: f64,
    /// An estimate of ‖g‖² over all data, which may be negative.
    signal: f64,
}

impl Noise {
    /// Estimates from ‖gᵢ‖² of each micro-batch and ‖Σgᵢ‖² (McCandlish et al., arXiv 1812.06162, appendix A.1); `None`
    /// if the gradients differ by no more than rounding.
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
    pub(super) fn new<M: Module>(
        subject: &mut Subject<'_, M>,
        direction: &UpdateDirection,
        summed: Option<f64>,
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
        let Ok([of_weights, of_gradient]) = sums.read() else {
            return Self::default();
        };
        let facts = &mut subject.facts;
        let squares = std::mem::take(&mut facts.squared_gradients);
        // The gradients of several workers may already be shared.
        let is_of_batches = facts.coverage.workers.is_none() && squares.len() > 1;
        // Each may be on a device of its own.
        let squares = squares.into_iter().filter(|_| is_of_batches);
        let squares = squares.map(|square| Some(square.read().ok()?[0]));
        let squares: Vec<f64> = squares.collect::<Option<_>>().unwrap_or_default();
        let gradient_norm = of_gradient.sqrt();
        let cosine = direction.slope() / (gradient_norm * direction.norm());
        Self {
            // Gradients of micro-batches add up, while their loss is a mean.
            gradient_norm: summed.and_then(|summed| finite(gradient_norm / summed)),
            weight_norm: finite(of_weights.sqrt()),
            gradient_cosine: finite(cosine)
                .filter(|_| direction.is_shown())
                .map(|cosine| cosine.clamp(-1.0, 1.0)),
            noise: Noise::new(&squares, of_gradient),
        }
    }

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

/// Returns (L(θ) − L(θ − ηΔθ))/(η g·Δθ) and its rounding error. An interpolation to η has no error that could be
/// stated.
fn agreement(along: &Along) -> Option<(f64, f64)> {
    let slope = along.finite_slope()?;
    let rate = along.learning_rate.filter(|rate| *rate > 0.0)?;
    if slope.source != SlopeSource::Known || slope.value == 0.0 {
        return None;
    }
    let Some(End::Searched(result)) = &along.end else {
        return None;
    };
    let mut seen = result.trace.iter();
    let at_rate = seen.find(|seen| (seen.learning_rate / rate - 1.0).abs() <= SAME)?;
    let predicted = rate * slope.value;
    let agreement = finite(-at_rate.rise / predicted)?;
    let error = result.resolution / predicted.abs();
    (error <= RESOLVED * agreement.abs().max(1.0)).then_some((agreement, error))
}

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
        // The mean of the inputs, which are the gradients of the examples, is (3, 1).
        let inputs = [[5.0, 1.0], [1.0, 1.0], [3.0, 4.0], [3.0, -2.0]];
        let square = |[x, y]: [f64; 2]| x * x + y * y;
        let (mut variance, mut signal) = (0.0, 0.0);
        let mut count = 0.0;
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
}
