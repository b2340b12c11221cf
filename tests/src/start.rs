//! What most tests start from.

use crate::{Batch, Mlp, MlpConfig, device};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn_sharpness::{Linearity, SharpnessConfig, SharpnessProbe, UpdateDirection};
use std::path::Path;

/// A network for the problem of [`Data`](crate::Data).
pub fn model() -> Mlp {
    MlpConfig::for_data().init(&device::autodiff())
}

/// Gradient descent.
pub fn sgd() -> ModuleOptimizer {
    SgdConfig::new().init()
}

/// Adam.
pub fn adam() -> ModuleOptimizer {
    AdamConfig::new().init()
}

/// The gradients of the loss of a batch.
pub fn gradients(model: &Mlp, batch: &Batch) -> GradientsParams {
    GradientsParams::from_grads(model.loss(batch).backward(), model)
}

/// The direction of an update of a model in validation mode.
///
/// # Panics
///
/// If it has none.
pub fn direction<M: Module>(
    valid: &M,
    optim: &ModuleOptimizer,
    rate: impl Into<ModuleLearningRate>,
    grads: &GradientsParams,
) -> UpdateDirection {
    let check = Linearity::Check;
    UpdateDirection::new(valid, optim, &rate.into(), grads, 1.0, check).unwrap()
}

/// A probe that measures every so many steps.
///
/// # Panics
///
/// If that is 0.
pub fn every(steps: u64) -> SharpnessProbe {
    SharpnessProbe::new(SharpnessConfig::new().with_every(steps)).unwrap()
}

/// The same with a record in a folder.
///
/// # Panics
///
/// As [`every`], and if the folder cannot be written.
pub fn in_folder(steps: u64, folder: &Path) -> SharpnessProbe {
    let config = SharpnessConfig::new().with_every(steps);
    SharpnessProbe::new(config.with_directory(folder)).unwrap()
}
