use anyhow::Result;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Distribution, Tensor};
use burn_sharpness::{Linearity, Measurement, SharpnessProbe, TRAIN_TASK, UpdateDirection};
use gpt::loader::collect;
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::{PEAK_LEARNING_RATE, adamw, sgd};
use gpt::schedule::WarmupStableDecay;
pub use gpt::small::VOCAB;
use gpt::small::{CLASSES, ConvNet, Examples, FullyConnected, SIDE, tokens};
use gpt::tokens::{TokenBatch, TrainBatches, Windows};
use std::sync::Arc;
use std::time::Instant;

const SEED: u64 = 0;
const EXAMPLES: usize = 1024;
const BATCH: usize = 64;

/// A training that has not begun.
pub struct Workload<M, B> {
    pub name: &'static str,
    /// The steps from one measurement to the next.
    pub every: u64,
    pub model: M,
    pub optim: ModuleOptimizer,
    /// One a step.
    pub batches: Vec<B>,
    pub rates: Box<dyn Fn(usize) -> ModuleLearningRate>,
    pub loss: fn(&M, &B) -> Tensor<1>,
}

/// The model of `gpt-pretrain` on its default text. The vocabulary of the shape must cover the text's.
pub fn gpt(
    steps: usize,
    every: u64,
    batch: usize,
    shape: &GptConfig,
    device: &Device,
) -> Result<Workload<Gpt, TokenBatch>> {
    let model = shape.init(&seeded(device));
    let windows = Windows::new(tokens()?, shape.context, "the text")?;
    let count = steps as u64;
    let batches = TrainBatches::new(windows, batch, 1, count, count, SEED, 0);
    let schedule = WarmupStableDecay::usual(PEAK_LEARNING_RATE, count);
    Ok(Workload {
        name: match shape.dropout > 0.0 {
            true => "gpt with dropout, mini-batch AdamW",
            false => "gpt, mini-batch AdamW",
        },
        every,
        model,
        optim: adamw(0.0),
        batches: collect(&batches.loader(), &seeded(device))?,
        rates: Box::new(move |step| schedule.at(step as u64).into()),
        loss: |model, batch| model.loss(batch.clone()),
    })
}

/// A fixed nonlinear map gives the classes of random inputs. With all examples in a batch, gradient descent replaces
/// momentum SGD.
pub fn fully_connected(
    steps: usize,
    full_batch: bool,
    device: &Device,
) -> Workload<FullyConnected, Examples<2>> {
    const FEATURES: usize = 32;
    let model = FullyConnected::new(&[FEATURES, 128, 128, 128, CLASSES], &seeded(device));
    let examples = taught(FEATURES, true, &seeded(device));
    let mini_batch = Workload {
        name: "fully connected, mini-batch momentum SGD",
        every: 1,
        model,
        optim: sgd(0.9),
        batches: examples.batches(BATCH, steps),
        rates: Box::new(|_| 0.02.into()),
        loss: FullyConnected::loss,
    };
    match full_batch {
        false => mini_batch,
        true => Workload {
            name: "fully connected, full-batch gradient descent",
            optim: sgd(0.0),
            batches: vec![examples; steps],
            rates: Box::new(|_| 0.3.into()),
            ..mini_batch
        },
    }
}

/// A fixed linear map gives the classes of noise images. The gradient belongs to the loss in training mode, not to the
/// measured loss.
pub fn convolutional(steps: usize, device: &Device) -> Workload<ConvNet, Examples<4>> {
    let model = ConvNet::new(Some(0.1), &seeded(device));
    let images = taught(SIDE * SIDE, false, &seeded(device)).into_images();
    Workload {
        name: "convolutional with batch norm and dropout, mini-batch momentum SGD",
        every: 1,
        model,
        optim: sgd(0.9),
        batches: images.batches(BATCH, steps),
        rates: Box::new(|_| 0.01.into()),
        loss: ConvNet::loss,
    }
}

fn taught(features: usize, bends: bool, device: &Device) -> Examples<2> {
    let normal = |shape| Tensor::random(shape, Distribution::Normal(0.0, 1.0), device);
    let x = normal([EXAMPLES, features]);
    Examples::taught(x, &normal([features, CLASSES]), bends)
}

pub struct Step<'a, M, B> {
    pub index: u64,
    pub model: &'a M,
    pub optim: &'a ModuleOptimizer,
    pub learning_rate: f64,
    pub grads: &'a GradientsParams,
    pub training_loss: f64,
    pub batch: &'a B,
    pub loss: fn(&M, &B) -> Tensor<1>,
}

pub struct RealLine<'a, M, B> {
    loss: fn(&M, &B) -> Tensor<1>,
    batch: &'a B,
    model: M,
    direction: UpdateDirection,
    /// L(θ).
    pub base_loss: f64,
    /// g·Δθ.
    pub slope: f64,
    /// ‖Δθ‖.
    pub update_norm: f64,
}

impl<'a, M: Module, B> Step<'a, M, B> {
    /// `None` if the update has no direction.
    pub fn line(&self) -> Option<RealLine<'a, M, B>> {
        let model = self.model.valid();
        let rate = self.learning_rate.into();
        let check = Linearity::Linear;
        let direction = UpdateDirection::new(&model, self.optim, &rate, self.grads, 1.0, check);
        let direction = direction.ok()?;
        let mut line = RealLine {
            loss: self.loss,
            batch: self.batch,
            model,
            slope: direction.slope(),
            update_norm: direction.norm(),
            direction,
            base_loss: f64::NAN,
        };
        line.base_loss = line.loss_of(&line.model);
        Some(line)
    }
}

impl<M: Module, B> RealLine<'_, M, B> {
    fn loss_of(&self, model: &M) -> f64 {
        let loss = (self.loss)(model, self.batch);
        loss.try_into_scalar::<f64>().unwrap_or(f64::NAN)
    }

    /// Returns L(θ − ηΔθ).
    pub fn loss(&self, eta: f64) -> f64 {
        self.loss_of(&self.direction.apply(self.model.clone(), eta))
    }

    /// Returns L(θ − ηΔθ) − L(θ).
    pub fn rise(&self, eta: f64) -> f64 {
        self.loss(eta) - self.base_loss
    }
}

pub struct Trained {
    pub weights: usize,
    pub step_seconds: Vec<f64>,
    pub measurements: Vec<Arc<Measurement>>,
}

/// Shows each step to an observer before its update. The probe makes the steps, if there is one.
pub fn train<M: Module + 'static, B>(
    workload: Workload<M, B>,
    probe: Option<&SharpnessProbe>,
    mut observe: impl FnMut(Step<'_, M, B>),
) -> Result<Trained> {
    let (mut model, mut optim, loss_of) = (workload.model, workload.optim, workload.loss);
    let weights = model.num_params();
    let mut step_seconds = Vec::new();
    let mut measurements: Vec<Arc<Measurement>> = Vec::new();
    for (step, batch) in workload.batches.iter().enumerate() {
        let rates = (workload.rates)(step);
        let started = Instant::now();
        let loss = loss_of(&model, batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let training_loss = loss.try_into_scalar::<f64>()?;
        let mut seconds = started.elapsed().as_secs_f64();

        observe(Step {
            index: step as u64,
            model: &model,
            optim: &optim,
            learning_rate: rates.base(),
            grads: &grads,
            training_loss,
            batch,
            loss: loss_of,
        });

        let started = Instant::now();
        let Some(probe) = probe else {
            model = optim.step(rates, model, grads);
            step_seconds.push(seconds + started.elapsed().as_secs_f64());
            continue;
        };
        let index = probe.step();
        let made = burn_sharpness::Step::new(model, &mut optim, rates, grads)
            .with_training_loss(training_loss);
        model = probe.optimize_step(made, |model: &M| loss_of(model, batch));
        seconds += started.elapsed().as_secs_f64();
        let latest = probe.latest(TRAIN_TASK);
        if let Some(measured) = latest.filter(|measured| measured.step == index) {
            seconds -= measured.seconds;
            measurements.push(measured);
        }
        step_seconds.push(seconds);
    }
    Ok(Trained {
        weights,
        step_seconds,
        measurements,
    })
}

pub fn seeded(device: &Device) -> Device {
    device.seed(SEED);
    device.clone().autodiff()
}
