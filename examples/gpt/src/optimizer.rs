use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig};

pub const BETA_1: f32 = 0.9;
pub const BETA_2: f32 = 0.95;
pub const EPSILON: f32 = 1e-8;
/// Below the ceiling that `gpt-pretrain --find-lr` gives for the small model on the default text, with any seed.
pub const PEAK_LEARNING_RATE: f64 = 1e-3;

/// The momentum has no dampening.
pub fn sgd(momentum: f64) -> ModuleOptimizer {
    let config = MomentumConfig::new().with_momentum(momentum);
    let config = (momentum > 0.0).then(|| config.with_dampening(0.0));
    SgdConfig::new().with_momentum(config).init()
}

pub fn adamw(weight_decay: f32) -> ModuleOptimizer {
    AdamWConfig::new()
        .with_beta_1(BETA_1)
        .with_beta_2(BETA_2)
        .with_epsilon(EPSILON)
        .with_weight_decay(weight_decay)
        .init()
}
