use super::{Workload, seeded};
use anyhow::Result;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};
use gpt::small::{CLASSES, Examples, FullyConnected as Network};

/// A fixed nonlinear map gives the classes of random inputs.
pub struct FullyConnected {
    pub steps: usize,
    /// Gradient descent instead of momentum SGD.
    pub full_batch: bool,
    pub device: Device,
}

impl FullyConnected {
    const EXAMPLES: usize = 1024;
    const BATCH: usize = 64;
    const FEATURES: usize = 32;
    const WIDTHS: [usize; 5] = [Self::FEATURES, 128, 128, 128, CLASSES];
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
        let network = Network::new(&Self::WIDTHS, &seeded(&self.device));
        (network, optim.init())
    }

    fn batches(&self) -> Result<Vec<Examples<2>>> {
        let device = seeded(&self.device);
        let shape = [Self::EXAMPLES, Self::FEATURES];
        let x = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let teacher = Tensor::<2>::random(
            [Self::FEATURES, CLASSES],
            Distribution::Normal(0.0, 1.0),
            &device,
        );
        let scores = x.clone().matmul(teacher.clone()) + (x.clone() * 2.0).sin().matmul(teacher);
        let examples = Examples::of_scores(x, scores);
        if self.full_batch {
            return Ok(vec![examples; self.steps]);
        }
        Ok(examples.batches(Self::BATCH, self.steps))
    }

    fn learning_rate(&self, _step: usize) -> f64 {
        if self.full_batch { 0.3 } else { 0.02 }
    }

    fn loss(&self, model: &Network, batch: &Examples<2>) -> Tensor<1> {
        model.loss(batch)
    }
}
