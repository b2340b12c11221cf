use super::error::DirectionError;
use super::products::push_products;
use super::step::VirtualStep;
use crate::params::{ParamTensors, Sums, for_each};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};

/// The relative difference of two virtual steps, made at two learning rates, above which the
/// optimizer's step is not linear in the learning rate. Rounding stays far below it.
const LINEARITY_TOLERANCE: f64 = 1e-3;

/// The weights after a step show its direction where it is so many times larger than the rounding of the weights:
/// then rounding is a few ten-thousandths of it, without a direction of its own.
const SHOWN: f64 = 1024.0;
/// Below so many times, they hide it: rounding may be some per cent of it.
const HIDDEN: f64 = 16.0;

/// What two virtual steps tell of the steps of an optimizer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepKind {
    /// Whether a step is linear in the learning rate.
    pub(crate) is_linear: bool,
    /// Whether parameters of 16 bits move.
    has_16_bits: bool,
    /// ‖θ‖ of the parameters that move.
    weights_norm: f64,
    /// ‖Δθ‖.
    update_norm: f64,
}

impl StepKind {
    /// From a model free of autodiff.
    pub(crate) fn of<M: Module>(
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> Result<Self, DirectionError> {
        let step = VirtualStep::new(model, optim, grads, learning_rate)?;
        Self::of_step(model, &step, step.rate_for(learning_rate.base()))
    }

    /// Compares a step at this rate with one at a quarter of it, by what each has in common with the
    /// gradients and with the weights. Neither step is held.
    pub(super) fn of_step<M: Module>(
        model: &M,
        step: &VirtualStep,
        rate: f64,
    ) -> Result<Self, DirectionError> {
        let (far_rate, near_rate) = (rate, rate / 4.0);
        let mut starts = Sums::default();
        let (mut far, mut near) = (Sums::default(), Sums::default());
        let push = |sums: &mut Sums<3>, weights: ParamTensors| {
            push_products(
                sums,
                model,
                step.grads(),
                &weights,
                |[theta, step, grad]| {
                    [
                        (grad, step.clone()),
                        (theta, step.clone()),
                        (step.clone(), step),
                    ]
                },
            );
        };
        for part in step.parts(model) {
            push(&mut far, step.weights_of(model, far_rate, &part));
            push(&mut near, step.weights_of(model, near_rate, &part));
        }
        for_each(model, step.grads(), |place| {
            starts.push_pieces([&place.weight(), &place.tensor()], |[theta, grad]| {
                [(theta.clone(), theta), (grad.clone(), grad)]
            });
        });
        let read = |sums: Sums<3>, rate: f64| -> Result<[f64; 3], DirectionError> {
            let [with_grads, with_weights, squared] = sums.read().map_err(DirectionError::Read)?;
            Ok([
                with_grads / rate,
                with_weights / rate,
                squared / (rate * rate),
            ])
        };
        let [weights, grads] = starts.read().map_err(DirectionError::Read)?;
        let (far, near) = (read(far, far_rate)?, read(near, near_rate)?);
        let [.., squared_norm] = far;
        // The largest that each product could be.
        let largest = [
            (grads * squared_norm).sqrt(),
            (weights * squared_norm).sqrt(),
            squared_norm,
        ];
        // Steps that are NaN agree: the search names what is wrong with them.
        let tolerance = LINEARITY_TOLERANCE.max(2.0 * step.epsilon_of_16_bits());
        let is_linear = (0..3).all(|product| {
            let apart = (far[product] - near[product]).abs();
            apart.is_nan() || apart <= tolerance * largest[product]
        });
        Ok(Self {
            is_linear,
            has_16_bits: step.epsilon_of_16_bits() > 0.0,
            weights_norm: weights.sqrt(),
            update_norm: squared_norm.sqrt(),
        })
    }

    /// The same after an update of this norm.
    pub(crate) fn with_update_norm(self, update_norm: f64) -> Self {
        Self {
            update_norm,
            ..self
        }
    }

    /// Whether the weights after a step at this learning rate will show the direction of the update.
    pub(crate) fn will_show_at(&self, learning_rate: f64) -> bool {
        let is_known = self.is_linear && !self.has_16_bits && self.update_norm > 0.0;
        is_known && self.is_above_rounding(SHOWN, learning_rate)
    }

    /// Whether they hide it after all, since the update is much smaller than the last one.
    pub(crate) fn hides_at(&self, learning_rate: f64) -> bool {
        !self.is_above_rounding(HIDDEN, learning_rate)
    }

    fn is_above_rounding(&self, times: f64, learning_rate: f64) -> bool {
        let rounding = f64::from(f32::EPSILON) * self.weights_norm;
        learning_rate * self.update_norm >= times * rounding
    }
}
