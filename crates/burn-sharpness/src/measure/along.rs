use super::memory::LineMemory;
use crate::UpdateDirection;
use crate::loss::BatchLosses;
use burn::module::Module;
use critical_search::{Bracket, CriticalSearch, Guess, LossLine, Outcome, Rise, SearchResult};
use sharpness_record::{BaseLossSource, LinePoint, Measurement, MeasurementOutcome, SlopeSource};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The slope g·Δθ, and what it says of the loss that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slope {
    pub(crate) value: f64,
    pub(crate) source: SlopeSource,
}

/// A loss along a direction, and how its search ended: of the training, of a task, of a group.
///
/// Each part is there as far as the measurement came.
#[derive(Default)]
pub(crate) struct Along {
    pub(crate) learning_rate: Option<f64>,
    pub(crate) update_norm: Option<f64>,
    /// Whether parameters that move have 16 bits.
    pub(crate) has_16_bits: bool,
    pub(crate) base: Option<(BatchLosses, BaseLossSource)>,
    pub(crate) slope: Option<Slope>,
    pub(crate) end: Option<End>,
    pub(crate) evaluations: usize,
}

/// How the measurement of a loss along a direction ended.
pub(crate) enum End {
    Searched(SearchResult),
    /// It needed no search.
    Known(MeasurementOutcome),
    Failed(String),
}

impl Along {
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::default().ended(End::Failed(reason.into()))
    }

    pub(crate) fn ended(self, end: End) -> Self {
        Self {
            end: Some(end),
            ..self
        }
    }

    /// The same as it was before the search.
    pub(crate) fn before_search(&self) -> Self {
        Self {
            learning_rate: self.learning_rate,
            update_norm: self.update_norm,
            has_16_bits: self.has_16_bits,
            base: self.base.clone(),
            slope: self.slope,
            ..Self::default()
        }
    }

    /// What is known of the direction.
    pub(crate) fn with_direction(self, direction: &UpdateDirection) -> Self {
        Self {
            learning_rate: finite(direction.learning_rate()),
            update_norm: finite(direction.norm()).filter(|_| direction.is_shown()),
            has_16_bits: direction.has_16_bits(),
            ..self
        }
    }

    /// The line that a search goes along, from L(θ) and what is known of the slope.
    fn line(&self) -> Option<LossLine> {
        let (base, _) = self.base.as_ref()?;
        // What the types of parts of the model do to the loss, its own type does not tell.
        let line = LossLine::new(base.value())
            .with_resolution(base.resolution())
            .with_update_norm(self.update_norm.unwrap_or(f64::NAN))
            .with_rate_in_use(self.learning_rate.unwrap_or(f64::NAN));
        let line = if self.has_16_bits || base.has_16_bits() {
            line.with_unknown_rounding()
        } else {
            line.with_likely_rounding()
        };
        Some(match self.slope {
            Some(slope) if slope.source == SlopeSource::Known => line.with_slope(slope.value),
            Some(slope) => line.with_slope_hint(slope.value),
            None => line,
        })
    }

    /// Searches along the direction, and learns from it. `losses` computes the losses of a model at
    /// other weights; `rise` compares them with L(θ).
    pub(crate) fn searched<M: Module>(
        mut self,
        search: &CriticalSearch,
        model: &M,
        direction: &mut UpdateDirection,
        (memory, start): (&mut LineMemory, Guess),
        losses: &mut dyn FnMut(&M) -> Result<BatchLosses, String>,
        rise: fn(&BatchLosses, &BatchLosses) -> Rise,
    ) -> Self {
        let (Some(line), Some((base, _))) = (self.line(), &self.base) else {
            return self;
        };
        let guess = memory.guess.unwrap_or(start);
        let searched = search.try_run(&line, guess, |learning_rate| {
            let moved = direction.advance(model.clone(), learning_rate);
            losses(&moved).map(|losses| rise(&losses, base))
        });
        match searched {
            Ok(result) => {
                self.evaluations = result.trace.len();
                let guess = guess.learn(&line, &result);
                memory.guess = Some(guess);
                if let Some(slope) = &mut self.slope
                    && guess.is_slope_refuted()
                {
                    slope.source = SlopeSource::Hint;
                }
                self.ended(End::Searched(result))
            }
            Err(interrupted) => {
                self.evaluations = interrupted.trace.len();
                self.ended(End::Failed(interrupted.to_string()))
            }
        }
    }

    /// The points that the search has evaluated, if there was one.
    pub(crate) fn points(&self) -> Vec<LinePoint> {
        let Some(End::Searched(result)) = &self.end else {
            return Vec::new();
        };
        let points = result.trace.iter().map(|seen| {
            let error = seen.standard_error.unwrap_or(result.resolution);
            LinePoint::new(seen.learning_rate, seen.rise, error)
        });
        points.collect()
    }

    /// The measurement, made at once from all results.
    pub(crate) fn into_measurement(
        self,
        step: u64,
        epoch: Option<u64>,
        task: &str,
        seconds: f64,
    ) -> Measurement {
        let mut measurement = Measurement::new(step, epoch, task, MeasurementOutcome::Failed);
        measurement.learning_rate = self.learning_rate;
        measurement.update_norm = self.update_norm;
        measurement.evaluations = self.evaluations;
        measurement.seconds = seconds;
        let mut batches = 1;
        if let Some((base, source)) = &self.base {
            measurement.base_loss = finite(base.value());
            measurement.base_loss_source = Some(*source);
            measurement.batch_fraction = base.batch_fraction();
            batches = base.batches();
        }
        if let Some(slope) = self.slope.filter(|slope| slope.value.is_finite()) {
            measurement.slope = Some(slope.value);
            measurement.slope_source = Some(slope.source);
        }
        match self.end {
            Some(End::Searched(result)) => set_outcome(&mut measurement, &result.outcome, batches),
            Some(End::Known(outcome)) => measurement.outcome = outcome,
            Some(End::Failed(reason)) => measurement.reason = Some(reason),
            None => measurement.reason = Some("it was not measured".to_string()),
        }
        measurement
    }
}

fn set_outcome(measurement: &mut Measurement, outcome: &Outcome, batches: usize) {
    measurement.outcome = match outcome {
        Outcome::Bracketed(bracket) => {
            measurement.lower = Some(bracket.lower());
            measurement.upper = Some(bracket.upper());
            measurement.critical_lr = Some(bracket.critical_lr());
            measurement.critical_lr_error = finite(bracket.relative_error());
            measurement.critical_sharpness = Some(bracket.critical_sharpness());
            measurement.critical_lr_interval = bracket.interval();
            measurement.first_crossing_verified = Some(bracket.is_verified());
            measurement.verified_from = bracket.verified_from();
            measurement.loss_explodes = bracket.explodes().then_some(true);
            if batches > 1 && measurement.task != sharpness_record::TRAIN_TASK {
                measurement.critical_lr_spread = spread(bracket, batches);
            }
            MeasurementOutcome::Bracketed
        }
        Outcome::NoIncrease { limit } => {
            measurement.lower = Some(*limit);
            MeasurementOutcome::NoIncrease
        }
        Outcome::BudgetExhausted { lower, upper } => {
            measurement.lower = *lower;
            measurement.upper = *upper;
            MeasurementOutcome::BudgetExhausted
        }
        Outcome::NotDescent => MeasurementOutcome::NotDescent,
        Outcome::BelowResolution => MeasurementOutcome::BelowResolution,
        Outcome::NonFiniteBaseLoss => MeasurementOutcome::NonFiniteBaseLoss,
        Outcome::NonFiniteSlope => MeasurementOutcome::NonFiniteSlope,
    };
}

/// The standard deviation of η_c over the batches whose mean has this bracket.
fn spread(bracket: &Bracket, batches: usize) -> Option<f64> {
    let error = bracket.standard_error()?;
    Some(error * (batches as f64).sqrt())
}

pub(crate) fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

/// What a call returns; a panic in it is an error that says what panicked.
pub(crate) fn unless_it_panics<T>(
    what: &str,
    call: impl FnOnce() -> Result<T, String>,
) -> Result<T, Panicked> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Panicked::No),
        Err(_) => Err(Panicked::Yes(format!(
            "{what} panicked: whatever needs it is measured no more in this run; see the panic's own message"
        ))),
    }
}

/// Why a call failed.
pub(crate) enum Panicked {
    Yes(String),
    No(String),
}
