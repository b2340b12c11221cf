use crate::data::{Batch, CLASSES};
use burn::module::Module;
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use clap::ValueEnum;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// GELU
    Gelu,
    /// Hyperbolic tangent
    Tanh,
    /// Rectified linear
    Relu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Mean cross entropy, in nats
    CrossEntropy,
    /// Mean squared distance to one-hot targets, summed over the classes
    Mse,
}

#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Linear>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    loss: LossKind,
}

impl Network {
    /// All layers have this width, except the last, which has the width of the classes.
    pub fn new(
        features: usize,
        layers: usize,
        width: usize,
        activation: Activation,
        loss: LossKind,
        device: &Device,
    ) -> Self {
        let mut widths = vec![features];
        widths.resize(layers, width);
        widths.push(CLASSES);
        Self {
            layers: widths
                .windows(2)
                .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
                .collect(),
            activation,
            loss,
        }
    }

    pub fn loss(&self, batch: &Batch) -> Tensor<1> {
        let last = self.layers.len() - 1;
        let mut x = batch.x.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if index < last {
                x = match self.activation {
                    Activation::Gelu => activation::gelu(x),
                    Activation::Tanh => activation::tanh(x),
                    Activation::Relu => activation::relu(x),
                };
            }
        }
        match self.loss {
            LossKind::CrossEntropy => CrossEntropyLossConfig::new()
                .init(&x.device())
                .forward(x, batch.y.clone()),
            LossKind::Mse => {
                let targets = batch.y.clone().one_hot(CLASSES).float();
                MseLoss::new().forward(x, targets, Reduction::Mean) * CLASSES as f64
            }
        }
    }
}
