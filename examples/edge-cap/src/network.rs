//! The networks that are trained, and on what.

use anyhow::{Error, Result};
use burn::data::dataloader::DataLoader;
use burn::module::{Module, ParamGroup};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::AdaptiveAvgPool2dConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d, Relu};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, MuonConfig, SgdConfig};
use burn::tensor::{Device, Distribution, Int, Tensor};
use clap::ValueEnum;
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::adamw;
use gpt::text::{Domain, Text};
use gpt::tokenizer::Tokenizer;
use gpt::tokens::{TokenBatch, TrainBatches, Windows, valid_loader};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// A network with its optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The GPT of `gpt-pretrain` under AdamW
    Gpt,
    /// A GPT of one block under AdamW, which trains in half a minute
    SmallGpt,
    /// The same under Muon, with AdamW for what is no matrix
    Muon,
    /// Two convolutions with batch norm under momentum SGD
    Convolutional,
}

/// A training: its model, what it trains on, and what it is judged on.
pub struct Task<M, B> {
    pub model: M,
    pub optim: ModuleOptimizer,
    pub batches: Vec<B>,
    pub valid: Vec<B>,
    pub loss: fn(&M, &B) -> Tensor<1>,
}

impl Network {
    pub const ALL: [Self; 4] = [Self::SmallGpt, Self::Muon, Self::Convolutional, Self::Gpt];

    /// The updates of a run.
    pub fn steps(self) -> u64 {
        match self {
            Self::Gpt | Self::Convolutional => 300,
            Self::SmallGpt | Self::Muon => 200,
        }
    }

    /// A peak learning rate just below the ceiling that a finder gives.
    pub fn tuned(self) -> f64 {
        match self {
            Self::Gpt => 1.4e-3,
            Self::SmallGpt => 3e-3,
            Self::Muon => 2e-2,
            Self::Convolutional => 3e-2,
        }
    }

    /// The shape of the GPT that it is, if it is one.
    pub fn gpt(self) -> Option<GptConfig> {
        match self {
            Self::Gpt => Some(GptConfig::new(VOCAB, 128, 4, 4, 128)),
            Self::SmallGpt | Self::Muon => Some(GptConfig::new(VOCAB, 64, 1, 2, 64)),
            Self::Convolutional => None,
        }
    }
}

const VOCAB: usize = 1024;
/// The windows of text in a batch, and the batches of a validation.
const WINDOWS: usize = 8;
const VALIDATION: usize = 32;

/// A training of a GPT.
pub fn of_gpt(
    network: Network,
    shape: &GptConfig,
    steps: u64,
    seed: u64,
    device: &Device,
) -> Result<Task<Gpt, TokenBatch>> {
    static TOKENS: OnceLock<Vec<u32>> = OnceLock::new();
    let tokens = match TOKENS.get() {
        Some(tokens) => tokens.clone(),
        None => {
            let text = Text::of_packages(Domain::Prose, 8_000_000)?;
            let tokens = Tokenizer::train(&text.content, VOCAB)?.encode(&text.content)?;
            TOKENS.get_or_init(|| tokens).clone()
        }
    };
    let [train, valid] = Windows::split(tokens, shape.context, "the text").map_err(Error::msg)?;
    let training = device.clone().autodiff();
    training.seed(seed);
    let model = shape.init(&training);
    let optim = match network {
        Network::Muon => {
            let matrices = ParamGroup::from_predicate("blocks");
            let vectors = ParamGroup::from_predicate("norm");
            adamw(0.0)
                .with_group(matrices, MuonConfig::new().build(), None)
                .with_group(vectors, burn::optim::AdamWConfig::new().build(), None)
        }
        _ => adamw(0.0),
    };
    let train = TrainBatches::new(train, WINDOWS, 1, steps, steps, seed, 0).loader();
    Ok(Task {
        model,
        optim,
        batches: collect(train.to_device(&training).as_ref())?,
        valid: collect(
            valid_loader(valid, WINDOWS, VALIDATION)
                .to_device(device)
                .as_ref(),
        )?,
        loss: |model, batch| model.loss(batch.clone()),
    })
}

fn collect(loader: &dyn DataLoader<TokenBatch>) -> Result<Vec<TokenBatch>> {
    let batches = loader.iter().collect::<Result<_, _>>();
    batches.map_err(|error| Error::msg(error.to_string()))
}

/// Two convolutions with batch norm and a ReLU, and a layer of classes.
#[derive(Module, Debug)]
pub struct ConvNet {
    convolutions: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    output: Linear,
}

/// Images of noise and their classes.
#[derive(Clone)]
pub struct Images {
    x: Tensor<4>,
    y: Tensor<1, Int>,
}

const SIDE: usize = 12;
const CHANNELS: usize = 16;
const CLASSES: usize = 10;
const IMAGES: usize = 64;

/// A training on images of noise, whose classes are those of a fixed linear map.
pub fn convolutional(steps: u64, seed: u64, device: &Device) -> Task<ConvNet, Images> {
    let training = device.clone().autodiff();
    training.seed(seed);
    let convolution = |channels: [usize; 2]| {
        Conv2dConfig::new(channels, [3, 3])
            .with_padding(PaddingConfig2d::Same)
            .init(&training)
    };
    let model = ConvNet {
        convolutions: vec![
            convolution([1, CHANNELS]),
            convolution([CHANNELS, CHANNELS]),
        ],
        norms: (0..2)
            .map(|_| BatchNormConfig::new(CHANNELS).init(&training))
            .collect(),
        output: LinearConfig::new(16 * CHANNELS, CLASSES).init(&training),
    };
    let momentum = MomentumConfig::new().with_dampening(0.0);
    let optim = SgdConfig::new().with_momentum(Some(momentum)).init();
    let normal = Distribution::Normal(0.0, 1.0);
    let teacher = Tensor::<2>::random([SIDE * SIDE, CLASSES], normal, device);
    let images = |on: &Device| {
        let x = Tensor::<2>::random([IMAGES, SIDE * SIDE], normal, device);
        let y = x
            .clone()
            .matmul(teacher.clone())
            .argmax(1)
            .flatten::<1>(0, 1);
        let x = x.reshape([IMAGES, 1, SIDE, SIDE]);
        let (x, y) = (x.to_data(), y.to_data());
        Images {
            x: Tensor::from_data(x, on),
            y: Tensor::from_data(y, on),
        }
    };
    Task {
        model,
        optim,
        batches: (0..steps).map(|_| images(&training)).collect(),
        valid: (0..VALIDATION).map(|_| images(device)).collect(),
        loss: |model, images| {
            let layers = model.convolutions.iter().zip(&model.norms);
            let x = layers.fold(images.x.clone(), |x, (convolution, norm)| {
                Relu::new().forward(norm.forward(convolution.forward(x)))
            });
            let x = AdaptiveAvgPool2dConfig::new([4, 4]).init().forward(x);
            let logits = model.output.forward(x.flatten::<2>(1, 3));
            let loss = CrossEntropyLossConfig::new().init(&logits.device());
            loss.forward(logits, images.y.clone())
        },
    }
}
