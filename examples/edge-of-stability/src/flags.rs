use anyhow::{Result, ensure};
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use gpt::activation;
use gpt::flags::{above_0, at_least_one};
use gpt::small::{CLASSES, FullyConnected, LossKind};
use std::path::PathBuf;

/// Watch a training reach the Edge of Stability: critical sharpness λ_c, directional sharpness and the
/// Hessian's largest eigenvalue against 2/η.
#[derive(Parser)]
#[command(version)]
pub struct Flags {
    /// Train by SGD on batches of four sizes, without and with momentum, and compare batch sharpness with its
    /// thresholds
    #[arg(long, conflicts_with_all = ["batch", "cifar", "every"])]
    pub stochastic: bool,
    /// Updates of the weights
    #[arg(long, default_value_t = 3000)]
    pub steps: u64,
    /// Learning rate, constant
    #[arg(long, default_value_t = 0.05, allow_negative_numbers = true)]
    pub lr: f64,
    /// Examples of a batch; as many as --examples make it gradient descent [default: all]
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
    /// Steps from one measurement of critical sharpness to the next
    #[arg(long, default_value_t = 5)]
    pub every: u64,
    /// Steps from one measurement of the Hessian to the next
    #[arg(long, default_value_t = 25)]
    pub hessian_every: u64,
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
pub enum Activation {
    /// GELU
    Gelu,
    /// Hyperbolic tangent
    Tanh,
    /// Rectified linear
    Relu,
}

impl Flags {
    /// All layers have the width of the flags, except the last, which has the width of the classes.
    pub fn network(&self, features: usize, device: &Device) -> FullyConnected {
        let mut widths = vec![features];
        widths.resize(self.layers, self.width);
        widths.push(CLASSES);
        FullyConnected {
            activation: match self.activation {
                Activation::Gelu => activation::Activation::Gelu,
                Activation::Tanh => activation::Activation::Tanh,
                Activation::Relu => activation::Activation::Relu,
            },
            loss: self.loss,
            ..FullyConnected::new(&widths, device)
        }
    }

    pub fn validate(&self) -> Result<()> {
        at_least_one(&[
            ("--steps", self.steps),
            ("--batch", self.batch.unwrap_or(1) as u64),
            ("--examples", self.examples as u64),
            ("--layers", self.layers as u64),
            ("--width", self.width as u64),
            ("--every", self.every),
            ("--hessian-every", self.hessian_every),
        ])?;
        let (lr, examples) = (self.lr, self.examples);
        above_0("--lr", lr)?;
        let batch = self.batch.unwrap_or(examples);
        ensure!(
            batch <= examples,
            "--batch is {batch}, more than the {examples} examples"
        );
        Ok(())
    }
}
