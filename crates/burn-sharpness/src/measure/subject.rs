use crate::loss::BatchLosses;
use crate::losses::{Coverage, Losses};
use crate::params::{SquaredNorm, home_of};
use crate::schedule::Place;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Device;

pub(crate) struct Facts {
    pub(crate) place: Place,
    pub(crate) learning_rate: ModuleLearningRate,
    pub(crate) batches: usize,
    pub(crate) coverage: Coverage,
    pub(crate) squared_gradients: Vec<SquaredNorm>,
    pub(crate) training_loss: Option<BatchLosses>,
    /// A loss from another device than the model's may belong to other weights: not every backend waits for them to
    /// arrive.
    pub(crate) is_on_one_device: bool,
    /// The device of the user's own batches (of tasks, of batch sharpness), if several workers make the update: any of
    /// them may measure.
    pub(crate) batches_home: Option<Device>,
    pub(crate) advice: &'static str,
}

pub(crate) enum Stage<'a, M> {
    Before(&'a ModuleOptimizer),
    After(&'a ModuleOptimizer, &'a M),
}

pub(crate) struct Subject<'a, M> {
    pub(crate) facts: Facts,
    /// In validation mode, free of autodiff.
    pub(crate) model: &'a M,
    pub(crate) stage: Stage<'a, M>,
    /// `None` once no part needs them.
    pub(crate) grads: Option<GradientsParams>,
    pub(crate) losses: &'a mut dyn Losses<M>,
    pub(crate) is_same_in_training: bool,
    pub(crate) has_batch_statistics: bool,
}

impl<M: Module> Subject<'_, M> {
    pub(super) fn batches_home(&self) -> Device {
        let home = self.facts.batches_home.clone();
        home.unwrap_or_else(|| home_of(self.model).inner())
    }
}
