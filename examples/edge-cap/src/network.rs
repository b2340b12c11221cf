use anyhow::Result;
use burn::module::ParamGroup;
use burn::optim::{ModuleOptimizer, MuonConfig};
use burn::tensor::{Device, Distribution, Tensor};
use clap::ValueEnum;
use gpt::loader::collect;
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::{adamw, sgd};
use gpt::small::{CLASSES, ConvNet, Examples, FullyConnected, SIDE, VOCAB, tokens};
use gpt::tokens::{TokenBatch, TrainBatches, Windows, valid_loader};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The GPT of `gpt-pretrain` under AdamW
    Gpt,
    /// A GPT of one block under AdamW, which trains in half a minute
    SmallGpt,
    /// The GPT of one block under Muon, with AdamW for all parameters but matrices
    Muon,
    /// Two convolutions with batch norm under momentum SGD
    Convolutional,
}

pub struct Task<M, B> {
    pub model: M,
    pub optim: ModuleOptimizer,
    pub batches: Vec<B>,
    pub valid: Vec<B>,
    pub loss: fn(&M, &B) -> Tensor<1>,
}

impl Network {
    pub const ALL: [Self; 4] = [Self::SmallGpt, Self::Muon, Self::Convolutional, Self::Gpt];

    pub fn steps(self) -> u64 {
        match self {
            Self::Gpt | Self::Convolutional => 300,
            Self::SmallGpt | Self::Muon => 200,
        }
    }

    /// Just below the finder's ceiling.
    pub fn tuned(self) -> f64 {
        match self {
            Self::Gpt => 1.4e-3,
            Self::SmallGpt => 3e-3,
            Self::Muon => 2e-2,
            Self::Convolutional => 3e-2,
        }
    }

    pub fn gpt(self) -> Option<GptConfig> {
        match self {
            Self::Gpt => Some(GptConfig::new(VOCAB, 128, 4, 4, 128)),
            Self::SmallGpt | Self::Muon => Some(GptConfig::new(VOCAB, 64, 1, 2, 64)),
            Self::Convolutional => None,
        }
    }
}

/// Windows of a batch, and batches.
const WINDOWS: usize = 8;
const VALIDATION: usize = 32;

pub fn of_gpt(
    network: Network,
    shape: &GptConfig,
    steps: u64,
    seed: u64,
    device: &Device,
) -> Result<Task<Gpt, TokenBatch>> {
    let [train, valid] = Windows::split(tokens()?, shape.context, "the text")?;
    let training = device.clone().autodiff();
    training.seed(seed);
    let model = shape.init(&training);
    let optim = match network {
        Network::Muon => {
            let matrices = ParamGroup::from_predicate("blocks");
            let vectors = ["norm", "bias"].map(ParamGroup::from_predicate);
            let optim = adamw(0.0).with_group(matrices, MuonConfig::new().build(), None);
            let adamw = || burn::optim::AdamWConfig::new().build();
            vectors.into_iter().fold(optim, |optim, vectors| {
                optim.with_group(vectors, adamw(), None)
            })
        }
        _ => adamw(0.0),
    };
    let train = TrainBatches::new(train, WINDOWS, 1, steps, steps, seed, 0);
    Ok(Task {
        model,
        optim,
        batches: collect(&train.loader(), &training)?,
        valid: collect(&valid_loader(valid, WINDOWS, VALIDATION), device)?,
        loss: |model, batch| model.loss(batch.clone()),
    })
}

/// Images of a batch.
const IMAGES: usize = 64;

/// A fixed linear map gives the classes of noise images.
pub fn convolutional(steps: u64, seed: u64, device: &Device) -> Task<ConvNet, Examples<4>> {
    let training = device.clone().autodiff();
    training.seed(seed);
    let model = ConvNet::new(None, &training);
    let normal = Distribution::Normal(0.0, 1.0);
    let teacher = Tensor::<2>::random([SIDE * SIDE, CLASSES], normal, device);
    let images = |on: &Device| {
        let x = Tensor::<2>::random([IMAGES, SIDE * SIDE], normal, device);
        Examples::taught(x, &teacher, false).into_images().on(on)
    };
    Task {
        model,
        optim: sgd(0.9),
        batches: (0..steps).map(|_| images(&training)).collect(),
        valid: (0..VALIDATION).map(|_| images(device)).collect(),
        loss: ConvNet::loss,
    }
}

const FEATURES: usize = 32;

/// A fixed nonlinear map gives the classes of noise.
pub fn fully_connected(
    optim: ModuleOptimizer,
    steps: u64,
    seed: u64,
    device: &Device,
) -> Task<FullyConnected, Examples<2>> {
    let training = device.clone().autodiff();
    training.seed(seed);
    let model = FullyConnected::new(&[FEATURES, 64, 64, CLASSES], &training);
    let normal = Distribution::Normal(0.0, 1.0);
    let teacher = Tensor::<2>::random([FEATURES, CLASSES], normal, device);
    let batch = |_| {
        let x = Tensor::<2>::random([IMAGES, FEATURES], normal, device);
        Examples::taught(x, &teacher, true).on(&training)
    };
    Task {
        model,
        optim,
        batches: (0..steps).map(batch).collect(),
        valid: Vec::new(),
        loss: FullyConnected::loss,
    }
}
