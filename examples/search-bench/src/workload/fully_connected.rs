use super::{Examples, Workload, seeded};
use anyhow::Result;
use burn::module::Module;
use burn::nn::{Gelu, Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};

/// A fully connected network with GELU.
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Linear>,
    activation: Gelu,
}

/// A four-layer network on random inputs, with classes from another, fixed network.
pub struct FullyConnected {
    pub steps: usize,
    /// Full-batch gradient descent, or momentum SGD on batches of 64.
    pub full_batch: bool,
    pub device: Device,
}

impl FullyConnected {
    const EXAMPLES: usize = 1024;
    const BATCH: usize = 64;
    const FEATURES: usize = 32;
    const CLASSES: usize = 10;

    fn network(&self, device: &Device) -> Network {
        let widths = [Self::FEATURES, 128, 128, 128, Self::CLASSES];
        Network {
            layers: widths
                .windows(2)
                .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
                .collect(),
            activation: Gelu::new(),
        }
    }

    fn logits(model: &Network, x: Tensor<2>) -> Tensor<2> {
        let last = model.layers.len() - 1;
        let layers = model.layers.iter().enumerate();
        layers.fold(x, |x, (index, layer)| {
            let x = layer.forward(x);
            if index < last {
                model.activation.forward(x)
            } else {
                x
            }
        })
    }
}

impl Workload for FullyConnected {
    type Model = Network;
    type Batch = Examples<2>;

    fn name(&self) -> &'static str {
        if self.full_batch {
            "fully connected, full-batch gradient descent"
        } else {
            "fully connected, mini-batch momentum SGD"
        }
    }

    fn every(&self) -> u64 {
        1
    }

    fn init(&self) -> (Network, ModuleOptimizer) {
        let momentum = MomentumConfig::new().with_dampening(0.0);
        let optim = SgdConfig::new().with_momentum((!self.full_batch).then_some(momentum));
        (self.network(&seeded(&self.device)), optim.init())
    }

    fn batches(&self) -> Result<Vec<Examples<2>>> {
        let device = seeded(&self.device);
        let shape = [Self::EXAMPLES, Self::FEATURES];
        let x = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let teacher = Tensor::<2>::random(
            [Self::FEATURES, Self::CLASSES],
            Distribution::Normal(0.0, 1.0),
            &device,
        );
        let scores = x.clone().matmul(teacher.clone()) + (x.clone() * 2.0).sin().matmul(teacher);
        let y = scores.argmax(1).flatten::<1>(0, 1);
        if self.full_batch {
            return Ok(vec![Examples { x, y }; self.steps]);
        }
        Ok(Examples { x, y }.batches(Self::BATCH, self.steps))
    }

    fn learning_rate(&self, _step: usize) -> f64 {
        if self.full_batch { 0.3 } else { 0.02 }
    }

    fn loss(&self, model: &Network, batch: &Examples<2>) -> Tensor<1> {
        batch.cross_entropy(Self::logits(model, batch.x.clone()))
    }
}
