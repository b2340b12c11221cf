use crate::loss::{IntoLoss, Loss};
use crate::losses::Gradient;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

pub(crate) struct Known<'a, M> {
    pub(crate) learning_rate: ModuleLearningRate,
    pub(crate) training_loss: Option<Loss>,
    pub(crate) gradient: Option<Gradient<'a, M>>,
}

impl<'a, M: Module + 'a> Known<'a, M> {
    fn new(learning_rate: impl Into<ModuleLearningRate>) -> Self {
        Self {
            learning_rate: learning_rate.into(),
            training_loss: None,
            gradient: None,
        }
    }

    fn with_training_loss(mut self, loss: impl IntoLoss) -> Self {
        // If this loss cannot be read, the probe evaluates it.
        self.training_loss = loss.into_loss().ok();
        self
    }

    fn with_curvature(mut self, loss: impl Fn(&M) -> Tensor<1> + 'a) -> Self {
        self.gradient = Some(Box::new(move |model| {
            let grads = loss(model).mean().backward();
            Ok(GradientsParams::from_grads(grads, model))
        }));
        self
    }
}

/// Describes the update of a training step for
/// [`SharpnessProbe::measure_update`](crate::SharpnessProbe::measure_update), with the optimizer before its step.
#[must_use]
pub struct Update<'a, M> {
    pub(crate) model: &'a M,
    pub(crate) optim: &'a ModuleOptimizer,
    pub(crate) grads: &'a GradientsParams,
    pub(crate) known: Known<'a, M>,
}

impl<'a, M: Module> Update<'a, M> {
    /// Creates the update that `optim` would make from `model` with these gradients.
    pub fn new(
        model: &'a M,
        optim: &'a ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: &'a GradientsParams,
    ) -> Self {
        Self {
            model,
            optim,
            grads,
            known: Known::new(learning_rate),
        }
    }

    /// Passes the loss that the training step has just computed on the batch. If nothing in the model behaves
    /// differently in training, this saves the forward pass for L(θ), the loss before the step, once the training loss
    /// has agreed with the probe's to rounding at several measurements.
    pub fn with_training_loss(mut self, loss: impl IntoLoss) -> Self {
        self.known = self.known.with_training_loss(loss);
        self
    }

    /// Measures the [curvature](crate::hessian) too, at the configured steps. The probe differentiates `loss`, the mean
    /// loss of the batch, at other weights.
    pub fn with_curvature(mut self, loss: impl Fn(&M) -> Tensor<1> + 'a) -> Self {
        self.known = self.known.with_curvature(loss);
        self
    }
}

/// Describes a step for [`SharpnessProbe::optimize_step`](crate::SharpnessProbe::optimize_step), as [`Update`] does.
#[must_use]
pub struct Step<'a, M> {
    pub(crate) model: M,
    pub(crate) optim: &'a mut ModuleOptimizer,
    pub(crate) grads: GradientsParams,
    pub(crate) known: Known<'a, M>,
}

impl<'a, M: Module + 'a> Step<'a, M> {
    /// Creates the step that `optim` makes from `model` with these gradients.
    pub fn new(
        model: M,
        optim: &'a mut ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: GradientsParams,
    ) -> Self {
        Self {
            model,
            optim,
            grads,
            known: Known::new(learning_rate),
        }
    }

    /// Passes the loss that was just differentiated, as in [`Update::with_training_loss`].
    pub fn with_training_loss(mut self, loss: impl IntoLoss) -> Self {
        self.known = self.known.with_training_loss(loss);
        self
    }

    /// Measures the curvature too, as in [`Update::with_curvature`].
    pub fn with_curvature(mut self, loss: impl Fn(&M) -> Tensor<1> + 'a) -> Self {
        self.known = self.known.with_curvature(loss);
        self
    }
}
