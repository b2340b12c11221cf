use super::error::{GradientError, HessianError};
use super::layout::Layout;
use crate::LossError;
use crate::params::{self, ParamTensors, Sums, for_each};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};

/// The steps tried, over the norm of the weights, from the largest.
const STEPS: [f64; 6] = [3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4];

/// Hessian-vector products of a loss, by central differences of gradients:
/// Hv ≈ (∇L(θ + hv) − ∇L(θ − hv)) / 2h, for a v of norm 1.
///
/// Burn differentiates only once, so the second derivative is a difference of first ones. A large h bends the difference by
/// O(h²), a small one drowns it in the gradients' rounding: several are tried along the first vector,
/// and the one kept at which neighbours agree best. How far they agree is the error estimate.
///
/// Vectors hold the parameters that have a gradient, one after the other.
pub struct Hessian<M, G> {
    /// Free of autodiff.
    model: M,
    gradient: G,
    layout: Layout,
    norm_of_weights: f64,
    step: Option<Step>,
    /// What gradients are multiplied with.
    scale: f64,
    gradients: usize,
}

#[derive(Clone, Copy)]
struct Step {
    length: f64,
    relative_error: f64,
}

/// A Hessian-vector product.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Product {
    /// Hv.
    pub vector: Tensor<1>,
    /// The relative error ‖Hv − computed‖ / ‖Hv‖ that the differences at neighbouring steps show
    /// along the first vector of all.
    pub relative_error: f64,
    /// The difference of the two difference quotients that agree best, where this is the first vector.
    pub apart: Option<Tensor<1>>,
}

impl<M, G> Hessian<M, G>
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, GradientError>,
{
    /// The Hessian at the weights of `model` of the loss whose gradient `gradient` computes.
    ///
    /// `grads` say which parameters there are: those with a gradient. `gradient` is called with the
    /// model at other weights, in validation mode and with autodiff for these parameters. It may go
    /// through the batch in parts and return the mean of their gradients; to do it from losses, see
    /// [`of_losses`](Self::of_losses). What it says of a failure of its own is a
    /// [`GradientError::objective`].
    ///
    /// # Errors
    ///
    /// Without a gradient there is no curvature.
    pub fn new(model: &M, grads: &GradientsParams, gradient: G) -> Result<Self, HessianError> {
        Self::in_validation(model.valid(), grads, gradient)
    }

    /// The same of a model that is in validation mode: asking it for a copy in that mode would flush
    /// the running statistics that it may share with the model in training.
    pub(crate) fn in_validation(
        model: M,
        grads: &GradientsParams,
        gradient: G,
    ) -> Result<Self, HessianError> {
        let layout = Layout::new(&model, grads);
        if layout.elements() == 0 {
            return Err(HessianError::NoGradient);
        }
        let mut squares = Sums::default();
        for_each(&model, grads, |place| {
            let weight = place.weight();
            squares.push([(&weight, &weight)]);
        });
        let [squared_norm] = squares.read().map_err(HessianError::Read)?;
        Ok(Self {
            model,
            gradient,
            layout,
            norm_of_weights: squared_norm.sqrt(),
            step: None,
            scale: 1.0,
            gradients: 0,
        })
    }

    /// The same for a gradient that is the sum over so many parts, where the loss is their mean.
    pub(crate) fn with_parts(mut self, parts: usize) -> Self {
        self.scale = 1.0 / parts.max(1) as f64;
        self
    }

    /// Chooses the step anew along the next vector.
    pub fn recalibrate(&mut self) {
        self.step = None;
    }

    /// Where its vectors are.
    pub(super) fn device(&self) -> Device {
        self.model.devices().into_iter().next().unwrap_or_default()
    }

    /// A vector to begin an iteration with: the gradient, and a little of everything.
    pub(super) fn start(&mut self) -> Result<Tensor<1>, HessianError> {
        let gradient = self.gradient()?;
        let elements = self.layout.elements() as i64;
        let places = Tensor::<1, Int>::arange(0..elements, &gradient.device());
        let everything = (places.float() * 0.618).sin() / (elements as f64).sqrt();
        let norm = dot(&gradient, &gradient)?.sqrt();
        Ok(if norm > 0.0 && norm.is_finite() {
            gradient / norm + everything * 0.1
        } else {
            everything
        })
    }

    /// vᵀHv and its relative error, at a step chosen for this v.
    ///
    /// # Errors
    ///
    /// If a gradient cannot be computed or read.
    pub fn quadratic_form(&mut self, v: &Tensor<1>) -> Result<(f64, f64), HessianError> {
        self.recalibrate();
        let product = self.product(v)?;
        let value = dot(v, &product.vector)?;
        let error = match &product.apart {
            Some(apart) => (dot(v, apart)? / value).abs(),
            None => product.relative_error,
        };
        Ok((value, error))
    }

    /// The gradient of the loss at θ.
    ///
    /// # Errors
    ///
    /// If it cannot be computed.
    pub fn gradient(&mut self) -> Result<Tensor<1>, HessianError> {
        let nowhere = Tensor::zeros([self.layout.elements()], &self.device());
        self.gradient_at(&nowhere)
    }

    /// A set of tensors, such as gradients, as one vector.
    pub fn vector(&self, tensors: &GradientsParams) -> Tensor<1> {
        self.layout.gradients(&self.model, tensors, &self.device())
    }

    /// The same of tensors that are kept by parameter.
    pub(super) fn vector_of(&self, tensors: &ParamTensors) -> Tensor<1> {
        self.layout
            .flatten(|id| tensors.get(id).cloned(), &self.device())
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The gradients computed so far, each about three forward passes.
    pub fn gradients(&self) -> usize {
        self.gradients
    }

    /// The relative error of products, once one was computed.
    pub fn relative_error(&self) -> Option<f64> {
        self.step.map(|step| step.relative_error)
    }

    /// Hv, of a v of any norm. Of the vector 0 it is 0.
    ///
    /// # Errors
    ///
    /// If a gradient cannot be computed or read.
    pub fn product(&mut self, v: &Tensor<1>) -> Result<Product, HessianError> {
        let norm = dot(v, v)?.sqrt();
        if norm == 0.0 || !norm.is_finite() {
            return Ok(Product {
                vector: v.clone() * norm,
                relative_error: 0.0,
                apart: None,
            });
        }
        let unit = v.clone() / norm;
        let (vector, apart, step) = match self.step {
            Some(step) => (self.difference(&unit, step.length)?, None, step),
            None => {
                let (vector, apart, step) = self.calibrate(&unit)?;
                (vector, Some(apart * norm), step)
            }
        };
        self.step = Some(step);
        Ok(Product {
            vector: vector * norm,
            relative_error: step.relative_error,
            apart,
        })
    }

    fn calibrate(
        &mut self,
        unit: &Tensor<1>,
    ) -> Result<(Tensor<1>, Tensor<1>, Step), HessianError> {
        // Weights that are all 0 have no scale of their own.
        let scale = if self.norm_of_weights > 0.0 {
            self.norm_of_weights
        } else {
            1.0
        };
        let mut last = self.difference(unit, STEPS[0] * scale)?;
        let mut best: Option<(Tensor<1>, Tensor<1>, Step)> = None;
        for step in &STEPS[1..] {
            let length = step * scale;
            let difference = self.difference(unit, length)?;
            let apart = difference.clone() - last;
            let norm = dot(&difference, &difference)?.sqrt();
            let relative_error = dot(&apart, &apart)?.sqrt() / norm;
            let is_better = best
                .as_ref()
                .is_none_or(|(_, _, best)| relative_error < best.relative_error);
            if is_better {
                let step = Step {
                    length,
                    relative_error,
                };
                best = Some((difference.clone(), apart, step));
            } else if best
                .as_ref()
                .is_some_and(|(_, _, best)| relative_error > 3.0 * best.relative_error)
            {
                // Rounding has taken over.
                break;
            }
            last = difference;
        }
        best.ok_or(HessianError::NoStep)
    }

    fn difference(&mut self, unit: &Tensor<1>, step: f64) -> Result<Tensor<1>, HessianError> {
        let offset = unit.clone() * step;
        let ahead = self.gradient_at(&offset)?;
        let behind = self.gradient_at(&-offset)?;
        Ok((ahead - behind) / (2.0 * step))
    }

    fn gradient_at(&mut self, offset: &Tensor<1>) -> Result<Tensor<1>, HessianError> {
        self.gradients += 1;
        let moved = self.layout.moved(self.model.clone(), offset);
        let grads = (self.gradient)(&moved)?;
        Ok(self.layout.gradients(&moved, &grads, &self.device()) * self.scale)
    }
}

/// A function that computes gradients from the losses of the parts of a batch.
pub(crate) fn gradient_of_losses<M: Module, B: Clone>(
    batches: Vec<B>,
    loss: impl Fn(&M, B) -> Tensor<1>,
) -> impl FnMut(&M) -> Result<GradientsParams, GradientError> {
    move |model| {
        let share = 1.0 / batches.len() as f64;
        let mut accumulator = burn::optim::GradientsAccumulator::new();
        for batch in &batches {
            let loss = loss(model, batch.clone()).mean() * share;
            let grads = GradientsParams::from_grads(loss.backward(), model);
            accumulator.accumulate(model, grads);
        }
        Ok(accumulator.grads())
    }
}

impl<M: Module> Hessian<M, ()> {
    /// The Hessian of the mean of `loss` over the parts of a batch, each of which is differentiated
    /// by itself: parts bound the memory.
    ///
    /// ```
    /// use burn::module::{Module, Param};
    /// use burn::optim::GradientsParams;
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::hessian::Hessian;
    ///
    /// #[derive(Module, Debug)]
    /// struct Point {
    ///     theta: Param<Tensor<1>>,
    /// }
    ///
    /// let device = Device::flex().autodiff();
    /// let point = Point { theta: Param::from_tensor(Tensor::from_floats([1.0, 2.0], &device)) };
    /// // ½ (3x² + 5y²)
    /// let loss = |point: &Point, (): ()| {
    ///     let curvature = Tensor::<1>::from_floats([3.0, 5.0], &point.theta.val().device());
    ///     (point.theta.val().square() * curvature).sum() * 0.5
    /// };
    /// let grads = GradientsParams::from_grads(loss(&point, ()).backward(), &point);
    /// let mut hessian = Hessian::of_losses(&point, &grads, vec![()], loss)?;
    /// let v = Tensor::<1>::from_floats([1.0, 1.0], &Device::flex());
    /// let product: Vec<f32> = hessian.product(&v)?.vector.into_data().iter().collect();
    /// assert!((product[0] - 3.0).abs() < 1e-2 && (product[1] - 5.0).abs() < 1e-2);
    /// # Ok::<(), burn_sharpness::hessian::HessianError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Without a gradient, or without a part, there is no curvature.
    #[allow(clippy::type_complexity)] // a closure has no name
    pub fn of_losses<B: Clone>(
        model: &M,
        grads: &GradientsParams,
        batches: Vec<B>,
        loss: impl Fn(&M, B) -> Tensor<1>,
    ) -> Result<Hessian<M, impl FnMut(&M) -> Result<GradientsParams, GradientError>>, HessianError>
    {
        if batches.is_empty() {
            return Err(HessianError::Gradient(LossError::NoBatch.into()));
        }
        Hessian::new(model, grads, gradient_of_losses(batches, loss))
    }
}

/// The inner product of two vectors.
pub(super) fn dot(a: &Tensor<1>, b: &Tensor<1>) -> Result<f64, HessianError> {
    params::dot(a, b).map_err(HessianError::Read)
}
