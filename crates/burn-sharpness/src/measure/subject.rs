use crate::loss::BatchLosses;
use crate::losses::{Coverage, Losses};
use crate::params::SquaredNorm;
use crate::schedule::Place;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};

pub(crate) struct Facts {
    pub(crate) place: Place,
    pub(crate) learning_rate: ModuleLearningRate,
    /// The number of batches behind the update; the loss is the mean of theirs.
    pub(crate) batches: usize,
    /// Whose loss is evaluated. Workers that share their gradients take the mean or the sum of them; burn does not say which.
    pub(crate) coverage: Coverage,
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
