//! A decoder-only transformer in the style of GPT-2.

use anyhow::{Result, ensure};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig,
};
use burn::tensor::module::{attention, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Int, Tensor};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use crate::activation::Activation;
use crate::output::LossOutput;
use crate::tokens::TokenBatch;

const LARGEST_SIZE: usize = 1 << 20;
/// They would take 400 GB.
const MOST_WEIGHTS: u128 = 100_000_000_000;

#[derive(Config, Debug, PartialEq)]
pub struct GptConfig {
    pub vocab: usize,
    pub context: usize,
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    #[config(default = 0.0)]
    pub dropout: f64,
    #[config(default = true)]
    pub tied: bool,
}

impl GptConfig {
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("vocabulary", self.vocab),
            ("context", self.context),
            ("number of layers", self.layers),
            ("number of heads", self.heads),
            ("width", self.width),
        ];
        for (name, size) in sizes {
            ensure!(size > 0, "the {name} is 0, but must be at least 1");
            ensure!(
                size <= LARGEST_SIZE,
                "the {name} is {size}, but must be at most {LARGEST_SIZE}"
            );
        }
        let weights = self.weights();
        ensure!(
            weights <= MOST_WEIGHTS,
            "the model would have {:.1e} weights, more than {MOST_WEIGHTS:.0e}: choose fewer layers, or a smaller width",
            weights as f64
        );
        let (width, heads, dropout) = (self.width, self.heads, self.dropout);
        ensure!(
            width.is_multiple_of(heads),
            "the width {width} cannot be split into {heads} heads: choose a multiple of {heads}"
        );
        ensure!(
            (0.0..1.0).contains(&dropout),
            "the dropout is {dropout}, but must be a probability from 0 up to, not including, 1"
        );
        Ok(())
    }

    fn weights(&self) -> u128 {
        let [vocab, context, layers, width] =
            [self.vocab, self.context, self.layers, self.width].map(|size| size as u128);
        (vocab + context + 12 * layers * width) * width
    }

    /// GPT-2's random weights: N(0, 0.02²), and smaller in layers that write to the residual stream.
    pub fn init(&self, device: &Device) -> Gpt {
        let embedding = |count: usize| {
            EmbeddingConfig::new(count, self.width)
                .with_initializer(normal(0.02))
                .init(device)
        };
        Gpt {
            tokens: embedding(self.vocab),
            positions: embedding(self.context),
            dropout: dropout(self.dropout),
            blocks: (0..self.layers).map(|_| Block::new(self, device)).collect(),
            norm: LayerNormConfig::new(self.width).init(device),
            head: (!self.tied).then(|| {
                LinearConfig::new(self.width, self.vocab)
                    .with_bias(false)
                    .with_initializer(normal(0.02))
                    .init(device)
            }),
        }
    }
}

/// `None` for probability 0: even a dropout of 0 counts as different in training, and the probe could not take L(θ)
/// from the training step.
fn dropout(probability: f64) -> Option<Dropout> {
    (probability > 0.0).then(|| DropoutConfig::new(probability).init())
}

fn drop_out(dropout: &Option<Dropout>, x: Tensor<3>) -> Tensor<3> {
    match dropout {
        Some(dropout) => dropout.forward(x),
        None => x,
    }
}

fn normal(std: f64) -> Initializer {
    Initializer::Normal { mean: 0.0, std }
}

fn linear_layer(inputs: usize, outputs: usize, std: f64, device: &Device) -> Linear {
    let layer = LinearConfig::new(inputs, outputs).with_initializer(normal(std));
    let mut layer = layer.init(device);
    layer.bias = Some(Param::from_tensor(Tensor::zeros([outputs], device)));
    layer
}

#[derive(Module, Debug)]
pub struct Gpt {
    pub tokens: Embedding,
    pub positions: Embedding,
    pub dropout: Option<Dropout>,
    pub blocks: Vec<Block>,
    pub norm: LayerNorm,
    /// Absent if the output layer is tied.
    pub head: Option<Linear>,
}

impl Gpt {
    /// Returns the logits `[batch, time, vocab]` of `tokens` `[batch, time]`.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, time] = tokens.dims();
        let positions = Tensor::<1, Int>::arange(0..time as i64, &tokens.device()).unsqueeze();
        let x = self.tokens.forward(tokens) + self.positions.forward(positions);
        let mut x = drop_out(&self.dropout, x);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let x = self.norm.forward(x);
        match &self.head {
            Some(head) => head.forward(x),
            // Tie the weights here: burn gives a shared parameter only one of its gradients.
            None => linear(x, self.tokens.weight.val().transpose(), None),
        }
    }

    pub fn loss(&self, batch: TokenBatch) -> Tensor<1> {
        let logits = self.forward(batch.inputs).flatten::<2>(0, 1);
        let targets = batch.targets.flatten::<1>(0, 1);
        CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits, targets)
    }
}

#[derive(Module, Debug)]
pub struct Block {
    pub attention_norm: LayerNorm,
    pub query_key_value: Linear,
    pub attention_out: Linear,
    pub mlp_norm: LayerNorm,
    pub mlp_in: Linear,
    #[module(skip)]
    pub activation: Activation,
    pub mlp_out: Linear,
    pub dropout: Option<Dropout>,
    pub heads: usize,
    /// The factor on attention scores; by default the inverse square root of a head's width.
    #[module(skip)]
    pub attention_scale: Option<f64>,
}

impl Block {
    fn new(config: &GptConfig, device: &Device) -> Self {
        let width = config.width;
        let residual_std = 0.02 / (2.0 * config.layers as f64).sqrt();
        Self {
            attention_norm: LayerNormConfig::new(width).init(device),
            query_key_value: linear_layer(width, 3 * width, 0.02, device),
            attention_out: linear_layer(width, width, residual_std, device),
            mlp_norm: LayerNormConfig::new(width).init(device),
            mlp_in: linear_layer(width, 4 * width, 0.02, device),
            activation: Activation::Gelu,
            mlp_out: linear_layer(4 * width, width, residual_std, device),
            dropout: dropout(config.dropout),
            heads: config.heads,
            attention_scale: None,
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let attended = self.attend(self.attention_norm.forward(x.clone()));
        let x = x + drop_out(&self.dropout, attended);
        let hidden = self.mlp_in.forward(self.mlp_norm.forward(x.clone()));
        let hidden = self.mlp_out.forward(self.activation.forward(hidden));
        x + drop_out(&self.dropout, hidden)
    }

    fn attend(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let heads = |x: Tensor<3>| -> Tensor<4> {
            x.reshape([batch, time, self.heads, width / self.heads])
                .swap_dims(1, 2)
        };
        let parts = self.query_key_value.forward(x).chunk(3, 2);
        let mut parts = parts.into_iter().map(heads);
        let (Some(query), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next())
        else {
            unreachable!("three chunks were made");
        };
        let options = AttentionModuleOptions {
            scale: self.attention_scale,
            is_causal: true,
            ..Default::default()
        };
        let attended = attention(query, key, value, None, None, options);
        let attended = attended.swap_dims(1, 2).reshape([batch, time, width]);
        self.attention_out.forward(attended)
    }
}

impl TrainStep for Gpt {
    type Input = TokenBatch;
    type Output = LossOutput;

    fn step(&self, batch: TokenBatch) -> TrainOutput<LossOutput> {
        let loss = self.loss(batch);
        TrainOutput::new(self, loss.backward(), LossOutput::new(loss))
    }
}

impl InferenceStep for Gpt {
    type Input = TokenBatch;
    type Output = LossOutput;

    fn step(&self, batch: TokenBatch) -> LossOutput {
        LossOutput::new(self.loss(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> GptConfig {
        GptConfig::new(50, 8, 2, 2, 16)
    }

    fn tokens(values: [i64; 8]) -> Tensor<2, Int> {
        Tensor::from_data([values], &crate::device::of_environment().unwrap())
    }

    #[test]
    fn a_token_does_not_see_the_ones_after_it() {
        let model = config().init(&crate::device::of_environment().unwrap());
        let a = model.forward(tokens([1, 2, 3, 4, 5, 6, 7, 8]));
        let b = model.forward(tokens([1, 2, 3, 4, 9, 9, 9, 9]));
        let seen = |logits: &Tensor<3>| logits.clone().slice([0..1, 0..4]).into_data();
        let unseen = |logits: &Tensor<3>| logits.clone().slice([0..1, 4..8]).into_data();
        assert_eq!(seen(&a), seen(&b));
        assert_ne!(unseen(&a), unseen(&b));
    }

    #[test]
    fn a_new_model_knows_nothing_and_tying_saves_the_output_layer() {
        for tied in [true, false] {
            let config = config().with_tied(tied);
            let model = config.init(&crate::device::of_environment().unwrap());
            let batch = TokenBatch {
                inputs: tokens([1, 2, 3, 4, 5, 6, 7, 8]),
                targets: tokens([2, 3, 4, 5, 6, 7, 8, 9]),
            };
            let loss = model.loss(batch).into_scalar::<f32>();
            assert!((loss - 50f32.ln()).abs() < 0.3, "{loss}");

            let head = if tied { 0 } else { 50 * 16 };
            let block = 4 * 16 + 12 * 16 * 16 + (3 + 1 + 4 + 1) * 16;
            let others = (50 + 8) * 16 + 2 * 16;
            assert_eq!(model.num_params(), others + 2 * block + head);
        }
    }

    #[test]
    fn impossible_shapes_are_named() {
        let refused = |config: GptConfig| config.validate().unwrap_err().to_string();
        assert!(refused(GptConfig::new(50, 8, 2, 3, 16)).contains("16 cannot be split into 3"));
        assert!(refused(GptConfig::new(50, 0, 2, 2, 16)).contains("context is 0"));
        assert!(refused(config().with_dropout(1.0)).contains("dropout is 1"));
        let huge = usize::MAX;
        let deep = refused(GptConfig::new(50, 8, huge, 2, 16));
        assert!(deep.contains("layers is 18446744073709551615"), "{deep}");
        assert!(refused(GptConfig::new(50, 8, 2, 1, huge)).contains("at most 1048576"));
        let wide = refused(GptConfig::new(50, 8, 100, 1, 1 << 20));
        assert!(wide.contains("1.3e15 weights, more than 1e11"), "{wide}");
        assert!(config().validate().is_ok());
    }
}
