use super::{Workload, seeded};
use anyhow::Result;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};
use gpt::small::{CLASSES, ConvNet, Examples, SIDE};

/// A fixed linear map gives the classes of noise images. The gradient belongs to the loss in training mode, not to the
/// measured loss.
pub struct Convolutional {
    pub steps: usize,
    pub device: Device,
}

impl Convolutional {
    const EXAMPLES: usize = 1024;
    const BATCH: usize = 64;
    const DROPOUT: f64 = 0.1;
}

impl Workload for Convolutional {
    type Model = ConvNet;
    type Batch = Examples<4>;

    fn name(&self) -> &'static str {
        "convolutional with batch norm and dropout, mini-batch momentum SGD"
    }

    fn every(&self) -> u64 {
        1
    }

    fn init(&self) -> (ConvNet, ModuleOptimizer) {
        let model = ConvNet::new(Some(Self::DROPOUT), &seeded(&self.device));
        let momentum = MomentumConfig::new().with_dampening(0.0);
        let optim = SgdConfig::new().with_momentum(Some(momentum)).init();
        (model, optim)
    }

    fn batches(&self) -> Result<Vec<Examples<4>>> {
        let device = seeded(&self.device);
        let normal = Distribution::Normal(0.0, 1.0);
        let x = Tensor::<2>::random([Self::EXAMPLES, SIDE * SIDE], normal, &device);
        let teacher = Tensor::<2>::random([SIDE * SIDE, CLASSES], normal, &device);
        let scores = x.clone().matmul(teacher);
        let images = Examples::of_scores(x, scores).into_images();
        Ok(images.batches(Self::BATCH, self.steps))
    }

    fn learning_rate(&self, _step: usize) -> f64 {
        0.01
    }

    fn loss(&self, model: &ConvNet, batch: &Examples<4>) -> Tensor<1> {
        model.loss(batch)
    }
}
