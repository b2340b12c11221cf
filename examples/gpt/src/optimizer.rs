//! Sets up the optimizer of the GPT examples.

use burn::optim::{AdamWConfig, ModuleOptimizer};

/// β₁.
pub const BETA_1: f32 = 0.9;
/// β₂.
pub const BETA_2: f32 = 0.95;
/// ε.
pub const EPSILON: f32 = 1e-8;
/// The learning rate after the warmup: below the ceiling that the learning-rate finder gives for the small model
/// on the default text, with any seed (`gpt-pretrain --find-lr`).
pub const PEAK_LEARNING_RATE: f64 = 1e-3;

/// Creates AdamW with this decoupled weight decay.
pub fn adamw(weight_decay: f32) -> ModuleOptimizer {
    AdamWConfig::new()
        .with_beta_1(BETA_1)
        .with_beta_2(BETA_2)
        .with_epsilon(EPSILON)
        .with_weight_decay(weight_decay)
        .init()
}
