use anyhow::{Context, Result, bail, ensure};
use burn_sharpness::hessian::{AdamPreconditioner, CurvatureConfig};
use burn_sharpness::{SharpnessConfig, SharpnessProbe};
use clap::{ArgMatches, Args, ValueEnum};
use gpt::flags::{absolute, at_least_one, is_given, not_below_0, refuse_unused};
use gpt::model::GptConfig;
use gpt::optimizer::{BETA_1, BETA_2, EPSILON, PEAK_LEARNING_RATE};
use gpt::schedule::WarmupStableDecay;
use gpt::text::{Domain, TEXT_FIELD, Text, limit};
use gpt::tokens::validate_update;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const ADAM: AdamPreconditioner = AdamPreconditioner {
    beta_1: BETA_1 as f64,
    beta_2: BETA_2 as f64,
    epsilon: EPSILON as f64,
};

#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Updates of the weights
    #[arg(long, default_value_t = 800, help_heading = "Training")]
    pub steps: u64,
    /// Peak learning rate
    #[arg(
        long,
        default_value_t = PEAK_LEARNING_RATE,
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub lr: f64,
    /// Learning rate at the end of the decay
    #[arg(
        long,
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub final_lr: f64,
    /// Steps of linear warmup from 0 [default: a tenth of --steps]
    #[arg(long, help_heading = "Training")]
    pub warmup: Option<u64>,
    /// Steps of cosine decay, the last ones [default: a fifth of --steps]
    #[arg(long, help_heading = "Training")]
    pub decay: Option<u64>,
    /// Windows of text in a batch
    #[arg(long, default_value_t = 8, help_heading = "Training")]
    pub batch: usize,
    /// Batches whose gradients make one update
    #[arg(long, default_value_t = 1, help_heading = "Training")]
    pub accumulate: usize,
    /// Decoupled weight decay of AdamW
    #[arg(
        long,
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub weight_decay: f32,
    /// Updates between two validations and checkpoints [default: a quarter of --steps]
    #[arg(long, help_heading = "Training")]
    pub epoch_steps: Option<u64>,
    /// Seed of the weights and of the order of the text
    #[arg(long, default_value_t = 0, help_heading = "Training")]
    pub seed: u64,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex", help_heading = "Training")]
    pub device: String,

    /// Steps from one measurement of critical sharpness to the next [default: 10, or 1 with --edge-cap]
    #[arg(long, help_heading = "Probe")]
    pub every: Option<u64>,
    /// Steps between measurements in the warmup and near the edge; divides --every [default:
    /// --every]
    #[arg(long, help_heading = "Probe")]
    pub dense_every: Option<u64>,
    /// Steps from one measurement of the curvature to the next: the largest eigenvalue of the Hessian, with and without
    /// AdamW's preconditioner, and the sharpness along the update, by tens of gradients each [default: none]
    #[arg(long, help_heading = "Probe")]
    #[serde(default)]
    pub hessian_every: Option<u64>,
    /// The largest share of the run's time that measuring may take [default: no ceiling]
    #[arg(long, allow_negative_numbers = true, help_heading = "Probe")]
    pub max_time_share: Option<f64>,
    /// Make no step at more than this fraction of its critical learning rate, such as 0.3 [default: no cap]
    #[arg(long, allow_negative_numbers = true, help_heading = "Probe")]
    pub edge_cap: Option<f64>,
    /// Relative width of a certified bracket
    #[arg(
        long,
        default_value_t = SharpnessConfig::DEFAULT_TOLERANCE,
        allow_negative_numbers = true,
        help_heading = "Probe"
    )]
    pub tolerance: f64,

    /// Tokens that the model sees at once
    #[arg(long, default_value_t = 128, help_heading = "Model")]
    pub context: usize,
    /// Transformer blocks
    #[arg(long, default_value_t = 4, help_heading = "Model")]
    pub layers: usize,
    /// Attention heads of a block
    #[arg(long, default_value_t = 4, help_heading = "Model")]
    pub heads: usize,
    /// Width of the residual stream
    #[arg(long, default_value_t = 128, help_heading = "Model")]
    pub width: usize,
    /// Probability of dropout
    #[arg(
        long,
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Model"
    )]
    pub dropout: f64,
    /// Give the output layer weights of its own
    #[arg(long, help_heading = "Model")]
    pub untied: bool,

    /// A file of text or a folder of them: .txt, .md, .jsonl, .ndjson, .json and .parquet, also packed
    /// as .gz or .zst [default: the sources of the packages in Cargo.lock]
    #[arg(long, value_name = "PATH", help_heading = "Text")]
    pub data: Option<PathBuf>,
    /// The field of a record that holds its text, with dots into nested records
    #[arg(long, value_name = "NAME", default_value = TEXT_FIELD, help_heading = "Text")]
    #[serde(default = "text_field")]
    pub text_field: String,
    /// Which part of the packages' sources, without --data
    #[arg(long, value_enum, default_value_t = Domain::Prose, help_heading = "Text")]
    pub domain: Domain,
    /// The most text to read, in millions of bytes
    #[arg(
        long,
        default_value_t = 8.0,
        allow_negative_numbers = true,
        help_heading = "Text"
    )]
    pub megabytes: f64,
    /// How text becomes tokens
    #[arg(long, value_enum, default_value_t = TokenKind::Bpe, help_heading = "Text")]
    pub tokens: TokenKind,
    /// Different tokens of the byte-pair encoding
    #[arg(long, default_value_t = 1024, help_heading = "Text")]
    pub vocab: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunConfig {
    pub settings: Settings,
    pub model: GptConfig,
    pub text: String,
    pub text_digest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Byte pairs, learned from the text
    Bpe,
    /// Bytes
    Bytes,
}

/// Other flags determine the model, its data or their order. A digest shows whether the data are the same.
const CHANGEABLE: &str = "steps lr final_lr warmup decay weight_decay every dense_every hessian_every \
    max_time_share edge_cap tolerance device data";

/// The learning-rate finder has its own schedule.
const UNUSED_BY_FINDER: &str = "steps lr final_lr warmup decay epoch_steps every dense_every hessian_every \
    max_time_share edge_cap";

/// For runs older than the flag.
fn text_field() -> String {
    TEXT_FIELD.to_string()
}

impl Settings {
    /// Makes paths absolute, and refuses flags without effect.
    pub fn checked(mut self, flags: &ArgMatches, finds_lr: bool) -> Result<Self> {
        if finds_lr {
            refuse_unused(flags, UNUSED_BY_FINDER, "with --find-lr")?;
        }
        match &self.data {
            Some(path) => {
                refuse_unused(flags, "domain", "with --data")?;
                self.data = Some(absolute(path)?);
            }
            None if !is_given(flags, "resume") => {
                refuse_unused(flags, "text_field", "without --data")?;
            }
            None => {}
        }
        if self.tokens == TokenKind::Bytes {
            refuse_unused(flags, "vocab", "with --tokens bytes")?;
        }
        if self.schedule().decay == 0 {
            refuse_unused(flags, "final_lr", "without a decay (--decay 0)")?;
        }
        Ok(self)
    }

    pub fn resumed(&self, saved: &Self, flags: &ArgMatches) -> Result<Self> {
        let now = serde_json::to_value(self)?;
        let mut merged = serde_json::to_value(saved)?;
        let (Some(now), Some(fields)) = (now.as_object(), merged.as_object_mut()) else {
            bail!("settings are a table of values");
        };
        for (name, value) in now {
            if !is_given(flags, name) || fields.get(name) == Some(value) {
                continue;
            }
            ensure!(
                CHANGEABLE.split(' ').any(|flag| flag == name),
                "the run was made with {} = {}, which cannot become {value} when it resumes",
                name.replace('_', "-"),
                fields.get(name).unwrap_or(&serde_json::Value::Null),
            );
            fields.insert(name.clone(), value.clone());
        }
        Ok(serde_json::from_value(merged)?)
    }

    /// Refuses impossible settings before anything is read or trained.
    pub fn validate(&self) -> Result<()> {
        self.schedule().validate()?;
        let counts = [
            ("--batch", self.batch as u64),
            ("--accumulate", self.accumulate as u64),
            ("--epoch-steps", self.epoch_steps()),
        ];
        at_least_one(&counts)?;
        validate_update(self.batch, self.context, self.accumulate)?;
        limit(self.megabytes)?;
        let vocab = match self.tokens {
            TokenKind::Bpe => self.vocab,
            TokenKind::Bytes => 256,
        };
        self.model(vocab).validate()?;
        not_below_0("the weight decay", self.weight_decay)?;
        SharpnessProbe::new(self.probe())?;
        Ok(())
    }

    pub fn probe(&self) -> SharpnessConfig {
        let mut config = SharpnessConfig::new().with_tolerance(self.tolerance);
        if let Some(steps) = self.every {
            config = config.with_every(steps);
        }
        if let Some(steps) = self.dense_every {
            config = config.with_dense_every(steps);
        }
        if let Some(steps) = self.hessian_every {
            config = config.with_curvature(CurvatureConfig::new(steps).with_preconditioner(ADAM));
        }
        if let Some(share) = self.max_time_share {
            config = config.with_max_time_share(share);
        }
        if let Some(fraction) = self.edge_cap {
            config = config.with_edge_cap(fraction);
        }
        config
    }

    pub fn model(&self, vocab: usize) -> GptConfig {
        GptConfig::new(vocab, self.context, self.layers, self.heads, self.width)
            .with_dropout(self.dropout)
            .with_tied(!self.untied)
    }

    pub fn schedule(&self) -> WarmupStableDecay {
        let usual = WarmupStableDecay::usual(self.lr, self.steps);
        WarmupStableDecay {
            end: self.final_lr,
            warmup: self.warmup.unwrap_or(usual.warmup),
            decay: self.decay.unwrap_or(usual.decay),
            ..usual
        }
    }

    pub fn epoch_steps(&self) -> u64 {
        let steps = self.epoch_steps.unwrap_or(self.steps.div_ceil(4));
        steps.min(self.steps)
    }

    pub fn text(&self) -> Result<Text> {
        let limit = limit(self.megabytes)?;
        match &self.data {
            Some(path) => Text::of_path(path, &self.text_field, limit),
            None => {
                Text::of_packages(self.domain, limit).context("the default text is not available")
            }
        }
    }
}

#[cfg(test)]
mod tests;
