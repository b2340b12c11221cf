use crate::loss::BatchLosses;
use crate::losses::Losses;
use crate::params::SquaredNorm;
use crate::schedule::Place;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};

/// What is known of an update before anything is measured.
pub(crate) struct Facts {
    pub(crate) place: Place,
    pub(crate) learning_rate: ModuleLearningRate,
    /// The number of batches whose gradients were added up; the loss is their mean.
    pub(crate) micro_batches: usize,
    /// Whether they were added up for certain. Workers that share their gradients (DDP) take their mean or
    /// their sum, and which of the two is not told.
    pub(crate) gradient_is_sum: bool,
    /// ‖g‖² of the gradient of each batch, if the panel is asked for and they are known.
    pub(crate) squared_gradients: Vec<SquaredNorm>,
    /// The loss that the training step has computed, if it is known.
    pub(crate) training_loss: Option<BatchLosses>,
    /// Whether all of it was computed where the model is. On another device it may be of other weights: not every
    /// backend waits for them to arrive.
    pub(crate) is_on_one_device: bool,
    /// What to do where the loss of the training step is another one than the loss that is measured.
    pub(crate) advice: &'static str,
}

/// Whether the optimizer has made the step that is measured.
pub(crate) enum Stage<'a, M> {
    /// The optimizer before its step.
    Before(&'a ModuleOptimizer),
    /// The optimizer after its step, and the model that the step has made.
    After(&'a ModuleOptimizer, &'a M),
}

/// An update that is measured.
pub(crate) struct Subject<'a, M> {
    pub(crate) facts: Facts,
    /// The model in validation mode, free of autodiff.
    pub(crate) model: &'a M,
    pub(crate) stage: Stage<'a, M>,
    /// None once nothing needs them any more.
    pub(crate) grads: Option<GradientsParams>,
    /// The training loss on the batches of the update.
    pub(crate) losses: &'a mut dyn Losses<M>,
    /// Whether the model computes in training what it computes where it is measured.
    pub(crate) is_same_in_training: bool,
    /// Whether batch norm computes from the batch while the training loss is measured.
    pub(crate) has_batch_statistics: bool,
}
