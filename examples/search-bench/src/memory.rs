//! Measures the memory of a probe on trainings whose weights fill the memory.

use crate::process::with_and_without;
use crate::table::MemoryRow;
use crate::workload::{Workload, seeded};
use anyhow::Result;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ParamGroup};
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Gelu, Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};
use clap::ValueEnum;

/// Few enough for the weights, not the activations, to fill the memory.
const BATCH: usize = 4;
const STEPS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Training {
    AdamW,
    Momentum,
    Groups,
    Deep,
}

pub struct InMemory {
    pub training: Training,
    pub device: Device,
}

#[derive(Module, Debug)]
pub struct Layers {
    layers: Vec<Linear>,
    activation: Gelu,
}

impl Training {
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

    /// `None` if the system reports no peak memory.
    fn row(self, device: &str) -> Option<MemoryRow> {
        let name = self.to_possible_value()?.get_name().to_string();
        let arguments = ["--device", device, "--memory-of", &name].map(str::to_string);
        let [with, without] = with_and_without(&arguments).ok()?;
        Some(MemoryRow {
            workload: self.name(),
            weights_bytes: 4 * with.weights as u64,
            peak_rss_bytes: with.peak_bytes,
            peak_rss_bytes_without_probe: without.peak_bytes,
            step_seconds: without.step_seconds,
            measurement_seconds: with.measurement_seconds?,
        })
    }
}

pub fn rows(device: &str) -> Vec<MemoryRow> {
    let all = Training::value_variants().iter();
    all.filter_map(|training| training.row(device)).collect()
}

impl Workload for InMemory {
    type Model = Layers;
    type Batch = [Tensor<2>; 2];

    fn name(&self) -> &'static str {
        self.training.name()
    }

    fn every(&self) -> u64 {
        1
    }

    fn init(&self) -> (Layers, ModuleOptimizer) {
        let device = seeded(&self.device);
        let (layers, width) = self.training.shape();
        let layer = |_| LinearConfig::new(width, width).init(&device);
        let layers = Layers {
            layers: (0..layers).map(layer).collect(),
            activation: Gelu::new(),
        };
        let optim = match self.training {
            Training::Momentum => {
                let momentum = MomentumConfig::new().with_dampening(0.0);
                SgdConfig::new().with_momentum(Some(momentum)).init()
            }
            Training::AdamW | Training::Groups | Training::Deep => AdamWConfig::new().init(),
        };
        (layers, optim)
    }

    fn batches(&self) -> Result<Vec<Self::Batch>> {
        let (_, width) = self.training.shape();
        let device = self.device.clone().autodiff();
        let normal = Distribution::Normal(0.0, 1.0);
        let batch = [(); 2].map(|()| Tensor::random([BATCH, width], normal, &device));
        Ok(vec![batch; STEPS])
    }

    fn learning_rate(&self, _step: usize) -> f64 {
        1e-4
    }

    fn learning_rates(&self, step: usize) -> ModuleLearningRate {
        let rate = self.learning_rate(step);
        match self.training {
            Training::Groups => ModuleLrScheduler::new(rate)
                .with_group(ParamGroup::from_predicate("layers.0"), 0.5 * rate)
                .step(),
            _ => rate.into(),
        }
    }

    fn loss(&self, model: &Layers, [x, y]: &Self::Batch) -> Tensor<1> {
        let x = model.layers.iter().fold(x.clone(), |x, layer| {
            layer.forward(model.activation.forward(x))
        });
        MseLoss::new().forward(x, y.clone(), Reduction::Mean)
    }
}
