use crate::hessian::{GradientError, gradient_of_losses};
use crate::loss::BatchLosses;
use crate::{IntoLoss, Loss};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

/// Computes the gradient of the training loss at other weights.
pub(crate) type Gradient<'a, M> = Box<dyn FnMut(&M) -> Result<GradientsParams, GradientError> + 'a>;

/// What else than the update itself may be known of it.
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
        // A loss that cannot be read is evaluated instead.
        self.training_loss = loss.into_loss().ok();
        self
    }

    fn with_curvature(mut self, loss: impl Fn(&M) -> Tensor<1> + 'a) -> Self {
        let gradient = gradient_of_losses(vec![()], move |model: &M, ()| loss(model));
        self.gradient = Some(Box::new(gradient));
        self
    }
}

/// The update that a training step is about to make, for
/// [`SharpnessProbe::measure_update`](crate::SharpnessProbe::measure_update): the model, the optimizer
/// before its step, the learning rate (a number, or one per group) and the gradients, and what else is
/// known.
#[must_use]
pub struct Update<'a, M> {
    pub(crate) model: &'a M,
    pub(crate) optim: &'a ModuleOptimizer,
    pub(crate) grads: &'a GradientsParams,
    pub(crate) known: Known<'a, M>,
}

impl<'a, M: Module> Update<'a, M> {
    /// The update that `optim` would make from `model` with these gradients.
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

    /// The loss that the training step has just computed on the batch. It saves the forward pass for
    /// L(θ) where nothing in the model behaves differently in training, once the two losses were seen to
    /// agree to rounding at several measurements.
    pub fn with_training_loss(mut self, loss: impl IntoLoss) -> Self {
        self.known = self.known.with_training_loss(loss);
        self
    }

    /// Measures the [curvature](crate::hessian), too, at the steps at which the configuration asks for
    /// it. `loss` computes the mean loss of the batch, which is differentiated at other weights.
    pub fn with_curvature(mut self, loss: impl Fn(&M) -> Tensor<1> + 'a) -> Self {
        self.known = self.known.with_curvature(loss);
        self
    }
}

/// The step of an optimizer that is to be made and measured, for
/// [`SharpnessProbe::optimize_step`](crate::SharpnessProbe::optimize_step): the model, the optimizer, the
/// learning rate (a number, or one per group) and the gradients, and what else is known.
#[must_use]
pub struct Step<'a, M> {
    pub(crate) model: M,
    pub(crate) optim: &'a mut ModuleOptimizer,
    pub(crate) grads: GradientsParams,
    pub(crate) known: Known<'a, M>,
}

impl<'a, M: Module + 'a> Step<'a, M> {
    /// The step that `optim` makes from `model` with these gradients.
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

    /// The loss that has just been differentiated, as in [`Update::with_training_loss`].
    pub fn with_training_loss(mut self, loss: impl IntoLoss) -> Self {
        self.known = self.known.with_training_loss(loss);
        self
    }

    /// Measures the curvature, too, as in [`Update::with_curvature`].
    pub fn with_curvature(mut self, loss: impl Fn(&M) -> Tensor<1> + 'a) -> Self {
        self.known = self.known.with_curvature(loss);
        self
    }
}

/// Whether the optimizer has made the step that is measured.
pub(crate) enum Stage<'a, M> {
    /// The optimizer before its step.
    Before(&'a ModuleOptimizer),
    /// The optimizer after its step, and the model that the step has made.
    After(&'a ModuleOptimizer, &'a M),
}

/// The model after its step, which is measured before it is made, or after.
pub(crate) fn with_step<M: Module>(
    model: M,
    optim: &mut ModuleOptimizer,
    step_first: bool,
    make: impl FnOnce(M, &mut ModuleOptimizer) -> M,
    measure: impl FnOnce(&M, Stage<'_, M>),
) -> M {
    if !step_first {
        measure(&model, Stage::Before(optim));
        return make(model, optim);
    }
    let before = model.clone();
    let after = make(model, optim);
    measure(&before, Stage::After(optim, &after));
    after
}

/// All that a measurement needs to know of an update.
pub(crate) struct MeasuredUpdate<'a, M> {
    pub(crate) step: u64,
    pub(crate) epoch: Option<u64>,
    /// The model in validation mode, free of autodiff.
    pub(crate) model: &'a M,
    /// Whether the model computes in training what it computes in validation.
    pub(crate) is_same_in_training: bool,
    /// Whether batch norm computes from the batch while the training loss is measured.
    pub(crate) has_batch_statistics: bool,
    pub(crate) stage: Stage<'a, M>,
    pub(crate) learning_rate: &'a ModuleLearningRate,
    /// None once nothing needs them any more.
    pub(crate) grads: Option<GradientsParams>,
    /// The number of batches whose gradients were added up; the loss is their mean.
    pub(crate) micro_batches: usize,
    /// Whether they were added up for certain. Workers that share their gradients (DDP) take their mean or
    /// their sum, and which of the two is not told.
    pub(crate) gradient_is_sum: bool,
    /// The loss that the training step has computed, if it is known.
    pub(crate) training_loss: Option<BatchLosses>,
    /// Whether all of it was computed where the model is. On another device it may be of other weights: not every
    /// backend waits for them to arrive.
    pub(crate) is_on_one_device: bool,
    /// What to do where the loss of the training step is another one than the loss that is measured.
    pub(crate) advice: &'static str,
    /// The training loss of a model on the batches of the update.
    pub(crate) loss: &'a mut dyn FnMut(&M) -> Result<BatchLosses, String>,
    /// Its gradient, summed over the batches, where the curvature may be measured.
    pub(crate) gradient: Option<Gradient<'a, M>>,
}
