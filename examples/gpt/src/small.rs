//! Small networks and their data, for programs that compare many short trainings.

use crate::activation::Activation;
use crate::output::LossOutput;
use crate::text::{Domain, Text};
use crate::tokenizer::Tokenizer;
use anyhow::Result;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d, Relu,
};
use burn::tensor::{Device, Int, Tensor};
use burn::train::{InferenceStep, TrainOutput, TrainStep};
use clap::ValueEnum;
use std::sync::OnceLock;

pub const VOCAB: usize = 1024;
pub const CLASSES: usize = 10;
pub const SIDE: usize = 12;
const CHANNELS: usize = 16;

/// Returns the default text of `gpt-pretrain` in tokens, learned once in a process.
pub fn tokens() -> Result<Vec<u32>> {
    static TOKENS: OnceLock<Vec<u32>> = OnceLock::new();
    if let Some(tokens) = TOKENS.get() {
        return Ok(tokens.clone());
    }
    let text = Text::of_packages(Domain::Prose, 8_000_000)?;
    let tokens = Tokenizer::train(&text.content, VOCAB)?.encode(&text.content)?;
    Ok(TOKENS.get_or_init(|| tokens).clone())
}

#[derive(Clone)]
pub struct Examples<const D: usize> {
    pub x: Tensor<D>,
    pub y: Tensor<1, Int>,
}

impl<const D: usize> Examples<D> {
    /// Starts again from the first example after the last.
    pub fn batches(&self, size: usize, count: usize) -> Vec<Self> {
        let [examples] = self.y.dims();
        let batch = |index: usize| {
            let from = index * size % examples;
            Self {
                x: self.x.clone().narrow(0, from, size),
                y: self.y.clone().narrow(0, from, size),
            }
        };
        (0..count).map(batch).collect()
    }

    pub fn cross_entropy(&self, logits: Tensor<2>) -> Tensor<1> {
        CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits, self.y.clone())
    }

    /// Copies the examples to a device, with or without autodiff.
    pub fn on(&self, device: &Device) -> Self {
        Self {
            x: Tensor::from_data(self.x.to_data(), device),
            y: Tensor::from_data(self.y.to_data(), device),
        }
    }
}

impl Examples<2> {
    /// The classes of a fixed map, which is nonlinear if it `bends`.
    pub fn taught(x: Tensor<2>, teacher: &Tensor<2>, bends: bool) -> Self {
        let mut scores = x.clone().matmul(teacher.clone());
        if bends {
            scores = scores + (x.clone() * 2.0).sin().matmul(teacher.clone());
        }
        let y = scores.argmax(1).flatten::<1>(0, 1);
        Self { x, y }
    }

    pub fn into_images(self) -> Examples<4> {
        let [count, _] = self.x.dims();
        Examples {
            x: self.x.reshape([count, 1, SIDE, SIDE]),
            y: self.y,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LossKind {
    /// Mean cross entropy, in nats
    CrossEntropy,
    /// Mean squared distance to one-hot targets, summed over the classes
    Mse,
}

#[derive(Module, Debug)]
pub struct FullyConnected {
    pub layers: Vec<Linear>,
    #[module(skip)]
    pub activation: Activation,
    #[module(skip)]
    pub loss: LossKind,
}

impl FullyConnected {
    pub fn new(widths: &[usize], device: &Device) -> Self {
        let layers = widths.windows(2);
        let layers = layers.map(|pair| LinearConfig::new(pair[0], pair[1]).init(device));
        Self {
            layers: layers.collect(),
            activation: Activation::Gelu,
            loss: LossKind::CrossEntropy,
        }
    }

    pub fn loss(&self, examples: &Examples<2>) -> Tensor<1> {
        let last = self.layers.len() - 1;
        let layers = self.layers.iter().enumerate();
        let logits = layers.fold(examples.x.clone(), |x, (index, layer)| {
            let x = layer.forward(x);
            match index < last {
                true => self.activation.forward(x),
                false => x,
            }
        });
        match self.loss {
            LossKind::CrossEntropy => examples.cross_entropy(logits),
            LossKind::Mse => {
                let targets = examples.y.clone().one_hot(CLASSES).float();
                MseLoss::new().forward(logits, targets, Reduction::Mean) * CLASSES as f64
            }
        }
    }
}

impl TrainStep for FullyConnected {
    type Input = Examples<2>;
    type Output = LossOutput;

    fn step(&self, batch: Examples<2>) -> TrainOutput<LossOutput> {
        let loss = self.loss(&batch);
        TrainOutput::new(self, loss.backward(), LossOutput::new(loss))
    }
}

impl InferenceStep for FullyConnected {
    type Input = Examples<2>;
    type Output = LossOutput;

    fn step(&self, batch: Examples<2>) -> LossOutput {
        LossOutput::new(self.loss(&batch))
    }
}

#[derive(Module, Debug)]
pub struct ConvNet {
    convolutions: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    activation: Relu,
    pool: AdaptiveAvgPool2d,
    dropout: Option<Dropout>,
    output: Linear,
}

impl ConvNet {
    pub fn new(dropout: Option<f64>, device: &Device) -> Self {
        let convolution = |channels: usize| {
            Conv2dConfig::new([channels, CHANNELS], [3, 3])
                .with_padding(PaddingConfig2d::Same)
                .init(device)
        };
        Self {
            convolutions: Vec::from([1, CHANNELS].map(convolution)),
            norms: (0..2)
                .map(|_| BatchNormConfig::new(CHANNELS).init(device))
                .collect(),
            activation: Relu::new(),
            pool: AdaptiveAvgPool2dConfig::new([4, 4]).init(),
            dropout: dropout.map(|probability| DropoutConfig::new(probability).init()),
            output: LinearConfig::new(16 * CHANNELS, CLASSES).init(device),
        }
    }

    pub fn loss(&self, images: &Examples<4>) -> Tensor<1> {
        let layers = self.convolutions.iter().zip(&self.norms);
        let x = layers.fold(images.x.clone(), |x, (convolution, norm)| {
            self.activation
                .forward(norm.forward(convolution.forward(x)))
        });
        let mut x = self.pool.forward(x).flatten::<2>(1, 3);
        if let Some(dropout) = &self.dropout {
            x = dropout.forward(x);
        }
        images.cross_entropy(self.output.forward(x))
    }
}
