//! Computes the update direction Δθ of an optimizer's next step, and the weights along it.

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

use crate::params::{ParamTensors, for_each, replace_weights, sizes, widened};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use curve::Curve;
use held::{Held, on_line};
use products::products;
use std::collections::HashSet;

/// Computes the update direction Δθ of an optimizer's next step θ ← θ − ηΔθ, and the line θ − ηΔθ.
///
/// Δθ = (θ − θ′)/η, with the weights θ′ after one virtual step of a clone of the optimizer. So Δθ includes momentum,
/// preconditioning, gradient clipping, weight decay, and the ratios between the learning rates of groups. Optimizer and
/// model stay unchanged, and only parameters with a gradient move.
///
/// η is the learning rate of the default group, or of the fastest group if the default rate is 0; other groups move in
/// proportion. If every rate is 0, all groups share one rate.
///
/// **In 16 bits** (`f16`, `bf16`) θ − ηΔθ is computed in 32 bits and rounded once. The loss along it is a staircase,
/// whose steps limit the accuracy of η_c.
///
/// **If the step is not linear in η** (Adafactor caps its rate, a proximal decay divides by 1 + ηλ), θ(η) are the
/// weights after a step of the clone at this very η, and Δθ belongs to the step at the rate in use.
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

enum Path {
    Line(VirtualStep, Held),
    /// A step that the training made: the weights stay at its rate.
    Made(Held),
    /// A nonlinear step, made anew at each η.
    Curve(Curve),
}

impl UpdateDirection {
    /// Computes the direction of the step that `optim` would make from `model`, which must be free of autodiff (see
    /// [`Module::valid`]).
    ///
    /// `scale` is the largest likely learning rate of an evaluation; it keeps the digits of Δθ there.
    ///
    /// # Errors
    ///
    /// Returns an error without a gradient, or with an invalid learning rate.
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

    /// `after` must [show the direction](StepKind::will_show_at).
    pub(crate) fn of_step<M: Module>(
        model: &M,
        after: &M,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> Result<Self, DirectionError> {
        let learning_rate = GroupRatios::new(model, learning_rate, grads)?.reference;
        let mut weights = ParamTensors::default();
        for_each(after, grads, |place| {
            weights.insert(place.id, place.weight());
        });
        let mut sizes = sizes(model, grads).into_iter();
        let is_there = |(id, elements)| {
            let after = weights.get(&id);
            after.is_some_and(|after| after.shape().num_elements() == elements)
        };
        if !sizes.all(is_there) {
            return Err(DirectionError::Replaced);
        }
        let products = products(model, grads, &weights, learning_rate)?;
        let path = Path::Made(Held::new(learning_rate, weights, None));
        Ok(Self::along(path, learning_rate, products))
    }

    /// Returns the learning rate η of the real step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Returns the slope g·Δθ: at η = 0, the loss falls at this rate.
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// Returns the Euclidean norm ‖Δθ‖ over all parameters. For a nonlinear step, norm and slope belong to the step at
    /// the rate in use.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    pub(crate) fn is_shown(&self) -> bool {
        !matches!(&self.path, Path::Curve(curve) if curve.is_hidden)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.norm == 0.0 && self.is_shown()
    }

    fn step(&self) -> Option<&VirtualStep> {
        match &self.path {
            Path::Line(step, _) => Some(step),
            Path::Curve(curve) => Some(&curve.step),
            Path::Made(_) => None,
        }
    }

    pub(crate) fn has_16_bits(&self) -> bool {
        self.step().is_some_and(|step| step.has_16_bits)
    }

    /// Whether the optimizer's step is linear in η.
    pub fn is_linear(&self) -> bool {
        !matches!(self.path, Path::Curve(_))
    }

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
            if let Some(moved) = held.weights.get(&place.id) {
                let theta = place.weight();
                let dtype = theta.dtype();
                let update = (widened(theta) - moved.clone()) / held.rate;
                delta.insert(place.id, update.cast(dtype));
            }
        });
        Some(delta)
    }

    /// Restores all digits of Δθ after a search has moved the direction.
    pub(crate) fn renew<M: Module>(&mut self, model: &M) {
        if let Path::Line(step, held) = &mut self.path
            && held.smallest_rate < 1.0
        {
            held.renew(step, model, 1.0);
        }
    }

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
        let mut weights = held.weights.clone();
        weights.retain(|id, _| members.contains(id));
        let products = products(model, grads, &weights, held.rate)?;
        let held = Held::new(held.rate, weights, Some(members));
        let path = Path::Line(step.clone(), held);
        Ok(Self::along(path, self.learning_rate, products))
    }

    /// Moves the direction's model from θ to θ − ηΔθ, or makes the step at this η if it is nonlinear.
    pub fn apply<M: Module>(&self, model: M, learning_rate: f64) -> M {
        match &self.path {
            Path::Line(_, held) | Path::Made(held) => {
                let share = learning_rate / held.rate;
                replace_weights(model, |id, theta| {
                    Some(on_line(theta, held.weights.get(&id)?.clone(), share))
                })
            }
            Path::Curve(curve) => {
                let weights = curve.weights(&model, learning_rate);
                replace_weights(model, |id, _| weights.get(&id).cloned())
            }
        }
    }

    /// Like [`apply`](Self::apply), but direction and model share one copy of the weights. The caller must have dropped
    /// the last moved model.
    pub(crate) fn advance<M: Module>(&mut self, model: M, learning_rate: f64) -> M {
        match &mut self.path {
            Path::Line(step, held) if learning_rate > 0.0 => {
                held.advance(step, model, learning_rate)
            }
            _ => self.apply(model, learning_rate),
        }
    }
}
