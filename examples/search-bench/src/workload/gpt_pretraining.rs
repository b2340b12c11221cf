use super::{SEED, Workload, seeded};
use anyhow::{Error, Result};
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor};
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::{PEAK_LEARNING_RATE, adamw};
use gpt::schedule::WarmupStableDecay;
use gpt::small::tokens;
use gpt::tokens::{TokenBatch, TrainBatches, Windows};

/// The model of `gpt-pretrain` on its default text.
pub struct GptPretraining {
    pub steps: usize,
    pub every: u64,
    pub batch: usize,
    /// Its vocabulary must cover the text's.
    pub shape: GptConfig,
    pub device: Device,
}

impl Workload for GptPretraining {
    type Model = Gpt;
    type Batch = TokenBatch;

    fn name(&self) -> &'static str {
        if self.shape.dropout > 0.0 {
            "gpt with dropout, mini-batch AdamW"
        } else {
            "gpt, mini-batch AdamW"
        }
    }

    fn every(&self) -> u64 {
        self.every
    }

    fn init(&self) -> (Gpt, ModuleOptimizer) {
        (self.shape.init(&seeded(&self.device)), adamw(0.0))
    }

    fn batches(&self) -> Result<Vec<TokenBatch>> {
        let windows =
            Windows::new(tokens()?, self.shape.context, "the text").map_err(Error::msg)?;
        let steps = self.steps as u64;
        let batches = TrainBatches::new(windows, self.batch, 1, steps, steps, SEED, 0);
        let loader = batches.loader().to_device(&seeded(&self.device));
        let batches = loader.iter().collect::<Result<Vec<_>, _>>();
        batches.map_err(|error| Error::msg(error.to_string()))
    }

    fn learning_rate(&self, step: usize) -> f64 {
        WarmupStableDecay::usual(PEAK_LEARNING_RATE, self.steps as u64).at(step as u64)
    }

    fn loss(&self, model: &Gpt, batch: &TokenBatch) -> Tensor<1> {
        model.loss(batch.clone())
    }
}
