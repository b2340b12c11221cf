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

const FIRST_GUESS: f64 = 1e-3;
const TRIAL_START: f64 = 1e-3;

/// Finds, before training, how large the learning rate can begin and become.
///
/// 1. **At the first weights**, the finder measures the critical learning rate η_c along the optimizer's first update,
///    on a few batches: a gradient and a few forward passes each. A training that starts above η_c raises the loss in
///    its first step; below η_c, its first steps need no warmup (Kalra & Barkeshli, *Why Warmup the Learning Rate?*,
///    arXiv 2406.09405, 2024).
/// 2. **In a trial warmup**, on copies of the model and the optimizer, it follows η_c through the first steps of
///    training, which change η_c more than tenfold. The learning rate rises exponentially, from a thousandth of the
///    smallest η_c, up to the first step past its critical learning rate: the edge.
///
/// Model and optimizer stay unchanged. If the model has dropout, seed the device afterwards to make the run
/// reproducible.
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
    /// Creates a finder of 8 batches at the first weights and a trial warmup of up to 100 steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of batches at the first weights, at least 1 (default 8).
    pub fn with_batches(mut self, batches: usize) -> Self {
        self.batches = batches;
        self
    }

    /// Sets the number of steps in which the trial warmup reaches the smallest critical learning rate of the first
    /// weights (default 100; 0 skips the trial). Each costs a training step and a measurement.
    pub fn with_trial_steps(mut self, steps: usize) -> Self {
        self.trial_steps = steps;
        self
    }

    /// Takes the tolerance, the limits and the method of each search from this configuration.
    pub fn with_search(mut self, config: SharpnessConfig) -> Self {
        self.search = config;
        self
    }

    /// Measures the range of learning rates. `loss` is the mean loss of a batch, which the finder differentiates on
    /// each batch in turn, again from the first after the last.
    ///
    /// # Errors
    ///
    /// Returns an error without a batch, on a device without autodiff, or with an invalid configuration of the search,
    /// but not for a failed measurement.
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
        // The trial makes its steps at its own rates, without a cap.
        let config = SharpnessConfig {
            every: Some(1),
            dense_every: None,
            max_time_share: 1.0,
            edge_cap: None,
            warn_after: u64::MAX,
            directory: None,
            ..self.search.clone()
        };
        let measure = |probe: &SharpnessProbe, model: &M, optim: &_, rate: f64, batch: &B| {
            let grads = GradientsParams::from_grads(loss(model, batch).backward(), model);
            let measured = probe.measure(model, optim, rate, &grads, |model| loss(model, batch));
            (measured, grads)
        };

        let probe = SharpnessProbe::new(config.clone())?;
        let mut initial = Vec::new();
        for _ in 0..self.batches {
            let (measured, _) = measure(&probe, model, optim, FIRST_GUESS, next_batch()?);
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
            let (measured, grads) = measure(&probe, &model, &optim, learning_rate, next_batch()?);
            range.trial.extend(measured);
            if range.edge_of_trial().is_some() || range.has_diverged() {
                break;
            }
            model = optim.step(learning_rate, model, grads);
        }
        Ok(range)
    }
}

/// Holds the measurements of a [`LearningRateFinder`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LearningRateRange {
    /// The measurements at the first weights, one per batch.
    pub initial: Vec<Arc<Measurement>>,
    /// The measurements of the trial warmup, one per step.
    pub trial: Vec<Arc<Measurement>>,
}

/// Holds the spread of critical learning rates over batches.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The median; of an even number, the lower of the two middle values.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl LearningRateRange {
    /// Returns the spread of the critical learning rates at the first weights.
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

    /// Returns the first learning rate of the trial past its critical learning rate, or `None` if there is none.
    pub fn edge_of_trial(&self) -> Option<f64> {
        let mut steps = self.trial.iter();
        let edge = steps.find(|m| m.edge_ratio().is_some_and(|ratio| ratio > 1.0));
        edge?.learning_rate
    }

    /// Returns the suggested ceiling of the peak learning rate: the edge of the trial, or without it the smallest
    /// critical learning rate at the first weights.
    pub fn peak_ceiling(&self) -> Option<f64> {
        self.edge_of_trial().or(self.initial().map(|s| s.min))
    }

    /// Returns the suggested start of a warmup: half of the smallest critical learning rate at the first weights, or
    /// the ceiling of the peak if that is lower.
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

/// Explains why the finder could not measure.
#[derive(Error)]
#[non_exhaustive]
pub enum FinderError {
    /// There is no batch.
    #[error("there is no batch to measure on: give at least one, and ask for at least one")]
    NoBatch,
    /// The device computes no gradients.
    #[error("the model is on a device without autodiff: initialize it on `device.autodiff()`")]
    NoAutodiff,
    /// The configuration of the search is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

debug_is_the_sentence!(FinderError);
