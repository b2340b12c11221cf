//! Common starting points of the tests.

use crate::{Batch, Mlp, MlpConfig, device};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn_sharpness::{Linearity, SharpnessConfig, SharpnessProbe, UpdateDirection};
use std::path::Path;

/// Builds a network for the problem of [`Data`](crate::Data).
pub fn model() -> Mlp {
    MlpConfig::for_data().init(&device::autodiff())
}

/// Builds gradient descent.
pub fn sgd() -> ModuleOptimizer {
    SgdConfig::new().init()
}

/// Builds Adam.
pub fn adam() -> ModuleOptimizer {
    AdamConfig::new().init()
}

/// Computes the gradients of a batch's loss.
pub fn gradients(model: &Mlp, batch: &Batch) -> GradientsParams {
    GradientsParams::from_grads(model.loss(batch).backward(), model)
}

/// Computes the update direction of a model in validation mode.
pub fn direction<M: Module>(
    valid: &M,
    optim: &ModuleOptimizer,
    rate: impl Into<ModuleLearningRate>,
    grads: &GradientsParams,
) -> UpdateDirection {
    let check = Linearity::Check;
    UpdateDirection::new(valid, optim, &rate.into(), grads, 1.0, check).unwrap()
}

/// Makes a probe that measures every `steps` steps.
pub fn every(steps: u64) -> SharpnessProbe {
    SharpnessProbe::new(SharpnessConfig::new().with_every(steps)).unwrap()
}

/// Makes such a probe with a record in a folder.
pub fn in_folder(steps: u64, folder: &Path) -> SharpnessProbe {
    let config = SharpnessConfig::new().with_every(steps);
    SharpnessProbe::new(config.with_directory(folder)).unwrap()
}
