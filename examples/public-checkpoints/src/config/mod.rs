mod check;
mod gpt2;
mod olmo2;

pub use gpt2::Gpt2Config;
pub use olmo2::Olmo2Config;

use crate::files::check_is_itself;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::Path;

pub const CONFIG_FILE: &str = "config.json";

#[derive(Clone, Debug, PartialEq)]
pub enum ModelConfig {
    Gpt2(Gpt2Config),
    Olmo2(Olmo2Config),
}

#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
}

impl ModelConfig {
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        if path.exists() {
            check_is_itself(&path)?;
        }
        let json = std::fs::read_to_string(&path)
            .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
        Self::parse(&json).with_context(|| format!("{}", path.display()))
    }

    pub fn parse(json: &str) -> Result<Self> {
        let kind: Kind = serde_json::from_str(json)?;
        let name = kind
            .model_type
            .or_else(|| kind.architectures?.into_iter().next())
            .unwrap_or_default();
        match name.as_str() {
            "gpt2" | "GPT2LMHeadModel" => {
                let config: Gpt2Config = serde_json::from_str(json)?;
                config.validate()?;
                Ok(Self::Gpt2(config))
            }
            "olmo2" | "Olmo2ForCausalLM" => {
                let config: Olmo2Config = serde_json::from_str(json)?;
                config.validate()?;
                Ok(Self::Olmo2(config))
            }
            "" => bail!("it names no architecture: expected the model_type gpt2 or olmo2"),
            other => bail!("the architecture is {other}, but only gpt2 and olmo2 are known here"),
        }
    }

    pub fn vocab(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.vocab_size,
            Self::Olmo2(config) => config.vocab_size,
        }
    }

    pub fn positions(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_positions,
            Self::Olmo2(config) => config.max_position_embeddings,
        }
    }
}
