//! OLMo-2 as published.

use crate::config::Olmo2Config;
use crate::weights::{Layout, Weights};
use anyhow::Result;
use burn::module::Module;
use burn::nn::{Embedding, Linear, RmsNorm};
use burn::tensor::module::{attention, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};
use gpt::activation::Activation;
use std::path::Path;

#[derive(Module, Debug)]
pub struct Olmo2 {
    tokens: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    /// Absent if the output layer is tied.
    head: Option<Linear>,
    head_width: usize,
    rope_base: f64,
    rope_stretch: f64,
    padding: Option<i64>,
}

impl Olmo2 {
    pub fn open(folder: &Path, config: &Olmo2Config, device: &Device) -> Result<Self> {
        let mut weights = Weights::open(folder, "model.", device)?;
        let weights_of = &mut weights;
        let (width, vocab) = (config.hidden_size, config.vocab_size);
        let model = Self {
            tokens: weights_of.embedding("model.embed_tokens", vocab, width)?,
            blocks: (0..config.num_hidden_layers)
                .map(|layer| Block::open(weights_of, config, layer))
                .collect::<Result<_>>()?,
            norm: norm(weights_of, "model.norm", width, config)?,
            head: weights_of.head(config.tie_word_embeddings, width, vocab)?,
            head_width: config.head_width(),
            rope_base: config.rope_base(),
            rope_stretch: config.rope_stretch()?,
            padding: config.padding()?,
        };
        weights.finish()?;
        Ok(model)
    }

    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, time] = tokens.dims();
        let mut x = self.embed(tokens);
        let turn = Turn::new(self, time, &x.device());
        for block in &self.blocks {
            x = block.forward(x, &turn);
        }
        let x = self.norm.forward(x);
        match &self.head {
            Some(head) => head.forward(x),
            // Tie the weights here: burn gives a shared parameter only one of its gradients.
            None => linear(x, self.tokens.weight.val().transpose(), None),
        }
    }
}

impl Olmo2 {
    /// As in the published implementation, the padding token's vector takes no gradient.
    fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let Some(padding) = self.padding else {
            return self.tokens.forward(tokens);
        };
        let is_padding = tokens.clone().equal_elem(padding).unsqueeze_dim::<3>(2);
        let vectors = self.tokens.forward(tokens);
        let still = vectors.clone().detach();
        let is_padding = is_padding.expand(vectors.dims());
        vectors.mask_where(is_padding, still)
    }
}

fn norm(weights: &mut Weights, name: &str, width: usize, config: &Olmo2Config) -> Result<RmsNorm> {
    Ok(RmsNorm {
        gamma: weights.param(&format!("{name}.weight"), [width])?,
        epsilon: config.rms_norm_eps,
    })
}

/// Rotary positions: each pair of a head's elements, one from either half, turns in proportion to the position, from
/// pair to pair more slowly.
struct Turn {
    /// `[1, 1, time, half a head]`.
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Turn {
    fn new(model: &Olmo2, time: usize, device: &Device) -> Self {
        let half = model.head_width / 2;
        let angles = (0..time).flat_map(|position| {
            (0..half).map(move |pair| {
                let frequency = model.rope_base.powf(-(pair as f64) / half as f64);
                position as f64 / model.rope_stretch * frequency
            })
        });
        let angles: Vec<f64> = angles.collect();
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|angle| of(*angle) as f32).collect();
            Tensor::from_data(TensorData::new(values, [1, 1, time, half]), device)
        };
        Self {
            cos: table(f64::cos),
            sin: table(f64::sin),
        }
    }

    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let first = x.clone().narrow(3, 0, half);
        let second = x.narrow(3, half, half);
        let turned = [
            first.clone() * self.cos.clone() - second.clone() * self.sin.clone(),
            second * self.cos.clone() + first * self.sin.clone(),
        ];
        Tensor::cat(turned.to_vec(), 3)
    }
}

#[derive(Module, Debug)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    attention_out: Linear,
    attention_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    mlp_norm: RmsNorm,
    #[module(skip)]
    activation: Activation,
    heads: usize,
    key_value_heads: usize,
}

impl Block {
    fn open(weights: &mut Weights, config: &Olmo2Config, layer: usize) -> Result<Self> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let of_queries = config.num_attention_heads * config.head_width();
        let of_keys = config.key_value_heads() * config.head_width();
        let mut linear = |part: &str, shape, bias| {
            weights.linear(&name(part), shape, bias, Layout::OutputsFirst)
        };
        let bias = config.attention_bias;
        let query = linear("self_attn.q_proj", [width, of_queries], bias)?;
        let key = linear("self_attn.k_proj", [width, of_keys], bias)?;
        let value = linear("self_attn.v_proj", [width, of_keys], bias)?;
        let attention_out = linear("self_attn.o_proj", [of_queries, width], bias)?;
        let gate = linear("mlp.gate_proj", [width, inner], false)?;
        let up = linear("mlp.up_proj", [width, inner], false)?;
        let down = linear("mlp.down_proj", [inner, width], false)?;
        let mut norm = |part: &str, width| norm(weights, &name(part), width, config);
        Ok(Self {
            query,
            key,
            value,
            query_norm: norm("self_attn.q_norm", of_queries)?,
            key_norm: norm("self_attn.k_norm", of_keys)?,
            attention_out,
            attention_norm: norm("post_attention_layernorm", width)?,
            gate,
            up,
            down,
            mlp_norm: norm("post_feedforward_layernorm", width)?,
            activation: config.hidden_act,
            heads: config.num_attention_heads,
            key_value_heads: config.key_value_heads(),
        })
    }

    fn forward(&self, x: Tensor<3>, turn: &Turn) -> Tensor<3> {
        let attended = self.attend(x.clone(), turn);
        let x = x + self.attention_norm.forward(attended);
        let gate = self.activation.forward(self.gate.forward(x.clone()));
        let hidden = self.down.forward(gate * self.up.forward(x.clone()));
        x + self.mlp_norm.forward(hidden)
    }

    fn attend(&self, x: Tensor<3>, turn: &Turn) -> Tensor<3> {
        let [batch, time, _] = x.dims();
        let query = self.query_norm.forward(self.query.forward(x.clone()));
        let key = self.key_norm.forward(self.key.forward(x.clone()));
        let value = self.value.forward(x);
        let [_, _, of_queries] = query.dims();
        let split = |x: Tensor<3>, heads: usize| -> Tensor<4> {
            x.reshape([batch, time, heads, of_queries / self.heads])
                .swap_dims(1, 2)
        };
        let query = turn.apply(split(query, self.heads));
        let key = self.share(turn.apply(split(key, self.key_value_heads)));
        let value = self.share(split(value, self.key_value_heads));
        let options = AttentionModuleOptions {
            is_causal: true,
            ..Default::default()
        };
        let attended = attention(query, key, value, None, None, options);
        let attended = attended.swap_dims(1, 2).reshape([batch, time, of_queries]);
        self.attention_out.forward(attended)
    }

    /// Repeats each key or value head for the query heads that share it.
    fn share(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, heads, time, width] = x.dims();
        let sharing = self.heads / heads;
        if sharing == 1 {
            return x;
        }
        let shared: Tensor<5> = x.unsqueeze_dim(2);
        shared
            .repeat_dim(2, sharing)
            .reshape([batch, self.heads, time, width])
    }
}
