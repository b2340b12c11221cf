use super::check::{check_sizes, epsilon_1e_5};
use anyhow::{Context, Result, bail, ensure};
use gpt::activation::Activation;
use gpt::flags::above_0;
use serde::Deserialize;

/// A missing field has the default of the published format.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Olmo2Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    /// By default as many as query heads.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// By default the heads share the residual stream's width.
    #[serde(default)]
    pub head_dim: Option<usize>,
    #[serde(default = "positions_2048")]
    pub max_position_embeddings: usize,
    #[serde(default = "Activation::of_olmo2")]
    pub hidden_act: Activation,
    #[serde(default = "epsilon_1e_5")]
    pub rms_norm_eps: f64,
    #[serde(default)]
    pub attention_bias: bool,
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// The token whose embedding takes no gradient: 1 if the file has no value; below 0, counted from the end of the
    /// vocabulary.
    #[serde(default = "padding_1")]
    pad_token_id: Option<i64>,
    /// In files older than 2026.
    #[serde(default)]
    rope_theta: Option<f64>,
    /// In files older than 2026.
    #[serde(default)]
    rope_scaling: Option<Rope>,
    /// Base and stretch, in newer files.
    #[serde(default)]
    rope_parameters: Option<Rope>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Rope {
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default, alias = "type")]
    rope_type: Option<String>,
    #[serde(default)]
    factor: Option<f64>,
}

fn padding_1() -> Option<i64> {
    Some(1)
}

fn positions_2048() -> usize {
    2048
}

impl Olmo2Config {
    pub(super) fn validate(&self) -> Result<()> {
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.key_value_heads()),
            ("max_position_embeddings", self.max_position_embeddings),
            ("head_dim", self.head_width()),
        ])?;
        above_0("rms_norm_eps", self.rms_norm_eps)?;
        above_0("rope_theta", self.rope_base())?;
        let (width, head) = (self.hidden_size, self.head_width());
        let (queries, keys) = (self.num_attention_heads, self.key_value_heads());
        ensure!(
            queries.is_multiple_of(keys),
            "{queries} query heads cannot share {keys} key and value heads evenly"
        );
        ensure!(
            self.head_dim.is_some() || width.is_multiple_of(queries),
            "hidden_size {width} cannot be split into {queries} heads, and there is no head_dim"
        );
        ensure!(
            head > 0 && head.is_multiple_of(2),
            "a head is {head} wide, but rotary positions turn pairs: expected an even number"
        );
        self.rope_stretch()?;
        self.padding()?;
        Ok(())
    }

    pub fn key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    pub fn head_width(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    pub fn padding(&self) -> Result<Option<i64>> {
        let Some(token) = self.pad_token_id else {
            return Ok(None);
        };
        let vocab = self.vocab_size as i64;
        let from_start = match token {
            ..0 => token.saturating_add(vocab),
            token => token,
        };
        ensure!(
            (0..vocab).contains(&from_start),
            "pad_token_id is {token}, which a vocabulary of {vocab} tokens does not have"
        );
        Ok(Some(from_start))
    }

    fn ropes(&self) -> impl Iterator<Item = &Rope> {
        [&self.rope_parameters, &self.rope_scaling]
            .into_iter()
            .flatten()
    }

    pub fn rope_base(&self) -> f64 {
        let mut given = self.ropes().filter_map(|rope| rope.rope_theta);
        given.next().or(self.rope_theta).unwrap_or(10_000.0)
    }

    /// Returns the divisor of positions.
    pub fn rope_stretch(&self) -> Result<f64> {
        let Some(rope) = self.ropes().find(|rope| rope.rope_type.is_some()) else {
            return Ok(1.0);
        };
        match rope.rope_type.as_deref() {
            None | Some("default") => Ok(1.0),
            Some("linear") => {
                let missing = "the rope_type is linear, but there is no factor";
                let factor = rope.factor.context(missing)?;
                above_0("the factor of the rotary positions", factor)?;
                Ok(factor)
            }
            Some(other) => {
                bail!("the rope_type is {other}, but only default and linear are known here")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    const OLMO2: &str = r#"{"model_type": "olmo2", "vocab_size": 96, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, MORE
        "hidden_act": "silu"}"#;

    fn olmo2(more: &str) -> Result<Olmo2Config> {
        match ModelConfig::parse(&OLMO2.replace("MORE", more))? {
            ModelConfig::Olmo2(config) => Ok(config),
            ModelConfig::Gpt2(_) => unreachable!("the file says olmo2"),
        }
    }

    #[test]
    fn rotary_positions_are_read_from_old_and_new_files() {
        assert_eq!(olmo2("").unwrap().rope_base(), 10_000.0);
        let old = olmo2(r#""rope_theta": 500000, "rope_scaling": null,"#).unwrap();
        assert_eq!(old.rope_base(), 500_000.0);
        assert_eq!(old.rope_stretch().unwrap(), 1.0);
        let scaled = r#""rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0},"#;
        let scaled = olmo2(scaled).unwrap();
        assert_eq!(scaled.rope_base(), 500_000.0);
        assert_eq!(scaled.rope_stretch().unwrap(), 4.0);
        let new = olmo2(r#""rope_parameters": {"rope_theta": 2e4, "rope_type": "default"},"#);
        assert_eq!(new.unwrap().rope_base(), 20_000.0);
    }

    #[test]
    fn heads_may_have_a_width_of_their_own() {
        let config = olmo2(r#""num_key_value_heads": 2, "head_dim": 12,"#).unwrap();
        assert_eq!((config.key_value_heads(), config.head_width()), (2, 12));
        let config = olmo2("").unwrap();
        assert_eq!((config.key_value_heads(), config.head_width()), (4, 8));
    }

    #[test]
    fn the_padding_token_is_1_unless_the_file_says_otherwise() {
        let padding = |more: &str| olmo2(more).unwrap().padding().unwrap();
        assert_eq!(padding(""), Some(1));
        assert_eq!(padding(r#""pad_token_id": null,"#), None);
        assert_eq!(padding(r#""pad_token_id": -1,"#), Some(95));
        let error = olmo2(r#""pad_token_id": 96,"#).unwrap_err().to_string();
        assert!(error.contains("pad_token_id is 96"), "{error}");
    }

    #[test]
    fn what_is_not_known_is_named() {
        let refused = |json: &str| format!("{:#}", ModelConfig::parse(json).unwrap_err());
        let llama = refused(r#"{"model_type": "llama"}"#);
        assert!(llama.contains("is llama, but only gpt2 and olmo2"));
        assert!(refused("{}").contains("names no architecture"));
        assert!(refused(r#"{"model_type": "gpt2"}"#).contains("vocab_size"));
        let refused = |more: &str| format!("{:#}", olmo2(more).unwrap_err());
        assert!(refused(r#""num_key_value_heads": 3,"#).contains("4 query heads"));
        assert!(refused(r#""rope_scaling": {"rope_type": "yarn"},"#).contains("yarn"));
        assert!(refused(r#""head_dim": 7,"#).contains("7 wide"));
        let activation = OLMO2.replace("MORE", "").replace("silu", "softmaxish");
        let error = format!("{:#}", ModelConfig::parse(&activation).unwrap_err());
        let is_told = error.contains("softmaxish") && error.contains("silu");
        assert!(is_told, "{error}");
    }
}
