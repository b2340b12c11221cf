//! One run.

use crate::network::{Network, Task, convolutional, of_gpt};
use anyhow::Result;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_sharpness::{SharpnessConfig, SharpnessProbe, Step};
use gpt::schedule::WarmupStableDecay;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// The cost of a training step in forward passes: one forward pass, and a backward pass as dear as two.
pub const STEP_COST: u64 = 3;

/// The remedy for a learning rate that is too high.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Nothing.
    None,
    /// No step above this part of its η_c.
    Cap(f64),
    /// Gradients clipped to this norm.
    Clip(f32),
    /// Nothing, but more steps, for the forward passes of the run with a cap.
    Longer {
        /// The cap of that run.
        cap: f64,
        /// The steps for these passes.
        steps: u64,
    },
}

/// A run, before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The network.
    pub network: Network,
    /// The peak learning rate over the tuned one.
    pub peak: f64,
    /// The remedy.
    pub treatment: Treatment,
    /// The seed of weights and batches.
    pub seed: u64,
    /// The updates.
    pub steps: u64,
    /// Whether a tenth of the steps is warmup.
    pub has_warmup: bool,
    /// The interval of measurements away from the cap, unless each step is measured.
    #[serde(default)]
    pub every: Option<u64>,
}

impl Display for Run {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self {
            network,
            peak,
            treatment,
            seed,
            ..
        } = self;
        write!(f, "{network:?}, peak × {peak}, {treatment:?}, seed {seed}")
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run.
    pub run: Run,
    /// The loss on the validation batches, if it is finite.
    pub valid: Option<f64>,
    /// The number of capped steps, the first and the last.
    pub capped: u64,
    pub first_capped: Option<u64>,
    pub last_capped: Option<u64>,
    /// The measurements, and their evaluations.
    pub measurements: u64,
    pub evaluations: u64,
}

impl Outcome {
    /// Returns the cost of the run in forward passes.
    pub fn forward_equivalents(&self) -> f64 {
        (STEP_COST * self.run.length() + self.evaluations) as f64
    }
}

/// Makes a run.
pub fn train(run: &Run, device: &Device) -> Result<Outcome> {
    let steps = run.length();
    match run.network.gpt() {
        Some(shape) => train_task(run, of_gpt(run.network, &shape, steps, run.seed, device)?),
        None => train_task(run, convolutional(steps, run.seed, device)),
    }
}

impl Run {
    fn length(&self) -> u64 {
        match self.treatment {
            Treatment::Longer { steps, .. } => steps,
            _ => self.steps,
        }
    }

    fn schedule(&self) -> WarmupStableDecay {
        let usual = WarmupStableDecay::usual(self.peak * self.network.tuned(), self.length());
        WarmupStableDecay {
            warmup: if self.has_warmup { usual.warmup } else { 0 },
            ..usual
        }
    }
}

fn train_task<M: Module + 'static, B>(run: &Run, task: Task<M, B>) -> Result<Outcome> {
    let Task {
        mut model,
        mut optim,
        batches,
        valid,
        loss,
    } = task;
    let probe = match run.treatment {
        Treatment::Cap(fraction) => {
            let config = SharpnessConfig::new().with_edge_cap(fraction);
            SharpnessProbe::new(match run.every {
                Some(every) => config.with_every(every),
                None => config,
            })?
        }
        _ => SharpnessProbe::disabled(),
    };
    if let Treatment::Clip(norm) = run.treatment {
        optim = optim.with_grad_clipping(GradientClippingConfig::Norm(norm).init());
    }
    let schedule = run.schedule();
    for (step, batch) in batches.iter().enumerate() {
        let at_this_step = loss(&model, batch);
        let grads = GradientsParams::from_grads(at_this_step.clone().backward(), &model);
        let made = Step::new(model, &mut optim, schedule.at(step as u64), grads)
            .with_training_loss(at_this_step);
        model = probe.optimize_step(made, |model: &M| loss(model, batch));
    }
    let model = model.valid();
    let mut sum = 0.0;
    for batch in &valid {
        sum += loss(&model, batch).try_into_scalar::<f64>()?;
    }
    let summary = probe.summary();
    let mean = sum / valid.len() as f64;
    Ok(Outcome {
        run: *run,
        valid: mean.is_finite().then_some(mean),
        capped: summary.capped.map_or(0, |capped| capped.count),
        first_capped: summary.capped.map(|capped| capped.first_step),
        last_capped: summary.capped.map(|capped| capped.last_step),
        measurements: summary.measurements,
        evaluations: summary.evaluations,
    })
}
