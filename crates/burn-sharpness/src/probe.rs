use crate::feed::{Entry, Feed};
use crate::loss::UpdateLoss;
use crate::record::{Checkpoint, MeasurementWriter};
use crate::{
    BaseLossSource, ConfigError, IntoLoss, Linearity, Measurement, SharpnessConfig,
    SharpnessSummary, UpdateDirection,
};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use critical_search::{CriticalSearch, Guess, LossLine};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The name of the task whose loss made the update.
pub(crate) const TRAIN_TASK: &str = "train";

/// Measures critical sharpness along the updates of a training run.
///
/// A handle: clones share the schedule, the last critical learning rate (the guess of the next
/// search) and the measurements.
///
/// With burn's `Learner`, [`attach`](Self::attach) it to the model. In a hand-written loop, call
/// [`measure`](Self::measure) between the backward pass and the optimizer's step:
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig, loss::{MseLoss, Reduction}};
/// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
/// use burn::tensor::{Device, Distribution, Tensor};
/// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
///
/// fn loss(model: &Linear, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<1> {
///     MseLoss::new().forward(model.forward(x.clone()), y.clone(), Reduction::Mean)
/// }
///
/// let device = Device::flex().autodiff();
/// let x = Tensor::random([32, 4], Distribution::Normal(0.0, 1.0), &device);
/// let y = Tensor::random([32, 2], Distribution::Normal(0.0, 1.0), &device);
/// let mut model = LinearConfig::new(4, 2).init(&device);
/// let mut optim: ModuleOptimizer = SgdConfig::new().init();
/// let learning_rate = 0.1;
///
/// let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2))?;
/// for _ in 0..4 {
///     let grads = loss(&model, &x, &y).backward();
///     let grads = GradientsParams::from_grads(grads, &model);
///     probe.measure(&model, &optim, learning_rate, &grads, |model| loss(model, &x, &y));
///     model = optim.step(learning_rate, model, grads);
/// }
/// assert_eq!(probe.summary().bracketed, 2); // at steps 0 and 2
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SharpnessProbe {
    config: Arc<SharpnessConfig>,
    search: CriticalSearch,
    state: Arc<Mutex<State>>,
}

/// What a probe remembers between steps.
#[derive(Default)]
struct State {
    /// The run-wide step of the next update.
    step: u64,
    epoch: Option<u64>,
    /// Where the next search starts: what the last ones have taught.
    guess: Option<Guess>,
    /// Whether the optimizer's step is linear in the learning rate, once that is known.
    linear: Option<bool>,
    /// Whether two passes over the same weights were seen to give the same loss.
    repeatable: bool,
    /// Whether the training loss agrees with the probe's to rounding, once that is known.
    training_agrees: Option<bool>,
    /// Whether the run has been past the edge.
    past_edge: bool,
    /// Whether a panic has ended all measuring.
    stopped: bool,
    feed: Feed,
    summary: SharpnessSummary,
    writer: Writer,
}

#[derive(Default)]
enum Writer {
    #[default]
    NotOpened,
    Open(MeasurementWriter),
    Failed,
}

/// An update that is about to be made, and the loss that made it.
pub(crate) struct Update<'a, M> {
    pub(crate) step: u64,
    /// The model, free of autodiff.
    pub(crate) model: M,
    pub(crate) optim: &'a ModuleOptimizer,
    pub(crate) learning_rate: &'a ModuleLearningRate,
    pub(crate) grads: &'a GradientsParams,
    /// The number of batches whose gradients were added up; the loss is their mean.
    pub(crate) micro_batches: usize,
    /// The loss that the training step has computed, if it is known.
    pub(crate) training_loss: Option<UpdateLoss>,
}

impl SharpnessProbe {
    /// A probe with this configuration.
    ///
    /// # Errors
    ///
    /// A value that makes no sense, or a folder that cannot be made, is named in the error, with
    /// what to choose instead.
    pub fn new(config: SharpnessConfig) -> Result<Self, ConfigError> {
        let search = config.validate()?;
        if let Some(directory) = &config.directory {
            std::fs::create_dir_all(directory).map_err(|source| ConfigError::Directory {
                directory: directory.clone(),
                source,
            })?;
        }
        Ok(Self {
            config: Arc::new(config),
            search,
            state: Arc::default(),
        })
    }

    /// Measures, if a measurement is due at this step, and counts the step.
    ///
    /// Call it once a step, between the backward pass and the optimizer's step, with what that step
    /// is about to use: the model, the optimizer before its step, the learning rate (a number, or
    /// one per group) and the gradients. `loss` is called with the model at other weights and must
    /// compute the loss whose gradient `grads` is, on the batch that made it. If it returns the
    /// losses of the examples, the record has an interval for η_c too.
    ///
    /// Nothing is changed: the optimizer and the model stay as they are, and the model that `loss`
    /// sees is in validation mode, without autodiff, dropout or batch-norm updates. A loss that draws
    /// random numbers all the same would move the run's random state.
    ///
    /// Returns the measurement, or `None` if none is due.
    pub fn measure<M: Module, L: IntoLoss>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: &GradientsParams,
        loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        self.measure_step(model, optim, learning_rate.into(), grads, None::<f64>, loss)
    }

    /// The same, where the training step has just computed the loss of the same batch: that saves
    /// the forward pass for L(θ), once the two were seen to agree to rounding (they don't with
    /// dropout, say).
    pub fn measure_with_training_loss<M: Module, L: IntoLoss>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: &GradientsParams,
        training_loss: impl IntoLoss,
        loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        let learning_rate = learning_rate.into();
        self.measure_step(
            model,
            optim,
            learning_rate,
            grads,
            Some(training_loss),
            loss,
        )
    }

    fn measure_step<M: Module, L: IntoLoss>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        grads: &GradientsParams,
        training_loss: Option<impl IntoLoss>,
        mut loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        let (step, due) = {
            let mut state = self.state();
            state.begin_item();
            let step = state.step;
            state.step += 1;
            (step, self.is_due_at(step) && !state.stopped)
        };
        due.then(|| {
            let training_loss = training_loss.and_then(|loss| loss.into_loss().ok());
            let update = Update {
                step,
                model: model.valid(),
                optim,
                learning_rate: &learning_rate,
                grads,
                micro_batches: 1,
                training_loss: training_loss.and_then(|loss| UpdateLoss::new(vec![loss])),
            };
            self.measure_update(update, |model| {
                let loss = loss(model).into_loss()?;
                Ok(UpdateLoss::new(vec![loss]))
            })
        })
    }

    /// Says which epoch the next steps belong to, for the record of a hand-written loop.
    pub fn set_epoch(&self, epoch: u64) {
        self.state().epoch = Some(epoch);
    }

    /// Continues a run at this run-wide step, for a hand-written loop that resumes. With burn's
    /// `Learner` and a [directory](SharpnessConfig::with_directory), loading a checkpoint does it.
    pub fn set_step(&self, step: u64) {
        self.state().step = step;
    }

    /// The run-wide step of the next update.
    pub fn step(&self) -> u64 {
        self.state().step
    }

    /// What the measurements come to so far.
    pub fn summary(&self) -> SharpnessSummary {
        self.state().summary.clone()
    }

    /// Whether a measurement belongs to this step.
    pub(crate) fn is_due_at(&self, step: u64) -> bool {
        step.is_multiple_of(self.config.every)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Announces a training item, before its step is made.
    pub(crate) fn begin_item(&self) {
        self.state().begin_item();
    }

    /// A new epoch has begun.
    pub(crate) fn begin_epoch(&self) {
        let mut state = self.state();
        state.epoch = Some(state.epoch.unwrap_or(0) + 1);
    }

    /// The measurement that belongs to a training item.
    pub(crate) fn entry_at(&self, item: u64) -> Option<Entry> {
        self.state().feed.at(item)
    }

    /// The number of training items announced so far.
    pub(crate) fn items(&self) -> u64 {
        self.state().feed.items()
    }

    /// Measures along an update, records the measurement, and reports it. Never panics.
    pub(crate) fn measure_update<M: Module>(
        &self,
        update: Update<'_, M>,
        loss: impl FnMut(&M) -> Result<Option<UpdateLoss>, String>,
    ) -> Arc<Measurement> {
        let started = Instant::now();
        let interval = update.micro_batches as u64 * self.config.every;
        let epoch = self.state().epoch;
        let mut measurement = Measurement::new(update.step, epoch, TRAIN_TASK);

        let search = AssertUnwindSafe(|| self.search_along(update, loss, &mut measurement));
        let panicked = match catch_unwind(search) {
            Ok(Ok(())) => false,
            Ok(Err(reason)) => {
                measurement.set_failure(reason);
                false
            }
            Err(_) => {
                measurement.set_failure(
                    "the loss panicked, so the probe measures no more in this run; see the panic's own message",
                );
                true
            }
        };
        measurement.set_seconds(started.elapsed());

        let measurement = Arc::new(measurement);
        let mut state = self.state();
        state.stopped |= panicked;
        state.report(&measurement);
        state.write(&measurement, self.config.directory.as_deref());
        state.summary.push(&measurement);
        state.summary.tick();
        state.feed.push(measurement.clone(), interval);
        measurement
    }

    /// Fills in the measurement. What is known before a failure stays in it.
    fn search_along<M: Module>(
        &self,
        update: Update<'_, M>,
        mut loss: impl FnMut(&M) -> Result<Option<UpdateLoss>, String>,
        measurement: &mut Measurement,
    ) -> Result<(), String> {
        let mut loss =
            |model: &M| loss(model)?.ok_or_else(|| "there is no batch to measure on".to_string());
        let (guess, linear) = {
            let state = self.state();
            (state.guess, state.linear)
        };
        let learning_rate = update.learning_rate.base();
        measurement.learning_rate = Some(learning_rate).filter(|rate| rate.is_finite());

        let (base, source) = self.base_loss(&update, &mut loss)?;
        measurement.base_loss = Some(base.value()).filter(|loss| loss.is_finite());
        measurement.base_loss_source = Some(source);
        measurement.batch_fraction = base.batch_fraction();
        let mut line = LossLine::new(base.value()).with_resolution(base.resolution());
        if !base.value().is_finite() {
            // The search says so without an evaluation.
            let result = self
                .search
                .run(&line, Guess::new(learning_rate), |_| f64::NAN);
            measurement.set_result(&result);
            return Ok(());
        }

        let direction = UpdateDirection::new(
            &update.model,
            update.optim,
            update.learning_rate,
            update.grads,
            2.0 * guess.map_or(learning_rate, |guess| guess.critical_lr()),
            match linear {
                None => Linearity::Check,
                Some(true) => Linearity::Linear,
                Some(false) => Linearity::Nonlinear,
            },
        )
        .map_err(|error| error.to_string())?;
        // Gradients of micro-batches add up, while their loss is a mean.
        let slope = direction.slope() / update.micro_batches as f64;
        measurement.learning_rate = Some(direction.learning_rate());
        measurement.slope = Some(slope).filter(|slope| slope.is_finite());
        measurement.update_norm = Some(direction.norm()).filter(|norm| norm.is_finite());
        self.state().linear = Some(direction.is_linear());
        // Of a path that is not a line, the slope at the start is only approximate.
        if direction.is_linear() || !slope.is_finite() {
            line = line.with_slope(slope);
        }

        let guess = guess.unwrap_or_else(|| Guess::new(direction.learning_rate()));
        let result = self.search.try_run(&line, guess, |learning_rate| {
            let moved = direction.apply(update.model.clone(), learning_rate);
            loss(&moved).map(|loss| loss.rise_from(&base))
        });
        let result = result.map_err(|interrupted| {
            measurement.evaluations = interrupted.trace.len();
            interrupted.to_string()
        })?;
        measurement.set_result(&result);
        self.state().guess = Some(guess.learn(&line, &result));
        Ok(())
    }

    /// L(θ): the training step's own, where it was seen to agree with the probe's to rounding, and
    /// evaluated otherwise.
    ///
    /// Two passes must agree before a difference of losses means anything: a loss that draws random
    /// numbers (its own dropout, say) has no line to search along. The first measurement makes sure.
    fn base_loss<M: Module>(
        &self,
        update: &Update<'_, M>,
        loss: &mut impl FnMut(&M) -> Result<UpdateLoss, String>,
    ) -> Result<(UpdateLoss, BaseLossSource), String> {
        let (agrees, repeatable) = {
            let state = self.state();
            (state.training_agrees, state.repeatable)
        };
        if agrees == Some(true)
            && let Some(training_loss) = &update.training_loss
        {
            return Ok((training_loss.clone(), BaseLossSource::Training));
        }
        let base = loss(&update.model)?;
        let evaluated = |base| Ok((base, BaseLossSource::Evaluated));
        if !base.value().is_finite() {
            return evaluated(base);
        }
        // NaN does not agree with anything.
        let agrees_with =
            |other: &UpdateLoss| (other.value() - base.value()).abs() <= base.resolution();
        if agrees.is_none()
            && let Some(training_loss) = &update.training_loss
        {
            let agrees =
                base.is_scalar() && base.batch_fraction() == 1.0 && agrees_with(training_loss);
            let mut state = self.state();
            state.training_agrees = Some(agrees);
            state.repeatable |= agrees;
            if agrees {
                drop(state);
                return evaluated(base);
            }
        }
        if !repeatable {
            let again = loss(&update.model)?;
            if !agrees_with(&again) {
                return Err(format!(
                    "the loss is not repeatable: two passes over the same weights and batch gave {} and {}; it must not draw random numbers in validation mode",
                    base.value(),
                    again.value(),
                ));
            }
            self.state().repeatable = true;
        }
        evaluated(base)
    }

    /// Notes at which step weights with this fingerprint are saved.
    pub(crate) fn note_checkpoint(&self, fingerprint: u64) {
        let Some(directory) = &self.config.directory else {
            return;
        };
        let checkpoint = {
            let state = self.state();
            Checkpoint {
                step: state.step,
                epoch: state.epoch,
                fingerprint,
            }
        };
        if let Err(error) = checkpoint.save(directory) {
            tracing::warn!(
                %error,
                "the step of a checkpoint could not be noted: a run resumed from it counts its steps from 0"
            );
        }
    }

    /// Continues at the step at which weights with this fingerprint were saved, if they were.
    pub(crate) fn resume_from(&self, fingerprint: u64) {
        let directory = self.config.directory.as_deref();
        let Some(checkpoint) = directory.and_then(|dir| Checkpoint::find(dir, fingerprint)) else {
            return;
        };
        let mut state = self.state();
        state.step = checkpoint.step;
        state.epoch = checkpoint.epoch;
        tracing::info!(
            step = checkpoint.step,
            "the probe resumes at the checkpoint's step"
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid at every point where a panic could have left it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin_item(&mut self) {
        self.summary.tick();
        self.feed.next_item();
    }

    fn report(&mut self, measurement: &Measurement) {
        let edge_ratio = measurement.edge_ratio();
        tracing::info!(
            step = measurement.step,
            epoch = measurement.epoch,
            task = measurement.task,
            outcome = ?measurement.outcome,
            learning_rate = measurement.learning_rate,
            base_loss = measurement.base_loss,
            base_loss_source = ?measurement.base_loss_source,
            slope = measurement.slope,
            critical_lr = measurement.critical_lr,
            critical_sharpness = measurement.critical_sharpness,
            edge_ratio,
            evaluations = measurement.evaluations,
            seconds = measurement.seconds,
            "measured critical sharpness"
        );
        if let Some(reason) = &measurement.reason {
            tracing::warn!(step = measurement.step, reason, "a measurement failed");
        }
        if !self.past_edge && edge_ratio.is_some_and(|ratio| ratio > 1.0) {
            self.past_edge = true;
            tracing::warn!(
                step = measurement.step,
                learning_rate = measurement.learning_rate,
                critical_lr = measurement.critical_lr,
                edge_ratio,
                "the learning rate is past the critical one for the first time: this step raises the loss"
            );
        }
    }

    /// Appends to the run's file. A file that cannot be written is reported once.
    fn write(&mut self, measurement: &Measurement, directory: Option<&Path>) {
        let Some(directory) = directory else {
            return;
        };
        if let Writer::NotOpened = self.writer {
            self.writer = match MeasurementWriter::open(directory, measurement.step) {
                Ok(writer) => Writer::Open(writer),
                Err(error) => Writer::failed(&error),
            };
        }
        if let Writer::Open(writer) = &mut self.writer
            && let Err(error) = writer.append(measurement)
        {
            self.writer = Writer::failed(&error);
        }
    }
}

impl Writer {
    fn failed(error: &std::io::Error) -> Self {
        tracing::warn!(%error, "measurements cannot be written to the run's folder; training goes on without the file");
        Self::Failed
    }
}
