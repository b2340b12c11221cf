use anyhow::{Error, Result};
use burn::data::dataloader::DataLoader;
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Gelu, Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_sharpness::{Linearity, UpdateDirection};
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::{PEAK_LEARNING_RATE, adamw};
use gpt::schedule::WarmupStableDecay;
use gpt::text::{Domain, Text};
use gpt::tokenizer::Tokenizer;
use gpt::tokens::{TokenBatch, TrainLoader, Windows};

/// The seed of all weights and data.
const SEED: u64 = 0;

/// A training that the searches are compared on.
pub trait Workload {
    /// What is trained.
    type Model: Module + 'static;
    /// What one step trains on.
    type Batch: Clone;

    /// The name in the table.
    fn name(&self) -> &'static str;
    /// Every so many steps count.
    fn every(&self) -> u64;
    /// The model at its first weights, and its optimizer.
    fn init(&self) -> (Self::Model, ModuleOptimizer);
    /// The batches of the run.
    fn batches(&self) -> Result<Vec<Self::Batch>>;
    /// The learning rate of a step.
    fn learning_rate(&self, step: usize) -> f64;
    /// The mean loss of a batch.
    fn loss(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<1>;
}

/// What a step knows before its update.
pub struct Step<'a, W: Workload> {
    /// The number of the step, from 0.
    pub index: u64,
    /// The model at θ.
    pub model: &'a W::Model,
    /// The optimizer before its step.
    pub optim: &'a ModuleOptimizer,
    /// The learning rate η.
    pub learning_rate: f64,
    /// The gradients of the loss.
    pub grads: &'a GradientsParams,
    /// The loss L(θ), as the training step has computed it.
    pub training_loss: f64,
    /// What it was computed on.
    pub batch: &'a W::Batch,
}

/// The loss along a step's update.
pub struct RealLine<'a, W: Workload> {
    workload: &'a W,
    batch: &'a W::Batch,
    model: W::Model,
    direction: UpdateDirection,
    /// L(θ).
    pub base_loss: f64,
    /// g·Δθ.
    pub slope: f64,
}

impl<'a, W: Workload> Step<'a, W> {
    /// The line of this step, if its update has a direction.
    pub fn line(&self, workload: &'a W) -> Option<RealLine<'a, W>> {
        let model = self.model.valid();
        let rate = self.learning_rate.into();
        let check = Linearity::Linear;
        let direction = UpdateDirection::new(&model, self.optim, &rate, self.grads, 1.0, check);
        let direction = direction.ok()?;
        let mut line = RealLine {
            workload,
            batch: self.batch,
            model,
            slope: direction.slope(),
            direction,
            base_loss: f64::NAN,
        };
        line.base_loss = line.loss_of(&line.model);
        Some(line)
    }
}

impl<W: Workload> RealLine<'_, W> {
    fn loss_of(&self, model: &W::Model) -> f64 {
        let loss = self.workload.loss(model, self.batch);
        loss.try_into_scalar::<f64>().unwrap_or(f64::NAN)
    }

    /// L(θ − ηΔθ).
    pub fn loss(&self, eta: f64) -> f64 {
        self.loss_of(&self.direction.apply(self.model.clone(), eta))
    }

    /// L(θ − ηΔθ) − L(θ).
    pub fn rise(&self, eta: f64) -> f64 {
        self.loss(eta) - self.base_loss
    }
}

/// Trains, and shows each step before its update to an observer. Returns the mean seconds of a
/// training step.
pub fn train<W: Workload>(workload: &W, mut observe: impl FnMut(Step<'_, W>)) -> Result<f64> {
    let (mut model, mut optim) = workload.init();
    let batches = workload.batches()?;
    let mut seconds = 0.0;
    for (step, batch) in batches.iter().enumerate() {
        let learning_rate = workload.learning_rate(step);
        let started = std::time::Instant::now();
        let loss = workload.loss(&model, batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let training_loss = loss.try_into_scalar::<f64>()?;
        seconds += started.elapsed().as_secs_f64();

        observe(Step {
            index: step as u64,
            model: &model,
            optim: &optim,
            learning_rate,
            grads: &grads,
            training_loss,
            batch,
        });

        let started = std::time::Instant::now();
        model = optim.step(learning_rate, model, grads);
        seconds += started.elapsed().as_secs_f64();
    }
    Ok(seconds / batches.len() as f64)
}

fn device() -> Device {
    let device = Device::flex().autodiff();
    device.seed(SEED);
    device
}

/// The model of `gpt-pretrain` on its default text: mini-batches, AdamW, warmup-stable-decay.
pub struct GptPretraining {
    /// The number of steps.
    pub steps: usize,
    /// The steps from one measurement to the next.
    pub every: u64,
    /// The windows of text in a batch.
    pub batch: usize,
}

impl Workload for GptPretraining {
    type Model = Gpt;
    type Batch = TokenBatch;

    fn name(&self) -> &'static str {
        "gpt, mini-batch AdamW"
    }

    fn every(&self) -> u64 {
        self.every
    }

    fn init(&self) -> (Gpt, ModuleOptimizer) {
        (
            GptConfig::new(1024, 128, 4, 4, 128).init(&device()),
            adamw(0.0),
        )
    }

    fn batches(&self) -> Result<Vec<TokenBatch>> {
        let text = Text::of_packages(Domain::Prose, 8_000_000)?;
        let tokens = Tokenizer::train(&text.content, 1024)?.encode(&text.content)?;
        let windows = Windows::new(tokens, 128, "the text").map_err(Error::msg)?;
        let steps = self.steps as u64;
        let loader =
            TrainLoader::new(windows, self.batch, 1, steps, steps, SEED, 0).to_device(&device());
        let batches = loader.iter().collect::<Result<Vec<_>, _>>();
        batches.map_err(|error| Error::msg(error.to_string()))
    }

    fn learning_rate(&self, step: usize) -> f64 {
        let steps = self.steps as u64;
        let schedule = WarmupStableDecay {
            peak: PEAK_LEARNING_RATE,
            end: 0.0,
            warmup: steps / 10,
            decay: steps / 5,
            steps,
        };
        schedule.at(step as u64)
    }

    fn loss(&self, model: &Gpt, batch: &TokenBatch) -> Tensor<1> {
        model.loss(batch.clone())
    }
}

/// A fully connected network with GELU.
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Linear>,
    activation: Gelu,
}

/// Inputs and classes.
#[derive(Clone)]
pub struct Examples {
    x: Tensor<2>,
    y: Tensor<1, Int>,
}

/// A four-layer network on a small classification problem: inputs are random, and their classes are
/// those of another, fixed network.
pub struct FullyConnected {
    /// The number of steps.
    pub steps: usize,
    /// Full-batch gradient descent, or momentum SGD on batches of 64.
    pub full_batch: bool,
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
    type Batch = Examples;

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
        (self.network(&device()), optim.init())
    }

    fn batches(&self) -> Result<Vec<Examples>> {
        let device = device();
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
        let batches = Self::EXAMPLES / Self::BATCH;
        let batch = |index: usize| {
            let from = index % batches * Self::BATCH;
            Examples {
                x: x.clone().narrow(0, from, Self::BATCH),
                y: y.clone().narrow(0, from, Self::BATCH),
            }
        };
        Ok((0..self.steps).map(batch).collect())
    }

    fn learning_rate(&self, _step: usize) -> f64 {
        if self.full_batch { 0.3 } else { 0.02 }
    }

    fn loss(&self, model: &Network, batch: &Examples) -> Tensor<1> {
        let logits = Self::logits(model, batch.x.clone());
        CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits, batch.y.clone())
    }
}
