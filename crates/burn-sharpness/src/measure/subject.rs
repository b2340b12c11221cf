use crate::loss::BatchLosses;
use crate::losses::Losses;
use crate::params::SquaredNorm;
use crate::schedule::Place;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};

pub(crate) struct Facts {
    pub(crate) place: Place,
    pub(crate) learning_rate: ModuleLearningRate,
    /// The number of batches whose gradients were added; the loss is their mean.
    pub(crate) micro_batches: usize,
    /// Whether the gradients were certainly added. Workers that share their gradients (DDP) take their
    /// mean or their sum; burn does not say which.
    pub(crate) gradient_is_sum: bool,
    /// ‖g‖² of the gradient of each batch, if the panel is asked for and they are known.
    pub(crate) squared_gradients: Vec<SquaredNorm>,
    pub(crate) training_loss: Option<BatchLosses>,
    /// Whether the training step computed it on the model's device. A loss from another device may belong to other
    /// weights: not every backend waits for them to arrive.
    pub(crate) is_on_one_device: bool,
    pub(crate) advice: &'static str,
}

pub(crate) enum Stage<'a, M> {
    Before(&'a ModuleOptimizer),
    After(&'a ModuleOptimizer, &'a M),
}

pub(crate) struct Subject<'a, M> {
    pub(crate) facts: Facts,
    /// The model in validation mode, free of autodiff.
    pub(crate) model: &'a M,
    pub(crate) stage: Stage<'a, M>,
    /// `None` once no part needs them.
    pub(crate) grads: Option<GradientsParams>,
    pub(crate) losses: &'a mut dyn Losses<M>,
    /// Whether the model computes the same in training as in the measurement.
    pub(crate) is_same_in_training: bool,
    pub(crate) has_batch_statistics: bool,
}
