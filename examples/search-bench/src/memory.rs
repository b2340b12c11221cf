//! Measures the memory of a probe: the peak of a process that trains and measures, against a process that only trains.

use crate::statistics::mean;
use crate::table::MemoryRow;
use crate::workload::make_step;
use anyhow::{Context, Result};
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ParamGroup};
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Gelu, Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};
use burn_sharpness::{ConfigError, SharpnessConfig, SharpnessProbe};
use clap::ValueEnum;
use gpt::terminal::print;
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::Instant;

/// The examples of a batch: few enough for the weights, not the activations, to fill the memory.
const BATCH: usize = 4;
const STEPS: usize = 4;
const LEARNING_RATE: f64 = 1e-4;

/// The training: square layers with GELU between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Training {
    /// Three layers of 4096 by AdamW.
    AdamW,
    /// Three layers of 4096 by SGD with momentum.
    Momentum,
    /// Three layers of 4096 by AdamW, with another learning rate for the first layer.
    Groups,
    /// 48 layers of 1024 by AdamW.
    Deep,
}

/// Whether a process has a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    With,
    Without,
}

impl Probe {
    /// Returns a probe that measures each step.
    pub fn of_each_step(self) -> Result<Option<SharpnessProbe>, ConfigError> {
        let config = SharpnessConfig::new().with_every(1);
        match self {
            Self::With => SharpnessProbe::new(config).map(Some),
            Self::Without => Ok(None),
        }
    }
}

/// The results of a process.
#[derive(Serialize, Deserialize)]
struct Told {
    weights: u64,
    peak: u64,
    step_seconds: f64,
    /// `None` without a probe.
    measurement_seconds: Option<f64>,
}

#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Linear>,
    activation: Gelu,
}

impl Layers {
    fn loss(&self, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<1> {
        let x = self.layers.iter().fold(x.clone(), |x, layer| {
            layer.forward(self.activation.forward(x))
        });
        MseLoss::new().forward(x, y.clone(), Reduction::Mean)
    }
}

impl Training {
    const ALL: [Self; 4] = [Self::AdamW, Self::Momentum, Self::Groups, Self::Deep];

    fn name(self) -> &'static str {
        match self {
            Self::AdamW => "memory, 3 layers of 4096, AdamW",
            Self::Momentum => "memory, 3 layers of 4096, momentum SGD",
            Self::Groups => "memory, 3 layers of 4096, AdamW with parameter groups",
            Self::Deep => "memory, 48 layers of 1024, AdamW",
        }
    }

    fn shape(self) -> (usize, usize) {
        match self {
            Self::AdamW | Self::Momentum | Self::Groups => (3, 4096),
            Self::Deep => (48, 1024),
        }
    }

    fn optimizer(self) -> ModuleOptimizer {
        match self {
            Self::Momentum => {
                let momentum = MomentumConfig::new().with_dampening(0.0);
                SgdConfig::new().with_momentum(Some(momentum)).init()
            }
            Self::AdamW | Self::Groups | Self::Deep => AdamWConfig::new().init(),
        }
    }

    fn learning_rate(self) -> ModuleLearningRate {
        match self {
            Self::Groups => ModuleLrScheduler::new(LEARNING_RATE)
                .with_group(ParamGroup::from_predicate("layers.0"), 0.5 * LEARNING_RATE)
                .step(),
            Self::AdamW | Self::Momentum | Self::Deep => LEARNING_RATE.into(),
        }
    }

    /// Measures this training in two new processes. `None` if the system does not report a peak.
    fn row(self) -> Option<MemoryRow> {
        let with = self.told_by_a_process(Probe::With)?;
        let without = self.told_by_a_process(Probe::Without)?;
        Some(MemoryRow {
            workload: self.name(),
            weights_bytes: with.weights,
            peak_rss_bytes: with.peak,
            peak_rss_bytes_without_probe: without.peak,
            step_seconds: without.step_seconds,
            measurement_seconds: with.measurement_seconds?,
        })
    }

    fn told_by_a_process(self, probe: Probe) -> Option<Told> {
        let (training, probe) = (self.to_possible_value()?, probe.to_possible_value()?);
        let output = Command::new(std::env::current_exe().ok()?)
            .args([
                "--memory-of",
                training.get_name(),
                "--probe",
                probe.get_name(),
            ])
            .output()
            .ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// Returns the rows of all trainings.
pub fn rows() -> Vec<MemoryRow> {
    Training::ALL
        .into_iter()
        .filter_map(Training::row)
        .collect()
}

/// Trains in this process, with or without a probe that measures each step, and prints the results.
pub fn tell(training: Training, probe: Probe) -> Result<()> {
    let device = Device::flex().autodiff();
    device.seed(1);
    let (layers, width) = training.shape();
    let layer = |_| LinearConfig::new(width, width).init(&device);
    let mut model = Layers {
        layers: (0..layers).map(layer).collect(),
        activation: Gelu::new(),
    };
    let weights = 4 * model.num_params() as u64;
    let mut optim = training.optimizer();
    let learning_rate = training.learning_rate();
    let normal = Distribution::Normal(0.0, 1.0);
    let x = Tensor::random([BATCH, width], normal, &device);
    let y = Tensor::random([BATCH, width], normal, &device);
    let probe = probe.of_each_step()?;
    let (mut steps, mut measurements) = (Vec::new(), Vec::new());
    for _ in 0..STEPS {
        let started = Instant::now();
        let loss = model.loss(&x, &y);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let step = (&mut optim, learning_rate.clone());
        let again = |model: &Layers| model.loss(&x, &y);
        let measured;
        (model, measured) = make_step(probe.as_ref(), model, step, grads, loss, again);
        measurements.extend(measured.map(|measured| measured.seconds));
        steps.push(started.elapsed().as_secs_f64());
    }
    let told = Told {
        weights,
        peak: peak()?,
        step_seconds: mean(&steps[1..]),
        measurement_seconds: probe.map(|_| mean(&measurements[1..])),
    };
    Ok(print(&(serde_json::to_string(&told)? + "\n"))?)
}

/// Returns the peak memory of this process in bytes.
pub fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .context("the system does not tell the peak memory of a process")?;
    Ok(1024 * peak)
}
