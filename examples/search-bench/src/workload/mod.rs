//! Defines the trainings that compare the searches.

mod convolutional;
mod fully_connected;
mod gpt_pretraining;

pub use convolutional::Convolutional;
pub use fully_connected::FullyConnected;
pub use gpt_pretraining::{GptPretraining, VOCAB};

use anyhow::Result;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn_sharpness::{
    IntoLoss, Linearity, Measurement, SharpnessProbe, TRAIN_TASK, UpdateDirection,
};
use std::sync::Arc;
use std::time::Instant;

/// The seed of all weights and data.
const SEED: u64 = 0;

/// A training that compares the searches.
pub trait Workload {
    /// The type of the model.
    type Model: Module + 'static;
    /// The data of one step.
    type Batch: Clone;

    /// Returns the name in the table.
    fn name(&self) -> &'static str;
    /// Returns the number of steps between measurements.
    fn every(&self) -> u64;
    /// Returns the first model and its optimizer.
    fn init(&self) -> (Self::Model, ModuleOptimizer);
    /// Returns the batches of the run.
    fn batches(&self) -> Result<Vec<Self::Batch>>;
    /// Returns the learning rate of a step.
    fn learning_rate(&self, step: usize) -> f64;
    /// Returns the mean loss of a batch.
    fn loss(&self, model: &Self::Model, batch: &Self::Batch) -> Tensor<1>;
}

/// The state of a step before its update.
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
    /// The loss L(θ) from the training step.
    pub training_loss: f64,
    /// The batch of that loss.
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
    /// ‖Δθ‖.
    pub update_norm: f64,
}

impl<'a, W: Workload> Step<'a, W> {
    /// Returns the line of this step, if its update has a direction.
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

/// The results of a training.
pub struct Trained {
    /// The mean seconds of a training step, without the probe's.
    pub step_seconds: f64,
    /// The measurements of the probe.
    pub measurements: Vec<Arc<Measurement>>,
}

/// Trains, and shows each step before its update to an observer. The probe makes the steps, if there is one.
pub fn train<W: Workload>(
    workload: &W,
    probe: Option<&SharpnessProbe>,
    mut observe: impl FnMut(Step<'_, W>),
) -> Result<Trained> {
    let (mut model, mut optim) = workload.init();
    let batches = workload.batches()?;
    let mut seconds = 0.0;
    let mut measurements: Vec<Arc<Measurement>> = Vec::new();
    for (step, batch) in batches.iter().enumerate() {
        let learning_rate = workload.learning_rate(step);
        let started = Instant::now();
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

        let started = Instant::now();
        let rate = learning_rate.into();
        let loss = |model: &W::Model| workload.loss(model, batch);
        let measured;
        (model, measured) = make_step(probe, model, (&mut optim, rate), grads, training_loss, loss);
        seconds += started.elapsed().as_secs_f64();
        seconds -= measured
            .iter()
            .map(|measured| measured.seconds)
            .sum::<f64>();
        measurements.extend(measured);
    }
    Ok(Trained {
        step_seconds: seconds / batches.len() as f64,
        measurements,
    })
}

/// Returns the model after a step, and its measurement. The probe makes the step, if there is one.
pub fn make_step<M: Module + 'static>(
    probe: Option<&SharpnessProbe>,
    model: M,
    (optim, learning_rate): (&mut ModuleOptimizer, ModuleLearningRate),
    grads: GradientsParams,
    training_loss: impl IntoLoss,
    loss: impl FnMut(&M) -> Tensor<1>,
) -> (M, Option<Arc<Measurement>>) {
    let Some(probe) = probe else {
        drop(training_loss);
        return (optim.step(learning_rate, model, grads), None);
    };
    let index = probe.step();
    let step = burn_sharpness::Step::new(model, optim, learning_rate, grads)
        .with_training_loss(training_loss);
    let model = probe.optimize_step(step, loss);
    let latest = probe.latest(TRAIN_TASK);
    (model, latest.filter(|measured| measured.step == index))
}

/// Seeds the device of a workload.
fn seeded(device: &Device) -> Device {
    device.seed(SEED);
    device.clone().autodiff()
}
