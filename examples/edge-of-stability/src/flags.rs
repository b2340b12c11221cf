use crate::network::{Activation, LossKind};
use anyhow::{Result, ensure};
use clap::{ArgMatches, Parser, ValueEnum};
use gpt::flags::{at_least_one, refuse_unused};
use std::path::PathBuf;

/// Watch a training reach the Edge of Stability: critical sharpness λ_c, directional sharpness and the
/// Hessian's largest eigenvalue against 2/η.
#[derive(Parser)]
#[command(version)]
pub struct Flags {
    /// The model and its optimizer
    #[arg(long, value_enum, default_value_t = Preset::Network)]
    pub preset: Preset,
    /// Updates of the weights [default: 3000 for the network, 400 for each GPT]
    #[arg(long)]
    pub steps: Option<u64>,
    /// Learning rate of the network, constant
    #[arg(long, default_value_t = 0.05, allow_negative_numbers = true)]
    pub lr: f64,
    /// Examples of a batch of the network; as many as --examples make it gradient descent [default: all]
    #[arg(long)]
    pub batch: Option<usize>,
    /// Examples to train the network on
    #[arg(long, default_value_t = 1000)]
    pub examples: usize,
    /// Layers of the network
    #[arg(long, default_value_t = 4)]
    pub layers: usize,
    /// Width of the network's hidden layers
    #[arg(long, default_value_t = 128)]
    pub width: usize,
    /// Activation of the network
    #[arg(long, value_enum, default_value_t = Activation::Gelu)]
    pub activation: Activation,
    /// Loss of the network
    #[arg(long, value_enum, default_value_t = LossKind::Mse)]
    pub loss: LossKind,
    /// Folder with the binary files of CIFAR-10, to use instead of generated data
    #[arg(long, value_name = "DIR")]
    pub cifar: Option<PathBuf>,
    /// Peak learning rates of the GPT
    #[arg(long, value_delimiter = ',', default_values_t = [3e-4, 1e-3, 3e-3])]
    pub peaks: Vec<f64>,
    /// Steps from one measurement of critical sharpness to the next
    #[arg(long, default_value_t = 5)]
    pub every: u64,
    /// Steps from one measurement of the Hessian to the next [default: 25 for the network, a tenth of
    /// --steps for each GPT]
    #[arg(long)]
    pub hessian_every: Option<u64>,
    /// Seed of weights and data
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex")]
    pub device: String,
    /// Folder for measurements, summary and plot [default: the first free runs/edge-of-stability-N]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A fully connected network under gradient descent
    Network,
    /// The small GPT under AdamW with warmup-stable-decay, at several peak learning rates
    Gpt,
}

/// The flags for the network only.
const OF_NETWORK: [&str; 8] = [
    "lr",
    "batch",
    "examples",
    "layers",
    "width",
    "activation",
    "loss",
    "cifar",
];
/// The flags for the GPT only.
const OF_GPT: [&str; 1] = ["peaks"];

impl Flags {
    /// Refuses impossible values, and flags without effect. The error names the flag.
    pub fn validate(&self, matches: &ArgMatches) -> Result<()> {
        match self.preset {
            Preset::Network => refuse_unused(matches, &OF_GPT, "without --preset gpt")?,
            Preset::Gpt => refuse_unused(matches, &OF_NETWORK, "with --preset gpt")?,
        }
        at_least_one(&[
            ("--steps", self.steps.unwrap_or(1)),
            ("--batch", self.batch.unwrap_or(1) as u64),
            ("--examples", self.examples as u64),
            ("--layers", self.layers as u64),
            ("--width", self.width as u64),
            ("--every", self.every),
            ("--hessian-every", self.hessian_every.unwrap_or(1)),
        ])?;
        for rate in self.peaks.iter().chain([&self.lr]) {
            ensure!(
                *rate > 0.0 && rate.is_finite(),
                "a learning rate is {rate}, but must be above 0"
            );
        }
        let batch = self.batch.unwrap_or(self.examples);
        ensure!(
            batch <= self.examples,
            "--batch is {batch}, more than the {} examples",
            self.examples
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    /// The flags for both presets.
    const OF_BOTH: [&str; 7] = [
        "preset",
        "steps",
        "every",
        "hessian_every",
        "seed",
        "device",
        "out",
    ];

    fn validated(words: &[&str]) -> Result<()> {
        let matches = Flags::command().try_get_matches_from([&["test"], words].concat())?;
        Flags::from_arg_matches(&matches)?.validate(&matches)
    }

    #[test]
    fn each_flag_is_used_or_refused_by_each_preset() {
        let mut listed = [&OF_NETWORK[..], &OF_GPT, &OF_BOTH].concat();
        listed.sort_unstable();
        let command = Flags::command();
        let flags = command.get_arguments().map(|flag| flag.get_id().as_str());
        let mut all: Vec<&str> = flags
            .filter(|flag| !["help", "version"].contains(flag))
            .collect();
        all.sort_unstable();
        assert_eq!(listed, all, "a flag without an entry in the table");

        let value = |flag: &str| match flag {
            "activation" => "tanh",
            "loss" => "cross-entropy",
            "lr" | "peaks" => "0.01",
            _ => "7",
        };
        for (flags, fits, other) in [
            (&OF_NETWORK[..], "network", "gpt"),
            (&OF_GPT, "gpt", "network"),
        ] {
            for flag in flags {
                let option = format!("--{flag}");
                let given = [option.as_str(), value(flag), "--preset"];
                validated(&[&given[..], &[fits]].concat()).unwrap();
                let error = validated(&[&given[..], &[other]].concat()).unwrap_err();
                assert!(error.to_string().starts_with(&option), "{error}");
            }
        }
    }
}
