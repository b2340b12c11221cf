//! Progressive sharpening and the Edge of Stability, seen by critical sharpness and by the quantities
//! that it stands for.
//!
//! ```sh
//! cargo run -p edge-of-stability
//! cargo run -p edge-of-stability -- --preset gpt
//! ```

mod data;
mod descent;
mod network;
mod pretraining;
mod record;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use gpt::folder::OwnedFolder;
use gpt::run::exit_code;
use network::{Activation, LossKind};
use std::path::PathBuf;
use std::process::ExitCode;

/// Watch a training reach the Edge of Stability: critical sharpness λc, directional sharpness and the
/// Hessian's largest eigenvalue against 2/η.
#[derive(Parser)]
#[command(version)]
pub struct Flags {
    /// What is trained
    #[arg(long, value_enum, default_value_t = Preset::Network)]
    preset: Preset,
    /// Updates of the weights [default: 3000 for the network, 400 for each GPT]
    #[arg(long)]
    steps: Option<u64>,
    /// Learning rate of the network, constant
    #[arg(long, default_value_t = 0.05, allow_negative_numbers = true)]
    lr: f64,
    /// Examples of a batch of the network; as many as --examples make it gradient descent [default:
    /// all]
    #[arg(long)]
    batch: Option<usize>,
    /// Examples to train the network on
    #[arg(long, default_value_t = 1000)]
    examples: usize,
    /// Layers of the network
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Width of the network's hidden layers
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// Activation of the network
    #[arg(long, value_enum, default_value_t = Activation::Gelu)]
    activation: Activation,
    /// Loss of the network
    #[arg(long, value_enum, default_value_t = LossKind::Mse)]
    loss: LossKind,
    /// Folder with the binary files of CIFAR-10, instead of generated data
    #[arg(long, value_name = "DIR")]
    cifar: Option<PathBuf>,
    /// Peak learning rates of the GPT
    #[arg(long, value_delimiter = ',', default_values_t = [3e-4, 1e-3, 3e-3])]
    peaks: Vec<f64>,
    /// Steps from one measurement of critical sharpness to the next
    #[arg(long, default_value_t = 5)]
    every: u64,
    /// Steps from one measurement of the Hessian to the next [default: 25 for the network, a tenth of
    /// --steps for each GPT]
    #[arg(long)]
    hessian_every: Option<u64>,
    /// Seed of weights and data
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex")]
    device: String,
    /// Folder for measurements, summary and plot [default: the first free runs/edge-of-stability-N]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// A fully connected network under gradient descent
    Network,
    /// The small GPT under AdamW with warmup-stable-decay, at several peak learning rates
    Gpt,
}

fn main() -> ExitCode {
    exit_code(run(&Flags::parse()))
}

fn run(flags: &Flags) -> Result<()> {
    flags.validate()?;
    let out = flags.folder()?;
    match flags.preset {
        Preset::Network => descent::run(flags, out.path()),
        Preset::Gpt => pretraining::run(flags, out.path()),
    }
}

impl Flags {
    fn validate(&self) -> Result<()> {
        let counts = [
            ("--steps", self.steps.unwrap_or(1)),
            ("--batch", self.batch.unwrap_or(1) as u64),
            ("--examples", self.examples as u64),
            ("--layers", self.layers as u64),
            ("--width", self.width as u64),
            ("--every", self.every),
            ("--hessian-every", self.hessian_every.unwrap_or(1)),
        ];
        for (flag, count) in counts {
            ensure!(count > 0, "{flag} is 0, but must be at least 1");
        }
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

    fn folder(&self) -> Result<OwnedFolder> {
        OwnedFolder::for_results(
            self.out.as_deref(),
            "edge-of-stability",
            record::SUMMARY_FILE,
        )
    }
}
