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

/// Forward passes of a training step, whose backward pass costs two.
pub const STEP_COST: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    None,
    /// No step above this part of its η_c.
    Cap(f64),
    Clip(f32),
    /// More steps, for the forward passes of the run with this cap.
    Longer {
        cap: f64,
        steps: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub network: Network,
    /// In parts of the tuned rate.
    pub peak: f64,
    pub treatment: Treatment,
    pub seed: u64,
    pub steps: u64,
    /// For a tenth of the steps.
    pub has_warmup: bool,
    /// The interval of measurements away from the cap; by default each step is measured.
    #[serde(default)]
    pub every: Option<u64>,
}

impl Display for Run {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (network, treatment) = (self.network, self.treatment);
        let (peak, seed) = (self.peak, self.seed);
        write!(f, "{network:?}, peak × {peak}, {treatment:?}, seed {seed}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub run: Run,
    /// If finite.
    pub valid: Option<f64>,
    pub capped: u64,
    pub evaluations: u64,
}

impl Outcome {
    pub fn forward_equivalents(&self) -> f64 {
        (STEP_COST * self.run.length() + self.evaluations) as f64
    }
}

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
    let (mut model, mut optim, loss) = (task.model, task.optim, task.loss);
    let probe = match run.treatment {
        Treatment::Cap(fraction) => {
            let mut config = SharpnessConfig::new().with_edge_cap(fraction);
            if let Some(every) = run.every {
                config = config.with_every(every);
            }
            SharpnessProbe::new(config)?
        }
        _ => SharpnessProbe::disabled(),
    };
    if let Treatment::Clip(norm) = run.treatment {
        optim = optim.with_grad_clipping(GradientClippingConfig::Norm(norm).init());
    }
    let schedule = run.schedule();
    for (step, batch) in task.batches.iter().enumerate() {
        let at_this_step = loss(&model, batch);
        let grads = GradientsParams::from_grads(at_this_step.clone().backward(), &model);
        let made = Step::new(model, &mut optim, schedule.at(step as u64), grads)
            .with_training_loss(at_this_step);
        model = probe.optimize_step(made, |model: &M| loss(model, batch));
    }
    let model = model.valid();
    let mut sum = 0.0;
    for batch in &task.valid {
        sum += loss(&model, batch).try_into_scalar::<f64>()?;
    }
    let summary = probe.summary();
    let mean = sum / task.valid.len() as f64;
    Ok(Outcome {
        run: *run,
        valid: mean.is_finite().then_some(mean),
        capped: summary.capped.map_or(0, |capped| capped.count),
        evaluations: summary.evaluations,
    })
}
