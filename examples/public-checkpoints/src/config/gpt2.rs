use super::check::{check_sizes, epsilon_1e_5, yes};
use anyhow::{Result, ensure};
use gpt::activation::Activation;
use gpt::flags::above_0;
use serde::Deserialize;

/// A missing field has the default of the published format.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Gpt2Config {
    pub vocab_size: usize,
    pub n_positions: usize,
    pub n_embd: usize,
    pub n_layer: usize,
    pub n_head: usize,
    /// The width inside a block's two-layer network; by default four times the residual stream's.
    #[serde(default)]
    pub n_inner: Option<usize>,
    #[serde(default = "Activation::of_gpt2")]
    pub activation_function: Activation,
    #[serde(default = "epsilon_1e_5")]
    pub layer_norm_epsilon: f64,
    #[serde(default = "yes")]
    pub scale_attn_weights: bool,
    /// Whether attention scores are divided by the number of the block, counted from 1.
    #[serde(default)]
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Not supported.
    #[serde(default)]
    pub add_cross_attention: bool,
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
}

impl Gpt2Config {
    pub(super) fn validate(&self) -> Result<()> {
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("n_positions", self.n_positions),
            ("n_embd", self.n_embd),
            ("n_layer", self.n_layer),
            ("n_head", self.n_head),
            ("n_inner", self.inner()),
        ])?;
        above_0("layer_norm_epsilon", self.layer_norm_epsilon)?;
        let (width, heads) = (self.n_embd, self.n_head);
        let is_even = width.is_multiple_of(heads);
        ensure!(is_even, "n_embd {width} cannot be split into {heads} heads");
        ensure!(
            !self.add_cross_attention,
            "add_cross_attention is true, but a model that attends to another one is not supported"
        );
        Ok(())
    }

    pub fn inner(&self) -> usize {
        self.n_inner.unwrap_or(self.n_embd.saturating_mul(4))
    }

    /// Returns the factor on attention scores; the first layer is 0.
    pub fn attention_scale(&self, layer: usize) -> f64 {
        let head = (self.n_embd / self.n_head) as f64;
        let of_width = match self.scale_attn_weights {
            true => 1.0 / head.sqrt(),
            false => 1.0,
        };
        match self.scale_attn_by_inverse_layer_idx {
            true => of_width / (layer + 1) as f64,
            false => of_width,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::ModelConfig;

    #[test]
    fn attention_scores_are_scaled_as_the_file_says() {
        let gpt2 = |more: &str| {
            let json = format!(
                r#"{{"model_type": "gpt2", "vocab_size": 9, "n_positions": 8, "n_embd": 8,
                "n_layer": 2, "n_head": 2{more}}}"#
            );
            match ModelConfig::parse(&json).unwrap() {
                ModelConfig::Gpt2(config) => config,
                ModelConfig::Olmo2(_) => unreachable!("the file says gpt2"),
            }
        };
        assert_eq!(gpt2("").attention_scale(1), 0.5);
        let unscaled = gpt2(r#", "scale_attn_weights": false"#);
        assert_eq!(unscaled.attention_scale(1), 1.0);
        let by_layer = gpt2(r#", "scale_attn_by_inverse_layer_idx": true"#);
        assert_eq!(by_layer.attention_scale(1), 0.25);
    }
}
