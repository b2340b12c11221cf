use super::error::{GradientError, HessianError};
use super::layout::Layout;
use super::product::{calibrate, dot, norm_of_weights};
use super::sharpness::{failed, measured};
use crate::params::home_of;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use sharpness_record::CurvatureValue;
use std::time::Instant;

/// Relative to the norm of the weights.
const STEPS: [f64; 8] = [3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5];

pub(crate) struct Batches<'a, M> {
    pub(crate) count: usize,
    pub(crate) loss: &'a dyn Fn(usize, &M) -> Result<f64, GradientError>,
    pub(crate) gradient: &'a dyn Fn(usize, &M) -> Result<GradientsParams, GradientError>,
}

#[derive(Clone, Copy, Debug)]
struct OfBatch {
    /// gᵀHg/‖g‖².
    ratio: f64,
    apart: f64,
    /// ‖g‖².
    square: f64,
}

/// Measures `E[gᵀHg/‖g‖²]` and `E[gᵀHg]/E‖g‖²` (arXiv 2412.20553), over the parameters that have a gradient in `grads`.
///
/// gᵀHg/‖g‖² is a second difference of the loss along the gradient: (L(θ + hu) − 2L(θ) + L(θ − hu))/h², with u = g/‖g‖.
/// The first batch chooses h, as the first vector of [`Hessian`](super::Hessian) does.
pub(crate) fn of_batches<M: Module>(
    model: &M,
    grads: &GradientsParams,
    batches: &Batches<'_, M>,
) -> [CurvatureValue; 2] {
    let started = Instant::now();
    let mut work = Work {
        model,
        batches,
        layout: Layout::new(model, grads, None),
        norm_of_weights: 1.0,
        step: None,
        evaluations: 0,
    };
    let mut values = match work.each(grads) {
        Ok(all) => [value_of(&all, |_| 1.0), value_of(&all, |of| of.square)],
        Err(error) => [failed(&error), failed(&error)],
    };
    values[0].gradients = batches.count;
    values[0].evaluations = work.evaluations;
    values[0].seconds = started.elapsed().as_secs_f64();
    values
}

struct Work<'a, M> {
    model: &'a M,
    batches: &'a Batches<'a, M>,
    layout: Layout,
    norm_of_weights: f64,
    step: Option<usize>,
    evaluations: usize,
}

impl<M: Module> Work<'_, M> {
    fn each(&mut self, grads: &GradientsParams) -> Result<Vec<OfBatch>, HessianError> {
        if self.layout.elements == 0 {
            return Err(HessianError::NoGradient);
        }
        self.norm_of_weights = norm_of_weights(self.model, grads, &self.layout)?;
        (0..self.batches.count)
            .map(|batch| self.of(batch))
            .collect()
    }

    fn of(&mut self, batch: usize) -> Result<OfBatch, HessianError> {
        let device = home_of(self.model);
        let nowhere = Tensor::zeros([self.layout.elements], &device);
        let tracked = self.layout.moved(self.model, &nowhere, true);
        let gradient = (self.batches.gradient)(batch, &tracked)?;
        let gradient = self.layout.gradients(&tracked, &gradient, &device);
        let square = dot(&gradient, &gradient)?;
        if square == 0.0 {
            return Err(HessianError::ZeroGradient);
        }
        let unit = gradient / square.sqrt();
        let base = self.loss(batch, self.model)?;
        let (ratio, apart) = match self.step {
            Some(step) => {
                let neighbour = self.second_difference(batch, &unit, base, step - 1)?;
                let ratio = self.second_difference(batch, &unit, base, step)?;
                (ratio, ratio - neighbour)
            }
            None => {
                let quotient = |step| self.second_difference(batch, &unit, base, step);
                let compare = |ratio: &f64, last: f64| {
                    let apart = ratio - last;
                    Ok((apart, (apart / ratio).abs()))
                };
                let (step, ratio, apart) = calibrate(STEPS.len(), quotient, compare)?;
                self.step = Some(step);
                (ratio, apart)
            }
        };
        Ok(OfBatch {
            ratio,
            apart,
            square,
        })
    }

    fn second_difference(
        &mut self,
        batch: usize,
        unit: &Tensor<1>,
        base: f64,
        step: usize,
    ) -> Result<f64, HessianError> {
        let length = STEPS[step] * self.norm_of_weights;
        let offset = unit.clone() * length;
        let mut rise = |offset: &Tensor<1>| -> Result<f64, HessianError> {
            let moved = self.layout.moved(self.model, offset, false);
            Ok(self.loss(batch, &moved)? - base)
        };
        Ok((rise(&offset)? + rise(&-offset)?) / (length * length))
    }

    fn loss(&mut self, batch: usize, model: &M) -> Result<f64, HessianError> {
        self.evaluations += 1;
        Ok((self.batches.loss)(batch, model)?)
    }
}

/// The mean of the ratios with these weights; its standard error is of first order.
fn value_of(all: &[OfBatch], weight: impl Fn(&OfBatch) -> f64) -> CurvatureValue {
    let count = all.len() as f64;
    let mean = |of: &dyn Fn(&OfBatch) -> f64| all.iter().map(of).sum::<f64>() / count;
    let of_weights = mean(&weight);
    let value = mean(&|of| weight(of) * of.ratio) / of_weights;
    let apart = mean(&|of| weight(of) * of.apart.abs()) / of_weights;
    let squares = mean(&|of| (weight(of) / of_weights * (of.ratio - value)).powi(2));
    let mut result = measured(value, (apart / value).abs());
    let standard_error = (squares / (count - 1.0)).sqrt();
    result.standard_error = Some(standard_error).filter(|error| error.is_finite());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_their_errors_are_those_of_a_table() {
        let of = |ratio, square| OfBatch {
            ratio,
            apart: 0.01,
            square,
        };
        let all = [of(2.0, 1.0), of(1.0, 4.0), of(3.0, 4.0)];
        let plain = value_of(&all, |_| 1.0);
        assert_eq!(plain.value, Some(2.0));
        assert!((plain.standard_error.unwrap() - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((plain.relative_error.unwrap() - 0.005).abs() < 1e-15);
        // (2·1 + 1·4 + 3·4)/9, with residuals of 0, −4 and 4 over a mean square of 3.
        let weighted = value_of(&all, |of| of.square);
        assert_eq!(weighted.value, Some(2.0));
        let exact = (32.0_f64 / 9.0 / 6.0).sqrt();
        assert!((weighted.standard_error.unwrap() - exact).abs() < 1e-15);
        assert_eq!(value_of(&all[..1], |_| 1.0).standard_error, None);
    }
}
