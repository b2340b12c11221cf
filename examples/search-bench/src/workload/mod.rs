mod convolutional;
mod fully_connected;
mod gpt_pretraining;

pub use convolutional::Convolutional;
pub use fully_connected::FullyConnected;
pub use gpt::small::VOCAB;
pub use gpt_pretraining::GptPretraining;

use anyhow::Result;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn_sharpness::{Linearity, Measurement, SharpnessProbe, TRAIN_TASK, UpdateDirection};
use std::sync::Arc;
use std::time::Instant;

const SEED: u64 = 0;

pub trait Workload {
    type Model: Module + 'static;
    type Batch: Clone;

    fn name(&self) -> &'static str;
    fn every(&self) -> u64;
    fn init(&self) -> (Self::Model, ModuleOptimizer);
    fn batches(&self) -> Result<Vec<Self::Batch>>;
    fn learning_rate(&self, step: usize) -> f64;
    fn learning_rates(&self, step: usize) -> ModuleLearningRate {
        self.learning_rate(step).into()
    }
    fn loss(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<1>;
}

pub struct Step<'a, W: Workload> {
    pub index: u64,
    pub model: &'a W::Model,
    pub optim: &'a ModuleOptimizer,
    pub learning_rate: f64,
    pub grads: &'a GradientsParams,
    pub training_loss: f64,
    pub batch: &'a W::Batch,
}

pub struct RealLine<'a, W: Workload> {
    workload: &'a W,
    batch: &'a W::Batch,
    model: W::Model,
    direction: UpdateDirection,
    /// L(θ).
    pub base_loss: f64,
    /// g·Δθ.
    pub slope: f64,
    /// ‖Δθ‖.
    pub update_norm: f64,
}

impl<'a, W: Workload> Step<'a, W> {
    /// `None` if the update has no direction.
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
            update_norm: direction.norm(),
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
pub fn train<W: Workload>(
    workload: &W,
    probe: Option<&SharpnessProbe>,
    mut observe: impl FnMut(Step<'_, W>),
) -> Result<Trained> {
    let (mut model, mut optim) = workload.init();
    let batches = workload.batches()?;
    let weights = model.num_params();
    let mut step_seconds = Vec::new();
    let mut measurements: Vec<Arc<Measurement>> = Vec::new();
    for (step, batch) in batches.iter().enumerate() {
        let learning_rate = workload.learning_rate(step);
        let started = Instant::now();
        let loss = workload.loss(&model, batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let training_loss = loss.try_into_scalar::<f64>()?;
        let mut seconds = started.elapsed().as_secs_f64();

        observe(Step {
            index: step as u64,
            model: &model,
            optim: &optim,
            learning_rate,
            grads: &grads,
            training_loss,
            batch,
        });

        let started = Instant::now();
        let rates = workload.learning_rates(step);
        let Some(probe) = probe else {
            model = optim.step(rates, model, grads);
            step_seconds.push(seconds + started.elapsed().as_secs_f64());
            continue;
        };
        let index = probe.step();
        let made = burn_sharpness::Step::new(model, &mut optim, rates, grads)
            .with_training_loss(training_loss);
        model = probe.optimize_step(made, |model: &W::Model| workload.loss(model, batch));
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
