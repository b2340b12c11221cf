//! Every call to burn-sharpness is in this file.

use crate::model::Transformer;
use anyhow::{Context, Result, anyhow};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn_sharpness::{Loss, Measurement, SharpnessConfig, SharpnessProbe};
use gpt::tokens::TokenBatch;
use std::sync::Arc;

/// Micro-batches; only one at a time is in memory with its activations.
pub type Batch = Vec<TokenBatch>;

/// A text whose loss is measured along the same update.
#[derive(Clone, Debug)]
pub struct Task {
    pub name: String,
    pub batch: Batch,
}

pub fn loss(model: &Transformer, batch: &Batch) -> Result<Loss, String> {
    let mut windows: Vec<f64> = Vec::new();
    for micro_batch in batch {
        let losses = model.window_losses(micro_batch).try_into_data();
        let losses = losses.map_err(|error| format!("the loss could not be read: {error}"))?;
        windows.extend(losses.iter::<f64>());
    }
    Ok(Loss::of_examples(windows, f64::from(f32::EPSILON)))
}

pub fn gradient(model: &Transformer, batch: &Batch) -> GradientsParams {
    let windows: usize = batch.iter().map(windows_of).sum();
    let mut sum = GradientsAccumulator::new();
    for micro_batch in batch {
        let share = windows_of(micro_batch) as f64 / windows as f64;
        let loss = model.window_losses(micro_batch).mean() * share;
        let grads = GradientsParams::from_grads(loss.backward(), model);
        sum.accumulate(model, grads);
    }
    sum.grads()
}

fn windows_of(batch: &TokenBatch) -> usize {
    batch.inputs.dims()[0]
}

#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub tolerance: f64,
    /// The evaluations of a search for an earlier rise of the loss.
    pub verification: usize,
    /// Whether the spread over the windows gives an interval. If so, a critical learning rate that might as well be 0
    /// on other windows is not a result.
    pub interval: bool,
}

impl Search {
    pub fn validate(self, tasks: &[String]) -> Result<()> {
        let mut probe = SharpnessProbe::builder(self.config());
        for name in tasks {
            probe = probe.with_task(name, Vec::<Batch>::new(), self.loss());
        }
        probe.build()?;
        Ok(())
    }

    fn loss(self) -> impl Fn(&Transformer, Batch) -> Result<Loss, String> + Send + Sync + 'static {
        move |model, batch| {
            let loss = loss(model, &batch)?;
            Ok(match self.interval {
                true => loss,
                false => Loss::new(loss.value(), loss.epsilon()),
            })
        }
    }

    fn config(self) -> SharpnessConfig {
        SharpnessConfig::new()
            .with_every(1)
            .with_tolerance(self.tolerance)
            .with_verification(self.verification)
    }

    /// Measures the loss of a batch, and then the tasks, along the update that the optimizer would make of the batch's
    /// gradient.
    pub fn measure(
        self,
        model: &Transformer,
        optim: &ModuleOptimizer,
        batch: &Batch,
        tasks: &[Task],
        guess: f64,
    ) -> Result<Vec<Arc<Measurement>>> {
        let mut probe = SharpnessProbe::builder(self.config());
        for task in tasks {
            probe = probe.with_task(&task.name, vec![task.batch.clone()], self.loss());
        }
        let probe = probe.build()?;
        let grads = gradient(model, batch);
        let of_batch = probe
            .measure(model, optim, guess, &grads, |model| {
                self.loss()(model, batch.clone())
            })
            .context("no measurement was due")?;
        let of_tasks = tasks.iter().map(|task| {
            let latest = probe.latest(&task.name);
            latest.ok_or_else(|| anyhow!("the task {} was not measured", task.name))
        });
        let mut all = vec![of_batch];
        all.extend(of_tasks.collect::<Result<Vec<_>>>()?);
        Ok(all)
    }
}
