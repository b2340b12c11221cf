//! The update direction Δθ of an optimizer's next step, and the weights along it.

mod curve;
mod error;
mod held;
mod kind;
mod linearity;
mod products;
mod rates;
mod step;

pub use error::DirectionError;
pub(crate) use kind::StepKind;
pub use linearity::Linearity;
pub(crate) use rates::GroupRatios;
pub(crate) use step::{VirtualStep, after_step_of, smallest};

use crate::params::{ParamTensors, for_each, replace_weights, widened};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use curve::Curve;
use held::{Held, on_line};
use products::products;
use std::collections::HashSet;

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
/// **Where the step is not linear in η** (Adafactor caps its rate, a proximal decay divides by 1 + ηλ), there is no such line.
/// Then θ(η) are the weights after a step of the clone at this very η, and Δθ is that of the step at the rate in use.
///
/// Only parameters with a gradient move. A direction holds one copy of them: the weights at one
/// learning rate, of which those at all others follow. One that is not linear holds none.
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
    Curve(Curve),
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
        let is_linear = match linearity {
            Linearity::Linear => true,
            Linearity::Nonlinear => false,
            Linearity::Check => StepKind::of(model, &step, None)?.is_linear,
        };
        Self::of_virtual(model, step, scale, is_linear)
    }

    /// The direction of virtual steps, which are linear in the learning rate or are not.
    pub(crate) fn of_virtual<M: Module>(
        model: &M,
        step: VirtualStep,
        scale: f64,
        is_linear: bool,
    ) -> Result<Self, DirectionError> {
        if !is_linear {
            return Self::of_curve(model, step, None, scale);
        }
        let (learning_rate, rate) = (step.learning_rate(), step.rate_for(scale));
        let weights = step.weights(model, rate);
        let products = products(model, step.grads(), &weights, rate)?;
        let path = Path::Line(step, Held::new(rate, weights, None));
        Ok(Self::along(path, learning_rate, products))
    }

    fn along(path: Path, learning_rate: f64, [slope, squared_norm]: [f64; 2]) -> Self {
        Self {
            path,
            learning_rate,
            slope,
            norm: squared_norm.sqrt(),
        }
    }

    /// The direction of steps that are not linear in the learning rate, or of those of some parameters.
    fn of_curve<M: Module>(
        model: &M,
        step: VirtualStep,
        members: Option<HashSet<ParamId>>,
        scale: f64,
    ) -> Result<Self, DirectionError> {
        let learning_rate = step.learning_rate();
        let (curve, products) = Curve::new(model, step, members, scale)?;
        Ok(Self::along(Path::Curve(curve), learning_rate, products))
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
        let products = products(model, grads, &weights, learning_rate)?;
        let path = Path::Made(Held::new(learning_rate, weights, None));
        Ok(Self::along(path, learning_rate, products))
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
    ///
    /// Where the step is not linear, Δθ is that of the step at the rate in use, and the rounding of the weights after it is in
    /// the norm and in the slope.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// Whether Δθ has digits. It has none where the step is not linear, and so small at the rate in use that it is lost in
    /// the rounding of the weights; larger steps may be seen all the same.
    pub(crate) fn is_shown(&self) -> bool {
        !matches!(&self.path, Path::Curve(curve) if curve.is_hidden())
    }

    /// Whether no step moves anything.
    pub(crate) fn is_zero(&self) -> bool {
        self.norm == 0.0 && self.is_shown()
    }

    /// The virtual steps, if it is made of any.
    fn step(&self) -> Option<&VirtualStep> {
        match &self.path {
            Path::Line(step, _) => Some(step),
            Path::Curve(curve) => Some(curve.step()),
            Path::Made(_) => None,
        }
    }

    /// Whether parameters of 16 bits move.
    pub(crate) fn has_16_bits(&self) -> bool {
        self.step()
            .is_some_and(|step| step.epsilon_of_16_bits() > 0.0)
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
        match self.step() {
            Some(step) => step.optimizer_after(model),
            None => optim.clone(),
        }
    }

    /// The direction that moves the parameters of a group only, and holds all others.
    pub(crate) fn of_group<M: Module>(
        &self,
        group: &ParamGroup,
        model: &M,
    ) -> Result<Self, DirectionError> {
        let step = self.step().ok_or(DirectionError::StepMade)?;
        let grads = step.grads();
        let mut members = HashSet::new();
        for_each(model, grads, |place| {
            if group.matches(&place.id, Some(place.path)) {
                members.insert(place.id);
            }
        });
        if members.is_empty() {
            return Err(DirectionError::NothingInGroup);
        }
        let Path::Line(_, held) = &self.path else {
            return Self::of_curve(model, step.clone(), Some(members), self.learning_rate);
        };
        let weights = held.weights.restricted_to(|id| members.contains(&id));
        let products = products(model, grads, &weights, held.rate)?;
        let held = Held::new(held.rate, weights, Some(members));
        let path = Path::Line(step.clone(), held);
        Ok(Self::along(path, self.learning_rate, products))
    }

    /// The model at θ − ηΔθ, from the model at θ that the direction was made of; where the step is not linear, the model
    /// after a step at this η.
    pub fn apply<M: Module>(&self, model: M, learning_rate: f64) -> M {
        match &self.path {
            Path::Line(_, held) | Path::Made(held) => {
                let share = learning_rate / held.rate;
                replace_weights(model, |id, theta| {
                    Some(on_line(theta, held.weights.get(id)?.clone(), share))
                })
            }
            Path::Curve(curve) => curve.weights(&model, learning_rate).place_into(model),
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
