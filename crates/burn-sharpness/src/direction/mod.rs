//! The update direction Δθ of an optimizer's next step, and the weights along it.

mod error;
mod held;
mod kind;
mod products;
mod rates;
mod step;

pub use error::DirectionError;
pub(crate) use kind::StepKind;

use crate::params::{ParamTensors, for_each, replace_weights, widened};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup};
use burn::optim::{GradientsParams, ModuleOptimizer};
use held::{Held, on_line};
use products::products;
use rates::GroupRatios;
use std::collections::HashSet;
use step::VirtualStep;

/// The update direction Δθ of an optimizer's next step θ ← θ − ηΔθ, and the line θ − ηΔθ.
///
/// Δθ = (θ − θ′)/η, where θ′ are the weights after one virtual step of a clone of the optimizer. So it
/// holds whatever the real step would: momentum, preconditioning, gradient clipping, decoupled weight
/// decay, and the ratios between the learning rates of parameter groups. The optimizer and the model
/// are left as they are.
///
/// The learning rate η is that of the default group (of the fastest one where the default is 0);
/// other groups move in proportion. Where every rate is 0, as at the start of a warmup, all groups
/// are taken to share one.
///
/// In 16 bits (`f16`, `bf16`) a step at the learning rate in use loses most digits of Δθ: a weight is its
/// old value, or the next that its type has. So the virtual step is made where it is much larger than
/// the weights, and θ − ηΔθ is computed in 32 bits and rounded to the type of the parameters once. These are
/// the weights that the optimizer's own step gives, to the last place; the loss along them is a
/// staircase, and its steps limit how well η_c is known. The slope is of the line before rounding.
///
/// Only parameters with a gradient move. A direction holds one copy of them: the weights at one
/// learning rate, of which those at all others follow.
///
/// ```
/// use burn::module::{Module, Param};
/// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
/// use burn::tensor::{Device, Tensor};
/// use burn_sharpness::{Linearity, UpdateDirection};
///
/// #[derive(Module, Debug)]
/// struct Point {
///     theta: Param<Tensor<1>>,
/// }
///
/// // L = 3θ² at θ = 2: for gradient descent Δθ = g = 12, so that the slope g·Δθ is 144.
/// let device = Device::flex().autodiff();
/// let point = Point { theta: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
/// let loss = (point.theta.val().square() * 3.0).sum();
/// let grads = GradientsParams::from_grads(loss.backward(), &point);
/// let optim: ModuleOptimizer = SgdConfig::new().init();
///
/// let point = point.valid();
/// let direction =
///     UpdateDirection::new(&point, &optim, &0.1.into(), &grads, 1.0, Linearity::Check)?;
/// assert_eq!(direction.slope(), 144.0);
/// let moved = direction.apply(point, 0.25);
/// assert_eq!(moved.theta.val().into_scalar::<f64>(), 2.0 - 0.25 * 12.0);
/// # Ok::<(), burn_sharpness::DirectionError>(())
/// ```
pub struct UpdateDirection {
    path: Path,
    learning_rate: f64,
    slope: f64,
    norm: f64,
}

/// The weights along the direction.
enum Path {
    /// The step is linear in η: these are the weights at one rate, and on the line through them and θ
    /// lie all others.
    Line(VirtualStep, Held),
    /// The same, where the weights are those after a step that was made. They stay as they are.
    Made(Held),
    /// The step is not linear: the optimizer makes it afresh at each η.
    Curve(VirtualStep),
}

/// Whether the optimizer's step is linear in the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Linearity {
    /// Compare two virtual steps, and find out. Costs a second virtual step.
    Check,
    /// It is: SGD, Adam, AdamW and most others.
    Linear,
    /// It is not, as with a proximal weight decay: step afresh at each learning rate.
    Nonlinear,
}

impl UpdateDirection {
    /// The direction of the step that `optim` would make from `model`, which must be free of
    /// autodiff (see [`Module::valid`]).
    ///
    /// `scale` is the largest learning rate at which the line is likely to be evaluated: the virtual
    /// step is taken there or at 1, whichever is larger, so that the subtraction of two weights
    /// leaves Δθ its digits.
    ///
    /// # Errors
    ///
    /// Without a gradient, or with a learning rate that is no rate, there is no direction.
    pub fn new<M: Module>(
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
        scale: f64,
        linearity: Linearity,
    ) -> Result<Self, DirectionError> {
        let step = VirtualStep::new(model, optim, grads, learning_rate)?;
        let rate = step.rate_for(scale);
        let is_linear = match linearity {
            Linearity::Linear => true,
            Linearity::Nonlinear => false,
            Linearity::Check => StepKind::of_step(model, &step, rate)?.is_linear,
        };
        let learning_rate = step.learning_rate();
        let rate = if is_linear {
            rate
        } else if learning_rate > 0.0 {
            // Only the start of a curve has a direction: take it at the rate in use.
            learning_rate
        } else {
            1e-3
        };
        let weights = step.weights(model, rate);
        let [slope, squared_norm] = products(model, step.grads(), &weights, rate)?;
        Ok(Self {
            path: if is_linear {
                Path::Line(step, Held::new(rate, weights, None))
            } else {
                Path::Curve(step)
            },
            learning_rate,
            slope,
            norm: squared_norm.sqrt(),
        })
    }

    /// The direction of a step that was made, from `model` to `after`, where the weights after the step
    /// [show it](StepKind::will_show_at).
    pub(crate) fn of_step<M: Module>(
        model: &M,
        after: &M,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> Result<Self, DirectionError> {
        let learning_rate = GroupRatios::new(model, learning_rate, grads)?.reference();
        let mut weights = ParamTensors::default();
        for_each(after, grads, |place| {
            weights.insert(place.id, place.weight());
        });
        let mut is_whole = true;
        for_each(model, grads, |place| {
            is_whole &= weights
                .get(place.id)
                .is_some_and(|after| after.shape().num_elements() == place.elements);
        });
        if !is_whole {
            return Err(DirectionError::Replaced);
        }
        let [slope, squared_norm] = products(model, grads, &weights, learning_rate)?;
        Ok(Self {
            path: Path::Made(Held::new(learning_rate, weights, None)),
            learning_rate,
            slope,
            norm: squared_norm.sqrt(),
        })
    }

    /// The learning rate η of the real step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// The slope g·Δθ: the loss falls at this rate at η = 0.
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// The Euclidean norm ‖Δθ‖ over all parameters.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// Whether parameters of 16 bits move.
    pub(crate) fn has_16_bits(&self) -> bool {
        match &self.path {
            Path::Line(step, _) | Path::Curve(step) => step.epsilon_of_16_bits() > 0.0,
            Path::Made(_) => false,
        }
    }

    /// Whether the optimizer's step is linear in η.
    pub fn is_linear(&self) -> bool {
        !matches!(self.path, Path::Curve(_))
    }

    /// Δθ of each parameter that moves, where the step is linear in η, from the model at θ that the
    /// direction was made of.
    pub(crate) fn delta<M: Module>(
        &self,
        model: &M,
        grads: &GradientsParams,
    ) -> Option<ParamTensors> {
        let (Path::Line(_, held) | Path::Made(held)) = &self.path else {
            return None;
        };
        let mut delta = ParamTensors::default();
        for_each(model, grads, |place| {
            if let Some(moved) = held.weights.get(place.id) {
                let theta = place.weight();
                let dtype = theta.dtype();
                let update = (widened(theta) - moved.clone()) / held.rate;
                delta.insert(place.id, update.cast(dtype));
            }
        });
        Some(delta)
    }

    /// Gives Δθ all its digits back, after the direction has gone along with a search.
    pub(crate) fn renew<M: Module>(&mut self, model: &M) {
        if let Path::Line(step, held) = &mut self.path
            && held.smallest_rate < 1.0
        {
            held.renew(step, model, 1.0);
        }
    }

    /// A copy of the optimizer as it is after the step, from the one that this direction was made with.
    pub(crate) fn optimizer_after<M: Module>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
    ) -> ModuleOptimizer {
        match &self.path {
            Path::Line(step, _) | Path::Curve(step) => step.optimizer_after(model),
            Path::Made(_) => optim.clone(),
        }
    }

    /// The same direction for a group, with the gradients that it was made of.
    pub(crate) fn of_group<M: Module>(
        &self,
        group: &ParamGroup,
        model: &M,
    ) -> Result<Self, DirectionError> {
        match &self.path {
            Path::Line(step, _) => self.restricted_to(group, model, step.grads()),
            Path::Made(_) | Path::Curve(_) => Err(DirectionError::NotLinear),
        }
    }

    /// The direction that moves the parameters of a group only, and holds all others.
    ///
    /// # Errors
    ///
    /// If the group has no parameter with a gradient, or the step is not linear in η.
    pub fn restricted_to<M: Module>(
        &self,
        group: &ParamGroup,
        model: &M,
        grads: &GradientsParams,
    ) -> Result<Self, DirectionError> {
        // One that was made is of no group: it may move much less than the whole.
        let Path::Line(step, held) = &self.path else {
            return Err(DirectionError::NotLinear);
        };
        let mut members = HashSet::new();
        for_each(model, grads, |place| {
            if group.matches(&place.id, Some(place.path)) {
                members.insert(place.id);
            }
        });
        let weights = held.weights.restricted_to(|id| members.contains(&id));
        let [slope, squared_norm] = match products(model, grads, &weights, held.rate) {
            Err(DirectionError::NoGradient) => Err(DirectionError::NothingInGroup),
            products => products,
        }?;
        let held = Held::new(held.rate, weights, Some(members));
        Ok(Self {
            path: Path::Line(step.clone(), held),
            learning_rate: self.learning_rate,
            slope,
            norm: squared_norm.sqrt(),
        })
    }

    /// The model at θ − ηΔθ, from the model at θ that the direction was made of.
    pub fn apply<M: Module>(&self, model: M, learning_rate: f64) -> M {
        match &self.path {
            Path::Line(_, held) | Path::Made(held) => {
                let share = learning_rate / held.rate;
                replace_weights(model, |id, theta| {
                    Some(on_line(theta, held.weights.get(id)?.clone(), share))
                })
            }
            Path::Curve(step) => step.weights(&model, learning_rate).place_into(model),
        }
    }

    /// The same, and from now on the direction shares its copy of the weights with that model, so
    /// that both together hold one. The model that was moved before must be dropped by then.
    pub(crate) fn advance<M: Module>(&mut self, model: M, learning_rate: f64) -> M {
        match &mut self.path {
            Path::Line(step, held) if learning_rate > 0.0 => {
                held.advance(step, model, learning_rate)
            }
            _ => self.apply(model, learning_rate),
        }
    }
}
