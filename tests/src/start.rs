use crate::{Batch, Data, Mlp, MlpConfig, device};
use burn::data::dataloader::DataLoader;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ParamGroup};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::Tensor;
use burn_sharpness::{Linearity, SharpnessConfig, SharpnessProbe, UpdateDirection};
use std::path::Path;
use std::sync::Arc;

pub fn model() -> Mlp {
    MlpConfig::for_data().start()
}

pub fn sgd() -> ModuleOptimizer {
    SgdConfig::new().init()
}

pub fn momentum() -> ModuleOptimizer {
    let momentum = Some(MomentumConfig::new());
    SgdConfig::new().with_momentum(momentum).init()
}

pub fn adam() -> ModuleOptimizer {
    AdamConfig::new().init()
}

/// With a weight decay of 0.1.
pub fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(0.1).init()
}

/// For the first layer, and for all others.
pub fn rates(first_layer: f64, others: f64) -> ModuleLearningRate {
    let first = ParamGroup::from_predicate("layers.0");
    let mut scheduler = ModuleLrScheduler::new(others).with_group(first, first_layer);
    scheduler.step()
}

pub fn batch_of(examples: usize) -> Batch {
    Data::new(1, examples, &device::autodiff()).batch(0)
}

/// For training and validation.
pub fn loaders() -> [Arc<dyn DataLoader<Batch>>; 2] {
    let [train, valid] = [device::autodiff(), device::plain()];
    [Data::new(8, 16, &train), Data::new(2, 16, &valid)].map(Data::loader)
}

/// For a task.
pub fn plain_batch_of(examples: usize) -> Batch {
    Data::new(1, examples, &device::plain()).batch(0)
}

pub fn task_loss(model: &Mlp, batch: Batch) -> Tensor<1> {
    model.loss(&batch)
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

pub fn probe_of(config: SharpnessConfig) -> SharpnessProbe {
    SharpnessProbe::new(config).unwrap()
}

pub fn every(steps: u64) -> SharpnessProbe {
    probe_of(SharpnessConfig::new().with_every(steps))
}

pub fn in_folder(steps: u64, folder: &Path) -> SharpnessProbe {
    let config = SharpnessConfig::new().with_every(steps);
    probe_of(config.with_directory(folder))
}
