use crate::config::{ConfigError, SharpnessConfig};
use crate::params::home_of;
use crate::probe::SharpnessProbe;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use sharpness_record::Measurement;
use std::fmt::{Display, Formatter};
use std::sync::Arc;
use thiserror::Error;

/// Where the very first search starts: a common learning rate.
const FIRST_GUESS: f64 = 1e-3;
/// Of the smallest critical learning rate, the part that the trial warmup begins with.
const TRIAL_START: f64 = 1e-3;

/// Finds, before training, how large a learning rate the model can begin with, and how large it can
/// become.
///
/// 1. **At the first weights**, the critical learning rate η_c along the optimizer's first update, on a
///    few batches: a gradient and a few forward passes each. A training that starts above it raises the
///    loss at once, one that starts below needs no warmup for its first steps (Kalra & Barkeshli, *Why
///    Warmup the Learning Rate?*, arXiv 2406.09405, 2024, where the initial learning rate is chosen so).
/// 2. **In a trial warmup**, on copies of the model and the optimizer: η_c changes by more than tenfold
///    in the first steps of a training, and at the first weights nobody can know how. The learning rate
///    rises exponentially, from a thousandth of the smallest η_c towards η_c, and the trial ends at the
///    first step whose learning rate is past the critical one: there is the edge. (Later on it may be
///    hidden: a step past the edge can throw the model where the loss is flat and high.)
///    [`with_trial_steps(0)`](Self::with_trial_steps) leaves it out.
///
/// Model and optimizer stay as they are. A model with dropout draws random numbers in both, so that a
/// run that is to be reproduced seeds its device afterwards.
///
/// ```
/// use burn::nn::{Linear, LinearConfig, loss::{MseLoss, Reduction}};
/// use burn::optim::{AdamWConfig, ModuleOptimizer};
/// use burn::tensor::{Device, Distribution, Tensor};
/// use burn_sharpness::LearningRateFinder;
///
/// let device = Device::flex().autodiff();
/// let batch = |_| Tensor::<2>::random([32, 4], Distribution::Normal(0.0, 1.0), &device);
/// let batches: Vec<Tensor<2>> = (0..4).map(batch).collect();
/// let model = LinearConfig::new(4, 4).init(&device);
/// let optim: ModuleOptimizer = AdamWConfig::new().init();
///
/// // Learns to leave its input as it is.
/// let loss = |model: &Linear, x: &Tensor<2>| {
///     MseLoss::new().forward(model.forward(x.clone()), x.clone(), Reduction::Mean)
/// };
/// let range = LearningRateFinder::new().find(&model, &optim, &batches, loss)?;
/// println!("{range}");
/// assert!(range.peak_ceiling().unwrap() <= range.initial().unwrap().max);
/// # Ok::<(), burn_sharpness::FinderError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct LearningRateFinder {
    batches: usize,
    trial_steps: usize,
    search: SharpnessConfig,
}

impl Default for LearningRateFinder {
    fn default() -> Self {
        Self {
            batches: 8,
            trial_steps: 100,
            search: SharpnessConfig::new(),
        }
    }
}

impl LearningRateFinder {
    /// Measures on 8 batches at the first weights, then in a trial warmup of up to 100 steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// On how many batches η_c is measured at the first weights; at least 1, the default is 8.
    pub fn with_batches(mut self, batches: usize) -> Self {
        self.batches = batches;
        self
    }

    /// The steps in which the trial warmup reaches the smallest critical learning rate of the first
    /// weights; by default 100. A step costs a training step and a measurement.
    pub fn with_trial_steps(mut self, steps: usize) -> Self {
        self.trial_steps = steps;
        self
    }

    /// How each critical learning rate is searched for: the tolerance, the limits and the method of
    /// this configuration.
    pub fn with_search(mut self, config: SharpnessConfig) -> Self {
        self.search = config;
        self
    }

    /// Measures. `loss` computes the mean loss of a batch, which is differentiated. Batches are used
    /// in turn, again from the first one where there are too few.
    ///
    /// # Errors
    ///
    /// If there is no batch, if the model is not on a device with autodiff, or if the configuration of
    /// the search cannot work. A measurement that fails is no error: it is in the result, with its
    /// outcome.
    pub fn find<M: Module + 'static, B>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        batches: &[B],
        loss: impl Fn(&M, &B) -> Tensor<1>,
    ) -> Result<LearningRateRange, FinderError> {
        if self.batches == 0 || batches.is_empty() {
            return Err(FinderError::NoBatch);
        }
        if !home_of(model).is_autodiff() {
            return Err(FinderError::NoAutodiff);
        }
        let mut batches = batches.iter().cycle();
        let mut next_batch = || batches.next().ok_or(FinderError::NoBatch);
        // Each step, and no other trace than the result.
        let config = SharpnessConfig {
            every: 1,
            dense_every: None,
            max_time_share: 1.0,
            warn_after: u64::MAX,
            directory: None,
            ..self.search.clone()
        };
        let gradients = |model: &M, batch: &B| {
            GradientsParams::from_grads(loss(model, batch).backward(), model)
        };

        let probe = SharpnessProbe::new(config.clone())?;
        let mut initial = Vec::new();
        for _ in 0..self.batches {
            let batch = next_batch()?;
            let grads = gradients(model, batch);
            // The learning rate is where the first search starts, no more.
            let measured = probe.measure(model, optim, FIRST_GUESS, &grads, |model| {
                loss(model, batch)
            });
            initial.extend(measured);
        }
        let mut range = LearningRateRange {
            initial,
            trial: Vec::new(),
        };
        let Some(Spread { min: target, .. }) = range.initial() else {
            return Ok(range);
        };

        let probe = SharpnessProbe::new(config)?;
        let (mut model, mut optim) = (model.clone(), optim.clone());
        for step in 0..self.trial_steps {
            let progress = step as f64 / (self.trial_steps - 1).max(1) as f64;
            let learning_rate = target * TRIAL_START.powf(1.0 - progress);
            let batch = next_batch()?;
            let grads = gradients(&model, batch);
            let measured = probe.measure(&model, &optim, learning_rate, &grads, |model| {
                loss(model, batch)
            });
            range.trial.extend(measured);
            if range.edge_of_trial().is_some() || range.has_diverged() {
                break;
            }
            model = optim.step(learning_rate, model, grads);
        }
        Ok(range)
    }
}

/// What a [`LearningRateFinder`] has measured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LearningRateRange {
    /// The measurements at the first weights, one a batch.
    pub initial: Vec<Arc<Measurement>>,
    /// The measurements of the trial warmup, one a step.
    pub trial: Vec<Arc<Measurement>>,
}

/// How critical learning rates spread over batches.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The one in the middle; of an even number, the smaller of the two.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl LearningRateRange {
    /// The critical learning rates at the first weights, over the batches that gave one.
    pub fn initial(&self) -> Option<Spread> {
        let rates = self.initial.iter().filter_map(|m| m.critical_lr);
        let mut rates: Vec<f64> = rates.collect();
        rates.sort_by(f64::total_cmp);
        Some(Spread {
            min: *rates.first()?,
            median: rates[(rates.len() - 1) / 2],
            max: *rates.last()?,
        })
    }

    /// The learning rate at which the trial reached the edge: the first past the critical one. `None` if
    /// it did not, or if there was no trial.
    pub fn edge_of_trial(&self) -> Option<f64> {
        let mut steps = self.trial.iter();
        let edge = steps.find(|m| m.edge_ratio().is_some_and(|ratio| ratio > 1.0));
        edge?.learning_rate
    }

    /// The suggested ceiling of the peak learning rate: where the trial reached the edge, or else the
    /// smallest critical learning rate at the first weights.
    pub fn peak_ceiling(&self) -> Option<f64> {
        self.edge_of_trial().or(self.initial().map(|s| s.min))
    }

    /// The suggested learning rate to begin a warmup with: half of the smallest critical learning rate
    /// at the first weights, but not above the ceiling of the peak, at which it is no warmup.
    pub fn warmup_start(&self) -> Option<f64> {
        Some((self.initial()?.min / 2.0).min(self.peak_ceiling()?))
    }

    fn has_diverged(&self) -> bool {
        self.trial.last().is_some_and(|m| m.base_loss.is_none())
    }
}

impl Display for LearningRateRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let measured = self.initial.iter().filter(|m| m.critical_lr.is_some());
        let (measured, all) = (measured.count(), self.initial.len());
        let (Some(spread), Some(start), Some(ceiling)) =
            (self.initial(), self.warmup_start(), self.peak_ceiling())
        else {
            return write!(
                f,
                "no critical learning rate was found on any of {all} batches"
            );
        };
        let Spread { min, median, max } = spread;
        writeln!(
            f,
            "critical learning rate  {median:.2e} at the first weights ({min:.2e} to {max:.2e} on {measured} of {all} batches)"
        )?;
        match (self.edge_of_trial(), self.trial.last()) {
            (Some(edge), _) => writeln!(
                f,
                "trial warmup            reached the edge at {edge:.2e}, after {} steps",
                self.trial.len()
            )?,
            (None, Some(last)) => writeln!(
                f,
                "trial warmup            did not reach the edge up to {:.2e}",
                last.learning_rate.unwrap_or(min)
            )?,
            (None, None) => {}
        }
        write!(f, "start the warmup at     {start:.1e} or less")?;
        if start >= ceiling {
            write!(f, ": the first steps need no warmup")?;
        }
        write!(f, "\nkeep the peak below     {ceiling:.1e}")
    }
}

/// Why nothing could be measured.
#[derive(Error)]
#[non_exhaustive]
pub enum FinderError {
    /// There is nothing to measure on.
    #[error("there is no batch to measure on: give at least one, and ask for at least one")]
    NoBatch,
    /// No gradients can be computed.
    #[error("the model is on a device without autodiff: initialize it on `device.autodiff()`")]
    NoAutodiff,
    /// The search cannot work as it is configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

debug_is_the_sentence!(FinderError);
