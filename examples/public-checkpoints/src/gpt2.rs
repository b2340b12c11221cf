//! Implements GPT-2 as published: pre-norm blocks, learned positions, one projection for query, key and value.

use crate::activation::Activation;
use crate::config::Gpt2Config;
use crate::weights::{Layout, Weights};
use anyhow::Result;
use burn::module::Module;
use burn::nn::{Embedding, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::module::{attention, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Int, Tensor};
use std::path::Path;

/// The model.
#[derive(Module, Debug)]
pub struct Gpt2 {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    /// Absent if the token embedding serves as the output layer.
    head: Option<Linear>,
}

impl Gpt2 {
    /// Reads the weights in a folder.
    ///
    /// # Errors
    ///
    /// Returns an error that names a tensor that is missing, left over, or of another shape.
    pub fn open(folder: &Path, config: &Gpt2Config, device: &Device) -> Result<Self> {
        let mut weights = Weights::open(folder, "transformer.", device)?;
        let weights_of = &mut weights;
        let (width, vocab) = (config.n_embd, config.vocab_size);
        let model = Self {
            tokens: weights_of.embedding("transformer.wte", vocab, width)?,
            positions: weights_of.embedding("transformer.wpe", config.n_positions, width)?,
            blocks: (0..config.n_layer)
                .map(|layer| Block::open(weights_of, config, layer))
                .collect::<Result<_>>()?,
            norm: norm(weights_of, "transformer.ln_f", config)?,
            head: weights_of.head(config.tie_word_embeddings, width, vocab)?,
        };
        weights.finish()?;
        Ok(model)
    }

    /// Returns the logits `[batch, time, vocab]` of the next token after each of `tokens` `[batch, time]`.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, time] = tokens.dims();
        let positions = Tensor::<1, Int>::arange(0..time as i64, &tokens.device()).unsqueeze();
        let mut x = self.tokens.forward(tokens) + self.positions.forward(positions);
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
}

fn norm(weights: &mut Weights, name: &str, config: &Gpt2Config) -> Result<LayerNorm> {
    let width = config.n_embd;
    let gamma = weights.param(&format!("{name}.weight"), [width])?;
    let beta = weights.param(&format!("{name}.bias"), [width])?;
    let mut norm = LayerNormConfig::new(width)
        .with_epsilon(config.layer_norm_epsilon)
        .init(&gamma.device());
    norm.gamma = gamma;
    norm.beta = Some(beta);
    Ok(norm)
}

/// Attention, then a two-layer network, each added to the residual stream.
#[derive(Module, Debug)]
struct Block {
    attention_norm: LayerNorm,
    query_key_value: Linear,
    attention_out: Linear,
    mlp_norm: LayerNorm,
    mlp_in: Linear,
    #[module(skip)]
    activation: Activation,
    mlp_out: Linear,
    heads: usize,
    attention_scale: f64,
}

impl Block {
    fn open(weights: &mut Weights, config: &Gpt2Config, layer: usize) -> Result<Self> {
        let name = |part: &str| format!("transformer.h.{layer}.{part}");
        let (width, inner) = (config.n_embd, config.inner());
        let mut linear =
            |part: &str, shape| weights.linear(&name(part), shape, true, Layout::InputsFirst);
        let query_key_value = linear("attn.c_attn", [width, 3 * width])?;
        let attention_out = linear("attn.c_proj", [width, width])?;
        let mlp_in = linear("mlp.c_fc", [width, inner])?;
        let mlp_out = linear("mlp.c_proj", [inner, width])?;
        Ok(Self {
            attention_norm: norm(weights, &name("ln_1"), config)?,
            query_key_value,
            attention_out,
            mlp_norm: norm(weights, &name("ln_2"), config)?,
            mlp_in,
            activation: config.activation_function,
            mlp_out,
            heads: config.n_head,
            attention_scale: config.attention_scale(layer),
        })
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.attend(self.attention_norm.forward(x));
        let hidden = self.mlp_in.forward(self.mlp_norm.forward(x.clone()));
        x + self.mlp_out.forward(self.activation.forward(hidden))
    }

    fn attend(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let projected = self.query_key_value.forward(x);
        let part = |index: usize| -> Tensor<4> {
            projected
                .clone()
                .narrow(2, index * width, width)
                .reshape([batch, time, self.heads, width / self.heads])
                .swap_dims(1, 2)
        };
        let options = AttentionModuleOptions {
            scale: Some(self.attention_scale),
            is_causal: true,
            ..Default::default()
        };
        let attended = attention(part(0), part(1), part(2), None, None, options);
        let attended = attended.swap_dims(1, 2).reshape([batch, time, width]);
        self.attention_out.forward(attended)
    }
}
