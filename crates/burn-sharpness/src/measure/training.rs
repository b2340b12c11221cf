use super::along::{Along, End, Panicked, Slope, finite, unless_it_panics};
use super::line::direction_of;
use super::memory::Memory;
use super::update::{MeasuredUpdate, Stage};
use crate::hessian::{self, Hessian};
use crate::loss::BatchLosses;
use crate::{SharpnessConfig, UpdateDirection};
use burn::module::Module;
use critical_search::{CriticalSearch, Guess};
use sharpness_record::{BaseLossSource, CurvatureMeasurement, MeasurementOutcome, SlopeSource};

/// If η_c is this factor or more away from the guess, a measurement that took L(θ) from the training step is a surprise.
const SURPRISE: f64 = 2.0;

/// Measures the training loss along an update. The direction is there if it could be made.
pub(super) fn measure_training<M: Module>(
    update: &mut MeasuredUpdate<'_, M>,
    search: &CriticalSearch,
    memory: &mut Memory,
) -> (Along, Option<UpdateDirection>) {
    let learning_rate = finite(update.learning_rate.base());
    let start = Along {
        learning_rate,
        ..Along::default()
    };
    let base = match unless_it_panics("the loss", || base_loss(update, memory)) {
        Ok(base) => base,
        Err(failure) => return (start.ended(stop_on_panic(failure, memory)), None),
    };
    let with_base = Along {
        base: Some(base),
        ..start
    };
    if with_base
        .base
        .as_ref()
        .is_some_and(|(base, _)| !base.value().is_finite())
    {
        let outcome = MeasurementOutcome::NonFiniteBaseLoss;
        return (with_base.ended(End::Known(outcome)), None);
    }
    let mut direction = match unless_it_panics("the optimizer", || direction_of(update, memory)) {
        Ok(direction) => direction,
        Err(failure) => return (with_base.ended(stop_on_panic(failure, memory)), None),
    };
    if update.gradient.is_none() {
        // They have as many numbers as the weights.
        update.grads = None;
    }
    let along = with_base.with_direction(&direction);
    let along = Along {
        slope: direction
            .is_shown()
            .then(|| slope_of(update, &direction, memory)),
        ..along
    };
    // Gradients that are not finite have no direction, whatever loss they are of.
    if !direction.norm().is_finite() || !direction.slope().is_finite() {
        let outcome = MeasurementOutcome::NonFiniteSlope;
        return (along.ended(End::Known(outcome)), Some(direction));
    }
    if direction.is_zero() {
        // Nothing moves, so that no evaluation could show a fall.
        let outcome = MeasurementOutcome::NotDescent;
        return (along.ended(End::Known(outcome)), Some(direction));
    }
    let (along, failure) = search_again_if_surprised(update, along, search, &mut direction, memory);
    let along = match failure {
        None => along,
        Some(failure) => along.ended(stop_on_panic(failure, memory)),
    };
    (along, Some(direction))
}

/// Searches; where the result is a surprise and L(θ) was the training step's, compares that once more,
/// and searches again if it was wrong.
fn search_again_if_surprised<M: Module>(
    update: &mut MeasuredUpdate<'_, M>,
    along: Along,
    search: &CriticalSearch,
    direction: &mut UpdateDirection,
    memory: &mut Memory,
) -> (Along, Option<Panicked>) {
    let rate = direction.learning_rate();
    let start = if rate > 0.0 {
        Guess::new(rate)
    } else {
        Guess::unknown()
    };
    let expected = memory.training.guess;
    let model = update.model;
    let mut run = |along: Along, update: &mut MeasuredUpdate<'_, M>, memory: &mut Memory| {
        let before = along.before_search();
        let line = (&mut memory.training, start);
        let searched = unless_it_panics("the loss", || {
            let rise = BatchLosses::rise_from;
            Ok(along.searched(search, model, direction, line, update.loss, rise))
        });
        match searched {
            Ok(searched) => (searched, None),
            Err(failure) => (before, Some(failure)),
        }
    };
    let first = along.before_search();
    let (searched, failure) = run(along, update, memory);
    let borrowed = match &first.base {
        Some((base, BaseLossSource::Training)) => base,
        _ => return (searched, failure),
    };
    if failure.is_some() || !is_surprise(&searched, expected) {
        return (searched, failure);
    }
    let evaluated = match unless_it_panics("the loss", || (update.loss)(model)) {
        Ok(evaluated) => evaluated,
        Err(failure) => return (searched, Some(failure)),
    };
    let agrees = evaluated.agrees_with(borrowed);
    memory.training_loss.note(agrees);
    if agrees {
        return (searched, None);
    }
    memory.training.guess = expected;
    let slope = first.slope.map(|slope| Slope {
        source: SlopeSource::Hint,
        ..slope
    });
    let again = Along {
        base: Some((evaluated, BaseLossSource::Evaluated)),
        slope,
        ..first
    };
    run(again, update, memory)
}

/// Whether η_c is far from where it was expected, or unknown.
fn is_surprise(along: &Along, expected: Option<Guess>) -> bool {
    let Some(End::Searched(result)) = &along.end else {
        return true;
    };
    let found = result
        .outcome
        .bracket()
        .map(|bracket| bracket.critical_lr());
    match (found, expected.and_then(|guess| guess.critical_lr())) {
        (Some(found), Some(expected)) => !(1.0 / SURPRISE..SURPRISE).contains(&(found / expected)),
        _ => true,
    }
}

fn stop_on_panic(failure: Panicked, memory: &mut Memory) -> End {
    match failure {
        Panicked::No(reason) => End::Failed(reason),
        Panicked::Yes(reason) => {
            memory.stopped = Some(reason.clone());
            End::Failed(reason)
        }
    }
}

/// g·Δθ. It is that of the loss measured only where this is known to be the loss that was
/// differentiated, at the scale at which the gradients were put together, and only of a line; elsewhere it is
/// a hint. In 16 bits it is of a line that the rounded weights only follow. Equal losses prove no equal gradients (a
/// stopped gradient, clipping by hand): a search that sees the loss fall by another slope refutes it for good.
fn slope_of<M: Module>(
    update: &MeasuredUpdate<'_, M>,
    direction: &UpdateDirection,
    memory: &Memory,
) -> Slope {
    let is_known = direction.is_linear()
        && update.gradient_is_sum
        && !direction.has_16_bits()
        && memory
            .training_loss
            .is_established(update.is_same_in_training)
        && !memory
            .training
            .guess
            .is_some_and(|guess| guess.is_slope_refuted());
    Slope {
        // Gradients of micro-batches add up, while their loss is a mean.
        value: direction.slope() / update.micro_batches as f64,
        source: if is_known {
            SlopeSource::Known
        } else {
            SlopeSource::Hint
        },
    }
}

/// L(θ): the training step's own where it may stand for it, and evaluated otherwise.
///
/// Two passes must agree before a difference of losses means anything: a loss that draws random
/// numbers (its own dropout, say) has no line to search along, and drawing them changes the run. It is
/// refused for good at first sight.
fn base_loss<M: Module>(
    update: &mut MeasuredUpdate<'_, M>,
    memory: &mut Memory,
) -> Result<(BatchLosses, BaseLossSource), String> {
    let holds = memory.training_loss.holds(update.is_same_in_training);
    if holds && let Some(training_loss) = &update.training_loss {
        return Ok((training_loss.clone(), BaseLossSource::Training));
    }
    let base = (update.loss)(update.model)?;
    if !base.value().is_finite() {
        return Ok((base, BaseLossSource::Evaluated));
    }
    let compared = update
        .training_loss
        .as_ref()
        .filter(|_| update.is_same_in_training);
    let agrees = compared.map(|training_loss| {
        base.is_scalar() && base.batch_fraction() == 1.0 && base.agrees_with(training_loss)
    });
    if let Some(agrees) = agrees {
        let was_refuted = memory.training_loss.is_refuted();
        memory.training_loss.note(agrees);
        memory.training.is_repeatable |= agrees;
        let is_comparable = base.is_scalar() && base.batch_fraction() == 1.0;
        if !agrees && !was_refuted && is_comparable && update.is_on_one_device {
            memory.notices.push_back(format!(
                "the loss that is measured, {}, is not the loss of the training step, {}: {}",
                base.value(),
                compared.map_or(f64::NAN, BatchLosses::value),
                update.advice,
            ));
        }
    }
    if !memory.training.is_repeatable {
        let again = (update.loss)(update.model)?;
        if let Err(reason) = check_repeatable(&base, &again) {
            memory.stopped = Some(reason.clone());
            return Err(reason);
        }
        memory.training.is_repeatable = true;
    }
    Ok((base, BaseLossSource::Evaluated))
}

pub(super) fn check_repeatable(base: &BatchLosses, again: &BatchLosses) -> Result<(), String> {
    if base.agrees_with(again) {
        return Ok(());
    }
    Err(format!(
        "the loss is not repeatable, so that it is measured no more: two passes over the same weights and batch gave {} and {}; it must not draw random numbers in validation mode",
        base.value(),
        again.value(),
    ))
}

/// Whether the curvature is to be measured at this step.
pub(super) fn is_curvature_due(step: u64, config: &SharpnessConfig, memory: &Memory) -> bool {
    let curvature = config.curvature.as_ref();
    curvature.is_some_and(|curvature| step.is_multiple_of(curvature.every))
        && !memory.curvature_stopped
}

/// The curvature, if it is due and its gradient can be computed. Whatever goes wrong here
/// leaves the critical sharpness as it was measured.
pub(super) fn measure_curvature<M: Module>(
    update: &mut MeasuredUpdate<'_, M>,
    direction: &mut UpdateDirection,
    config: &SharpnessConfig,
    memory: &mut Memory,
) -> Option<CurvatureMeasurement> {
    let config = config.curvature.as_ref()?;
    let gradient = update.gradient.take()?;
    let grads = update.grads.take()?;
    let parts = update.micro_batches;
    let model = update.model;
    let measured = unless_it_panics("the gradient of the loss", || {
        let hessian = Hessian::in_validation(model.clone(), &grads, gradient);
        let mut hessian = hessian
            .map_err(|error| error.to_string())?
            .with_parts(parts);
        direction.renew(model);
        // The preconditioner of an update has seen its gradient.
        let (Stage::Before(optim) | Stage::After(optim, _)) = update.stage;
        let optim = direction.optimizer_after(model, optim);
        let delta = direction.delta(model, &grads);
        let along = hessian::AlongUpdate {
            delta: delta.as_ref(),
            slope: direction.slope() / parts as f64,
            optim: &optim,
        };
        Ok(hessian::measure(
            &mut hessian,
            &along,
            config,
            &mut memory.curvature,
        ))
    });
    match measured {
        Ok(curvature) => Some(curvature),
        Err(Panicked::Yes(reason) | Panicked::No(reason)) => {
            memory.curvature_stopped = true;
            memory
                .notices
                .push_back(format!("the curvature is measured no more: {reason}"));
            None
        }
    }
}
