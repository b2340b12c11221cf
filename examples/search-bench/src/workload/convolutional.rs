use super::{Examples, Workload, seeded};
use anyhow::Result;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d, Relu,
};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};

/// Two convolutions, each with batch norm and ReLU, then dropout and an output layer.
#[derive(Module, Debug)]
pub struct ConvNet {
    convolutions: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    activation: Relu,
    pool: AdaptiveAvgPool2d,
    dropout: Dropout,
    output: Linear,
}

/// A small convolutional network with batch norm and dropout, on noise images with classes from a fixed linear map.
/// The gradient belongs to the loss in training mode, not to the measured loss.
pub struct Convolutional {
    pub steps: usize,
    pub device: Device,
}

impl Convolutional {
    const EXAMPLES: usize = 1024;
    const BATCH: usize = 64;
    const SIDE: usize = 12;
    const CHANNELS: usize = 16;
    const CLASSES: usize = 10;
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
        let device = seeded(&self.device);
        let convolution = |channels: [usize; 2]| {
            Conv2dConfig::new(channels, [3, 3])
                .with_padding(PaddingConfig2d::Same)
                .init(&device)
        };
        let model = ConvNet {
            convolutions: vec![
                convolution([1, Self::CHANNELS]),
                convolution([Self::CHANNELS, Self::CHANNELS]),
            ],
            norms: (0..2)
                .map(|_| BatchNormConfig::new(Self::CHANNELS).init(&device))
                .collect(),
            activation: Relu::new(),
            pool: AdaptiveAvgPool2dConfig::new([4, 4]).init(),
            dropout: DropoutConfig::new(Self::DROPOUT).init(),
            output: LinearConfig::new(16 * Self::CHANNELS, Self::CLASSES).init(&device),
        };
        let momentum = MomentumConfig::new().with_dampening(0.0);
        let optim = SgdConfig::new().with_momentum(Some(momentum)).init();
        (model, optim)
    }

    fn batches(&self) -> Result<Vec<Examples<4>>> {
        let device = seeded(&self.device);
        let normal = Distribution::Normal(0.0, 1.0);
        let pixels = Self::SIDE * Self::SIDE;
        let x = Tensor::<2>::random([Self::EXAMPLES, pixels], normal, &device);
        let teacher = Tensor::<2>::random([pixels, Self::CLASSES], normal, &device);
        let y = x.clone().matmul(teacher).argmax(1).flatten::<1>(0, 1);
        let x = x.reshape([Self::EXAMPLES, 1, Self::SIDE, Self::SIDE]);
        Ok(Examples { x, y }.batches(Self::BATCH, self.steps))
    }

    fn learning_rate(&self, _step: usize) -> f64 {
        0.01
    }

    fn loss(&self, model: &ConvNet, batch: &Examples<4>) -> Tensor<1> {
        let layers = model.convolutions.iter().zip(&model.norms);
        let x = layers.fold(batch.x.clone(), |x, (convolution, norm)| {
            model
                .activation
                .forward(norm.forward(convolution.forward(x)))
        });
        let x = model.pool.forward(x).flatten::<2>(1, 3);
        let logits = model.output.forward(model.dropout.forward(x));
        batch.cross_entropy(logits)
    }
}
