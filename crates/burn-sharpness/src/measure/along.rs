use super::memory::LineMemory;
use super::subject::Subject;
use crate::direction::UpdateDirection;
use crate::failure::Failure;
use crate::loss::BatchLosses;
use crate::losses::{Losses, Point};
use crate::schedule::Place;
use burn::module::{Module, ParamGroup};
use critical_search::{CriticalSearch, Guess, LossLine, Outcome, Rise, SearchResult};
use sharpness_record::{BaseLossSource, LinePoint, Measurement, MeasurementOutcome, SlopeSource};
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slope {
    pub(crate) value: f64,
    pub(crate) source: SlopeSource,
}

/// A measurement fills the parts as far as it gets.
#[derive(Default)]
pub(crate) struct Along {
    pub(crate) learning_rate: Option<f64>,
    pub(crate) update_norm: Option<f64>,
    pub(crate) has_16_bits: bool,
    pub(crate) base: Option<(BatchLosses, BaseLossSource)>,
    pub(crate) slope: Option<Slope>,
    pub(crate) end: Option<End>,
    pub(crate) evaluations: usize,
}

pub(crate) enum End {
    Searched(SearchResult),
    Known(MeasurementOutcome),
    Failed(Failure),
}

pub(crate) struct Walk<'a, M> {
    pub(crate) model: &'a M,
    pub(crate) direction: &'a mut UpdateDirection,
    pub(crate) group: Option<Arc<ParamGroup>>,
    pub(crate) losses: &'a mut dyn Losses<M>,
    pub(crate) rise: fn(&BatchLosses, &BatchLosses) -> Rise,
}

impl<'a, M: Module> Walk<'a, M> {
    pub(crate) fn of_training(
        subject: &'a mut Subject<'_, M>,
        direction: &'a mut UpdateDirection,
    ) -> Self {
        Self {
            model: subject.model,
            direction,
            group: None,
            losses: &mut *subject.losses,
            rise: BatchLosses::rise_from,
        }
    }

    pub(crate) fn losses_at(&mut self, learning_rate: f64) -> Result<BatchLosses, Failure> {
        let moved = self.direction.advance(self.model.clone(), learning_rate);
        let at = Point {
            learning_rate,
            is_linear: self.direction.is_linear(),
            group: self.group.clone(),
        };
        self.losses.losses(&moved, &at)
    }
}

impl Along {
    pub(crate) fn with_direction(self, direction: &UpdateDirection) -> Self {
        Self {
            learning_rate: finite(direction.learning_rate()),
            update_norm: finite(direction.norm()).filter(|_| direction.is_shown()),
            has_16_bits: direction.has_16_bits(),
            ..self
        }
    }

    pub(crate) fn ended(self, end: End) -> Self {
        Self {
            end: Some(end),
            ..self
        }
    }

    pub(crate) fn finite_slope(&self) -> Option<Slope> {
        self.slope.filter(|slope| slope.value.is_finite())
    }

    fn line(&self) -> Option<LossLine> {
        let (base, _) = self.base.as_ref()?;
        // The type of the loss does not reveal the precision inside the model.
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

    pub(crate) fn search<M: Module>(
        &mut self,
        search: &CriticalSearch,
        mut walk: Walk<'_, M>,
        memory: &mut LineMemory,
        start: Guess,
    ) {
        let (Some(line), Some((base, _))) = (self.line(), &self.base) else {
            return;
        };
        let guess = memory.guess.unwrap_or(start);
        let searched = search.try_run(&line, guess, |learning_rate| {
            let losses = walk.losses_at(learning_rate)?;
            Ok((walk.rise)(&losses, base))
        });
        self.end = Some(match searched {
            Ok(result) => {
                self.evaluations = result.trace.len();
                let guess = guess.learn(&line, &result);
                memory.guess = Some(guess);
                if let Some(slope) = &mut self.slope
                    && guess.is_slope_refuted()
                {
                    slope.source = SlopeSource::Hint;
                }
                End::Searched(result)
            }
            Err(interrupted) => {
                self.evaluations = interrupted.trace.len();
                End::Failed(Failure::Search(Box::new(interrupted)))
            }
        });
    }

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

    pub(crate) fn measurement(&self, place: Place, task: &str, seconds: f64) -> Measurement {
        let Place { step, epoch } = place;
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
        if let Some(slope) = self.finite_slope() {
            measurement.slope = Some(slope.value);
            measurement.slope_source = Some(slope.source);
        }
        match &self.end {
            Some(End::Searched(result)) => set_outcome(&mut measurement, &result.outcome, batches),
            Some(End::Known(outcome)) => measurement.outcome = outcome.clone(),
            Some(End::Failed(failure)) => measurement.reason = Some(failure.to_string()),
            None => measurement.reason = Some(Failure::NotMeasured.to_string()),
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
                let error = bracket.standard_error();
                measurement.critical_lr_spread = error.map(|error| error * (batches as f64).sqrt());
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

pub(crate) fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}
