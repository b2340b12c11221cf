use crate::config::ModelConfig;
use crate::gpt2;
use crate::olmo2::Olmo2;
use anyhow::Result;
use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use gpt::model::Gpt;
use gpt::tokens::TokenBatch;
use std::path::Path;

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One is in memory at a time.
pub enum Transformer {
    Gpt2(Gpt),
    Olmo2(Olmo2),
}

impl Transformer {
    /// Reads weights of any precision as 32-bit floats.
    pub fn open(folder: &Path, config: &ModelConfig, device: &Device) -> Result<Self> {
        Ok(match config {
            ModelConfig::Gpt2(config) => Self::Gpt2(gpt2::open(folder, config, device)?),
            ModelConfig::Olmo2(config) => Self::Olmo2(Olmo2::open(folder, config, device)?),
        })
    }

    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        match self {
            Self::Gpt2(model) => model.forward(tokens),
            Self::Olmo2(model) => model.forward(tokens),
        }
    }

    /// Returns the mean cross entropy of each window, in nats: `[batch]`.
    pub fn window_losses(&self, batch: &TokenBatch) -> Tensor<1> {
        let logits = self.forward(batch.inputs.clone());
        let targets = batch.targets.clone().unsqueeze_dim::<3>(2);
        let log_probabilities = log_softmax(logits, 2).gather(2, targets);
        -log_probabilities
            .squeeze_dim::<2>(2)
            .mean_dim(1)
            .squeeze_dim::<1>(1)
    }
}
