use super::error::{GradientError, HessianError};
use super::layout::Layout;
use crate::params::{self, ParamTensors, Sums, for_each, home_of};
use burn::module::{Module, ParamGroup};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};

/// Relative to the norm of the weights.
const STEPS: [f64; 6] = [3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4];

pub(crate) type GradientOf<'a, M> =
    &'a mut (dyn FnMut(&M) -> Result<GradientsParams, GradientError> + 'a);

/// Computes Hessian-vector products by central differences of gradients, since burn differentiates only once: Hv ≈
/// (∇L(θ + hv) − ∇L(θ − hv)) / 2h, for a v of norm 1.
///
/// A large h bends the difference by O(h²), a small h drowns it in rounding: the first vector chooses the h that agrees
/// best with its neighbour. The disagreement is the error estimate.
pub(crate) struct Hessian<'a, M> {
    model: M,
    gradient: GradientOf<'a, M>,
    pub(super) layout: Layout,
    norm_of_weights: f64,
    /// Chosen for the next vector if `None`.
    pub(super) step: Option<f64>,
    scale: f64,
    pub(super) gradients: usize,
}

impl<'a, M: Module> Hessian<'a, M> {
    /// The gradient is a sum over this many parts, and the loss their mean.
    pub(crate) fn new(
        model: M,
        grads: &GradientsParams,
        group: Option<&ParamGroup>,
        gradient: GradientOf<'a, M>,
        parts: usize,
    ) -> Result<Self, HessianError> {
        let layout = Layout::new(&model, grads, group);
        if layout.elements == 0 {
            return Err(HessianError::NoGradient);
        }
        let norm_of_weights = norm_of_weights(&model, grads, &layout)?;
        Ok(Self {
            model,
            gradient,
            layout,
            norm_of_weights,
            step: None,
            scale: 1.0 / parts.max(1) as f64,
            gradients: 0,
        })
    }

    pub(super) fn device(&self) -> Device {
        home_of(&self.model)
    }

    /// The gradient, and a little of every direction.
    pub(super) fn start(&mut self) -> Result<Tensor<1>, HessianError> {
        let gradient = self.gradient()?;
        let elements = self.layout.elements as i64;
        let places = Tensor::<1, Int>::arange(0..elements, &gradient.device());
        let everything = (places.float() * 0.618).sin() / (elements as f64).sqrt();
        let norm = dot(&gradient, &gradient)?.sqrt();
        Ok(if norm > 0.0 && norm.is_finite() {
            gradient / norm + everything * 0.1
        } else {
            everything
        })
    }

    /// Returns vᵀHv, its relative error, and Hv, at a step chosen for this v.
    pub(super) fn quadratic_form(
        &mut self,
        v: &Tensor<1>,
    ) -> Result<(f64, f64, Tensor<1>), HessianError> {
        self.step = None;
        let (product, apart) = self.product_and_spread(v)?;
        let value = dot(v, &product)?;
        let error = match &apart {
            Some(apart) => (dot(v, apart)? / value).abs(),
            None => 0.0,
        };
        Ok((value, error, product))
    }

    pub(super) fn gradient(&mut self) -> Result<Tensor<1>, HessianError> {
        let nowhere = Tensor::zeros([self.layout.elements], &self.device());
        self.gradient_at(&nowhere)
    }

    pub(super) fn vector_of(&self, tensors: &ParamTensors) -> Tensor<1> {
        self.layout
            .flatten(|id| tensors.get(&id).cloned(), &self.device())
    }

    pub(super) fn product(&mut self, v: &Tensor<1>) -> Result<Tensor<1>, HessianError> {
        Ok(self.product_and_spread(v)?.0)
    }

    fn product_and_spread(
        &mut self,
        v: &Tensor<1>,
    ) -> Result<(Tensor<1>, Option<Tensor<1>>), HessianError> {
        let norm = dot(v, v)?.sqrt();
        if norm == 0.0 || !norm.is_finite() {
            return Ok((v.clone() * norm, None));
        }
        let unit = v.clone() / norm;
        let (vector, apart) = match self.step {
            Some(step) => (self.difference(&unit, step)?, None),
            None => {
                let scale = self.norm_of_weights;
                let quotient = |step: usize| self.difference(&unit, STEPS[step] * scale);
                let compare = |difference: &Tensor<1>, last| {
                    let apart = difference.clone() - last;
                    let norm = dot(difference, difference)?.sqrt();
                    let relative_error = dot(&apart, &apart)?.sqrt() / norm;
                    Ok((apart, relative_error))
                };
                let (step, vector, apart) = calibrate(STEPS.len(), quotient, compare)?;
                self.step = Some(STEPS[step] * scale);
                (vector, Some(apart * norm))
            }
        };
        Ok((vector * norm, apart))
    }

    fn difference(&mut self, unit: &Tensor<1>, step: f64) -> Result<Tensor<1>, HessianError> {
        let offset = unit.clone() * step;
        let ahead = self.gradient_at(&offset)?;
        let behind = self.gradient_at(&-offset)?;
        Ok((ahead - behind) / (2.0 * step))
    }

    fn gradient_at(&mut self, offset: &Tensor<1>) -> Result<Tensor<1>, HessianError> {
        self.gradients += 1;
        let moved = self.layout.moved(&self.model, offset, true);
        let grads = (self.gradient)(&moved)?;
        Ok(self.layout.gradients(&moved, &grads, &self.device()) * self.scale)
    }
}

/// Finds the step whose difference quotient agrees best with the one before. Returns the step, its quotient, and how
/// far the two are apart; `compare` returns their distance, absolute and relative.
pub(super) fn calibrate<T: Clone>(
    steps: usize,
    mut quotient: impl FnMut(usize) -> Result<T, HessianError>,
    compare: impl Fn(&T, T) -> Result<(T, f64), HessianError>,
) -> Result<(usize, T, T), HessianError> {
    let mut last = quotient(0)?;
    let (mut best, mut smallest_error) = (None, f64::INFINITY);
    for step in 1..steps {
        let next = quotient(step)?;
        let (apart, relative_error) = compare(&next, last)?;
        if best.is_none() || relative_error < smallest_error {
            smallest_error = relative_error;
            best = Some((step, next.clone(), apart));
        } else if relative_error > 3.0 * smallest_error {
            // Rounding has taken over.
            break;
        }
        last = next;
    }
    best.ok_or(HessianError::NoStep)
}

pub(super) fn norm_of_weights<M: Module>(
    model: &M,
    grads: &GradientsParams,
    layout: &Layout,
) -> Result<f64, HessianError> {
    let mut squares = Sums::default();
    for_each(model, grads, |place| {
        if layout.span(place.id).is_some() {
            let weight = place.weight();
            squares.push([(&weight, &weight)]);
        }
    });
    let [squared_norm] = squares.read().map_err(HessianError::Read)?;
    Ok(if squared_norm > 0.0 {
        squared_norm.sqrt()
    } else {
        1.0
    })
}

pub(super) fn dot(a: &Tensor<1>, b: &Tensor<1>) -> Result<f64, HessianError> {
    params::dot(a, b).map_err(HessianError::Read)
}
