use anyhow::{Result, ensure};
use burn_sharpness::SharpnessConfig;
use clap::{ArgMatches, Args, Parser, Subcommand};
use gpt::flags::{at_least_one, refuse_unused};
use gpt::model::GptConfig;
use gpt::text::limit;
use gpt::tokens::validate_update;
use std::path::PathBuf;

/// Without effect on a trained model.
const OF_NEW_MODEL: &str = "pretrain_steps vocab context layers heads width";

/// Choose a data mix and a learning rate for mid-training by relative critical sharpness.
#[derive(Parser)]
#[command(version)]
pub struct Flags {
    #[command(subcommand)]
    pub mode: Mode,
}

#[derive(Subcommand)]
pub enum Mode {
    /// Measure both tasks along the updates of mixes, from all target to all pre-training text, without training
    Sweep(SweepFlags),
    /// Train shortly on a grid of mixes and learning rates, and compare with the sweep's prediction
    Train(TrainFlags),
}

#[derive(Args)]
pub struct SweepFlags {
    #[command(flatten)]
    pub base: BaseFlags,
    #[command(flatten)]
    pub probe: ProbeFlags,
    /// Steps from one mix to the next: with 10, the fractions 0, 0.1 … 1
    #[arg(long, default_value_t = 10)]
    pub ratios: usize,
}

#[derive(Args)]
pub struct TrainFlags {
    #[command(flatten)]
    pub base: BaseFlags,
    #[command(flatten)]
    pub probe: ProbeFlags,
    /// Fractions of pre-training text
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.25, 0.5, 0.75, 1.0])]
    pub ratios: Vec<f64>,
    /// Learning rates
    #[arg(long, value_delimiter = ',', default_values_t = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1])]
    pub rates: Vec<f64>,
    /// Updates of each short training
    #[arg(long, default_value_t = 40)]
    pub steps: usize,
    /// The rise of a task's held-out loss, in nats, that counts as a lost skill
    #[arg(long, default_value_t = 0.05)]
    pub lost: f64,
}

#[derive(Args, Clone, Debug)]
pub struct ProbeFlags {
    /// Batches per mix to measure on
    #[arg(long, default_value_t = 8)]
    pub batches: usize,
    /// Batches for the optimizer's moments, at the fixed weights, before the first measurement of a mix
    #[arg(long, default_value_t = 20)]
    pub settle: usize,
    /// Relative width of a certified bracket
    #[arg(long, default_value_t = SharpnessConfig::DEFAULT_TOLERANCE, allow_negative_numbers = true)]
    pub tolerance: f64,
}

#[derive(Args, Clone, Debug)]
pub struct BaseFlags {
    /// Folder of a gpt-pretrain run, to continue from its newest checkpoint [default: pre-train a small model, quickly]
    #[arg(long, value_name = "FOLDER")]
    pub model: Option<PathBuf>,
    /// The pre-training text: a file or a folder, as in gpt-pretrain [default: the run's text, or the
    /// documentation of the packages in Cargo.lock]
    #[arg(long, value_name = "PATH")]
    pub pretrain_data: Option<PathBuf>,
    /// The text of the target domain [default: the code of the packages in Cargo.lock]
    #[arg(long, value_name = "PATH")]
    pub target_data: Option<PathBuf>,
    /// The field of a record that holds its text, with dots into nested records [default: `text`, or the
    /// run's field for the run's text]
    #[arg(long, value_name = "NAME")]
    pub text_field: Option<String>,
    /// The field of a record of the target text [default: --text-field]
    #[arg(long, value_name = "NAME")]
    pub target_text_field: Option<String>,
    /// Folder for the results [default: the first free runs/gpt-midtrain-N]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// The most text of a domain to read, in millions of bytes
    #[arg(long, default_value_t = 4.0, allow_negative_numbers = true)]
    pub megabytes: f64,
    /// Windows of text in a batch
    #[arg(long, default_value_t = 10)]
    pub batch: usize,
    /// Updates of the pre-training, without --model
    #[arg(long, default_value_t = 400)]
    pub pretrain_steps: u64,
    /// Different tokens of the byte-pair encoding, without --model
    #[arg(long, default_value_t = 1024)]
    pub vocab: usize,
    /// Tokens that the model sees at once, without --model
    #[arg(long, default_value_t = 128)]
    pub context: usize,
    /// Transformer blocks, without --model
    #[arg(long, default_value_t = 4)]
    pub layers: usize,
    /// Attention heads of a block, without --model
    #[arg(long, default_value_t = 4)]
    pub heads: usize,
    /// Width of the residual stream, without --model
    #[arg(long, default_value_t = 128)]
    pub width: usize,
    /// Seed of weights and data
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex")]
    pub device: String,
}

impl BaseFlags {
    /// Refuses impossible values, and flags without effect.
    pub fn validate(&self, matches: &ArgMatches) -> Result<()> {
        at_least_one(&[
            ("--batch", self.batch as u64),
            ("--pretrain-steps", self.pretrain_steps),
        ])?;
        limit(self.megabytes)?;
        validate_update(self.batch, self.context, 1)?;
        if self.model.is_some() {
            refuse_unused(matches, OF_NEW_MODEL, "with --model")?;
        }
        if self.target_data.is_none() {
            refuse_unused(matches, "target_text_field", "without --target-data")?;
            if self.pretrain_data.is_none() && self.model.is_none() {
                let mode = "without --pretrain-data or --target-data";
                refuse_unused(matches, "text_field", mode)?;
            }
        }
        self.new_model().validate()
    }

    pub fn new_model(&self) -> GptConfig {
        let (layers, heads, width) = (self.layers, self.heads, self.width);
        GptConfig::new(self.vocab, self.context, layers, heads, width)
    }
}

impl ProbeFlags {
    pub fn validate(&self) -> Result<()> {
        at_least_one(&[("--batches", self.batches as u64)])
    }
}

impl SweepFlags {
    pub fn validate(&self) -> Result<()> {
        at_least_one(&[("--ratios", self.ratios as u64)])?;
        self.probe.validate()
    }
}

impl TrainFlags {
    pub fn validate(&self) -> Result<()> {
        self.probe.validate()?;
        let is_rising = |values: &[f64]| values.windows(2).all(|pair| pair[0] < pair[1]);
        let (ratios, rates, lost) = (&self.ratios, &self.rates, self.lost);
        let is_fraction = |ratio: &f64| (0.0..=1.0).contains(ratio);
        ensure!(
            !ratios.is_empty() && is_rising(ratios) && ratios.iter().all(is_fraction),
            "--ratios must be rising fractions between 0 and 1, such as 0,0.5,1"
        );
        let is_rate = |rate: &f64| *rate > 0.0 && rate.is_finite();
        ensure!(
            !rates.is_empty() && is_rising(rates) && rates.iter().all(is_rate),
            "--rates must be rising learning rates above 0, such as 0.001,0.01"
        );
        at_least_one(&[("--steps", self.steps as u64)])?;
        ensure!(lost > 0.0, "--lost is {lost}, but must be above 0");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    fn validated(words: &[&str]) -> Result<()> {
        let matches =
            Flags::command().try_get_matches_from([&["test", "sweep"], words].concat())?;
        let Mode::Sweep(flags) = Flags::from_arg_matches(&matches)?.mode else {
            panic!("a sweep was asked for");
        };
        let (_, matches) = matches.subcommand().unwrap();
        flags.base.validate(matches)
    }

    #[test]
    fn flags_of_a_new_model_are_refused_with_a_trained_one() {
        for flag in OF_NEW_MODEL.split(' ') {
            let option = format!("--{}", flag.replace('_', "-"));
            validated(&[&option, "4"]).unwrap();
            let error = validated(&[&option, "4", "--model", "."]).unwrap_err();
            assert!(error.to_string().starts_with(&option), "{error}");
        }
    }

    #[test]
    fn a_field_needs_a_text_to_be_of() {
        for flag in ["--text-field", "--target-text-field"] {
            validated(&[flag, "body", "--target-data", "."]).unwrap();
            let error = validated(&[flag, "body"]).unwrap_err().to_string();
            assert!(error.starts_with(flag), "{error}");
        }
    }
}
