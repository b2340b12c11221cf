use crate::{Batch, Mlp, MlpConfig, device};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn_sharpness::{Linearity, SharpnessConfig, SharpnessProbe, UpdateDirection};
use std::path::Path;

pub fn model() -> Mlp {
    MlpConfig::for_data().init(&device::autodiff())
}

pub fn sgd() -> ModuleOptimizer {
    SgdConfig::new().init()
}

pub fn adam() -> ModuleOptimizer {
    AdamConfig::new().init()
}

pub fn gradients(model: &Mlp, batch: &Batch) -> GradientsParams {
    GradientsParams::from_grads(model.loss(batch).backward(), model)
}

pub fn direction<M: Module>(
    valid: &M,
    optim: &ModuleOptimizer,
    rate: impl Into<ModuleLearningRate>,
    grads: &GradientsParams,
) -> UpdateDirection {
    let check = Linearity::Check;
    UpdateDirection::new(valid, optim, &rate.into(), grads, 1.0, check).unwrap()
}

pub fn every(steps: u64) -> SharpnessProbe {
    SharpnessProbe::new(SharpnessConfig::new().with_every(steps)).unwrap()
}

pub fn in_folder(steps: u64, folder: &Path) -> SharpnessProbe {
    let config = SharpnessConfig::new().with_every(steps);
    SharpnessProbe::new(config.with_directory(folder)).unwrap()
}
