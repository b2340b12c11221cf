//! Measures the memory of a probe on trainings whose weights fill the memory.

use crate::process::with_and_without;
use crate::table::MemoryRow;
use crate::workload::{Workload, seeded};
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ParamGroup};
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Gelu, Linear, LinearConfig};
use burn::optim::AdamWConfig;
use burn::tensor::{Device, Distribution, Tensor};
use clap::ValueEnum;
use gpt::optimizer::sgd;

/// Few enough for the weights, not the activations, to fill the memory.
const BATCH: usize = 4;
const STEPS: usize = 5;
const RATE: f64 = 1e-4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Training {
    AdamW,
    Momentum,
    Groups,
    Deep,
}

#[derive(Module, Debug)]
pub struct Layers {
    layers: Vec<Linear>,
    activation: Gelu,
}

impl Layers {
    fn loss(&self, [x, y]: &[Tensor<2>; 2]) -> Tensor<1> {
        let x = self.layers.iter().fold(x.clone(), |x, layer| {
            layer.forward(self.activation.forward(x))
        });
        MseLoss::new().forward(x, y.clone(), Reduction::Mean)
    }
}

impl Training {
    pub fn workload(self, device: &Device) -> Workload<Layers, [Tensor<2>; 2]> {
        let (layers, width) = self.shape();
        let on = seeded(device);
        let layer = |_| LinearConfig::new(width, width).init(&on);
        let model = Layers {
            layers: (0..layers).map(layer).collect(),
            activation: Gelu::new(),
        };
        let normal = Distribution::Normal(0.0, 1.0);
        let batch = [(); 2].map(|()| Tensor::random([BATCH, width], normal, &on));
        Workload {
            name: self.name(),
            every: 1,
            model,
            optim: match self {
                Self::Momentum => sgd(0.9),
                Self::AdamW | Self::Groups | Self::Deep => AdamWConfig::new().init(),
            },
            batches: vec![batch; STEPS],
            rates: Box::new(move |_| self.rates()),
            loss: Layers::loss,
        }
    }

    fn rates(self) -> ModuleLearningRate {
        let scheduler = ModuleLrScheduler::new(RATE);
        let first = ParamGroup::from_predicate("layers.0");
        match self {
            Self::Groups => scheduler.with_group(first, 0.5 * RATE).step(),
            _ => RATE.into(),
        }
    }

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
