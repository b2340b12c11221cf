use crate::config::Gpt2Config;
use crate::weights::{Layout, Weights};
use anyhow::Result;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::Device;
use gpt::model::{Block, Gpt};
use std::path::Path;

pub fn open(folder: &Path, config: &Gpt2Config, device: &Device) -> Result<Gpt> {
    let mut weights = Weights::open(folder, "transformer.", device)?;
    let (width, vocab) = (config.n_embd, config.vocab_size);
    let model = Gpt {
        tokens: weights.embedding("transformer.wte", vocab, width)?,
        positions: weights.embedding("transformer.wpe", config.n_positions, width)?,
        dropout: None,
        blocks: (0..config.n_layer)
            .map(|layer| block(&mut weights, config, layer))
            .collect::<Result<_>>()?,
        norm: norm(&mut weights, "transformer.ln_f", config)?,
        head: weights.head(config.tie_word_embeddings, width, vocab)?,
    };
    weights.finish()?;
    Ok(model)
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

fn block(weights: &mut Weights, config: &Gpt2Config, layer: usize) -> Result<Block> {
    let name = |part: &str| format!("transformer.h.{layer}.{part}");
    let (width, inner) = (config.n_embd, config.inner());
    let mut linear =
        |part: &str, shape| weights.linear(&name(part), shape, true, Layout::InputsFirst);
    let query_key_value = linear("attn.c_attn", [width, 3 * width])?;
    let attention_out = linear("attn.c_proj", [width, width])?;
    let mlp_in = linear("mlp.c_fc", [width, inner])?;
    let mlp_out = linear("mlp.c_proj", [inner, width])?;
    Ok(Block {
        attention_norm: norm(weights, &name("ln_1"), config)?,
        query_key_value,
        attention_out,
        mlp_norm: norm(weights, &name("ln_2"), config)?,
        mlp_in,
        activation: config.activation_function,
        mlp_out,
        dropout: None,
        heads: config.n_head,
        attention_scale: Some(config.attention_scale(layer)),
    })
}
