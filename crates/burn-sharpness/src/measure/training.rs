use super::Work;
use super::along::{Along, End, Slope, Walk, finite};
use super::line::direction_of;
use super::panel::Panel;
use super::scale::Reduction;
use crate::direction::UpdateDirection;
use crate::failure::Failure;
use crate::loss::BatchLosses;
use crate::losses::Point;
use burn::module::Module;
use critical_search::Guess;
use sharpness_record::{BaseLossSource, MeasurementOutcome, SlopeSource};

/// The factor between η_c and its guess that casts doubt on a training step's loss as L(θ).
const SURPRISE: f64 = 2.0;
/// The rate at which the scale of the gradients shows, as a part of η_c.
const NEAR_THETA: f64 = 1.0 / 16.0;
/// The least fall of the loss there, in resolutions.
const SEEN: f64 = 8.0;

impl<M: Module + 'static> Work<'_, M> {
    pub(super) fn find_base(&mut self) -> Result<(), Failure> {
        self.along.learning_rate = finite(self.subject.facts.learning_rate.base());
        let base = self.base()?;
        if !base.0.value().is_finite() {
            self.along.end = Some(End::Known(MeasurementOutcome::NonFiniteBaseLoss));
        }
        self.along.base = Some(base);
        Ok(())
    }

    /// A loss that draws random numbers (its own dropout, say) has no line to search along, and drawing changes the
    /// run. So the first disagreement of two passes refuses the loss for good.
    fn base(&mut self) -> Result<(BatchLosses, BaseLossSource), Failure> {
        match self.base_of_all() {
            Err(failure) if failure.is_of_lost_worker() && self.go_on() => self.base(),
            base => base,
        }
    }

    fn go_on(&mut self) -> bool {
        let Some(coverage) = self.subject.losses.go_on() else {
            return false;
        };
        let facts = &mut self.subject.facts;
        facts.coverage = coverage;
        facts.training_loss = None;
        true
    }

    fn base_of_all(&mut self) -> Result<(BatchLosses, BaseLossSource), Failure> {
        let Self {
            subject, memory, ..
        } = self;
        let (facts, is_same) = (&subject.facts, subject.is_same_in_training);
        let holds = memory.training_loss.holds(is_same);
        if holds && let Some(training_loss) = &facts.training_loss {
            return Ok((training_loss.clone(), BaseLossSource::Training));
        }
        let base = subject.losses.losses(subject.model, &Point::default())?;
        if !base.value().is_finite() {
            return Ok((base, BaseLossSource::Evaluated));
        }
        if let Some(compared) = facts.training_loss.as_ref().filter(|_| is_same) {
            let is_comparable = base.is_scalar() && base.batch_fraction() == 1.0;
            let agrees = is_comparable && base.agrees_with(compared);
            let was_refuted = memory.training_loss.is_refuted;
            memory.training_loss.note(agrees);
            memory.training.is_repeatable |= agrees;
            if !agrees && !was_refuted && is_comparable && facts.is_on_one_device {
                self.notices.push(format!(
                    "the loss that is measured, {}, is not the loss of the training step, {}: {}",
                    base.value(),
                    compared.value(),
                    facts.advice,
                ));
            }
        }
        if !memory.training.is_repeatable {
            let again = subject.losses.losses(subject.model, &Point::default())?;
            check_repeatable(&base, &again)?;
            memory.training.is_repeatable = true;
        }
        Ok((base, BaseLossSource::Evaluated))
    }

    pub(super) fn find_direction(&mut self) -> Result<(), Failure> {
        let direction = direction_of(&self.subject, self.memory)?;
        let config = self.settings.config;
        let summed = self.is_scale_known().then(|| self.summed_batches());
        self.panel = config
            .panel
            .then(|| Panel::new(&mut self.subject, &direction, summed));
        self.plan_curvature();
        self.along = std::mem::take(&mut self.along).with_direction(&direction);
        let slope = self.slope_of(&direction);
        self.along.slope = direction.is_shown().then_some(slope);
        if !direction.norm().is_finite() || !direction.slope().is_finite() {
            self.along.end = Some(End::Known(MeasurementOutcome::NonFiniteSlope));
        } else if direction.is_zero() {
            // Nothing moves, so no evaluation could show a fall.
            self.along.end = Some(End::Known(MeasurementOutcome::NotDescent));
        }
        self.direction = Some(direction);
        Ok(())
    }

    /// After a surprise, evaluates L(θ) as a check on the training step's, and searches again if that was wrong. If a
    /// worker leaves, it searches again for the others: a bracket holds for one loss only.
    pub(super) fn search(&mut self) -> Result<(), Failure> {
        let expected = self.memory.training.guess;
        self.search_once();
        while self.has_lost_a_worker() && self.go_on() {
            let base = self.base()?;
            self.search_again(base, expected);
        }
        self.check_surprise(expected)?;
        self.look_for_gradient_scale();
        Ok(())
    }

    fn has_lost_a_worker(&self) -> bool {
        matches!(&self.along.end, Some(End::Failed(failure)) if failure.is_of_lost_worker())
    }

    fn check_surprise(&mut self, expected: Option<Guess>) -> Result<(), Failure> {
        let Some((borrowed, BaseLossSource::Training)) = &self.along.base else {
            return Ok(());
        };
        if !is_surprise(&self.along, expected) {
            return Ok(());
        }
        let evaluated = (self.subject.losses).losses(self.subject.model, &Point::default())?;
        let agrees = evaluated.agrees_with(borrowed);
        self.memory.training_loss.note(agrees);
        if agrees {
            return Ok(());
        }
        self.search_again((evaluated, BaseLossSource::Evaluated), expected);
        Ok(())
    }

    fn search_again(&mut self, base: (BatchLosses, BaseLossSource), expected: Option<Guess>) {
        self.memory.training.guess = expected;
        let before = std::mem::take(&mut self.along);
        self.along = Along {
            base: Some(base),
            slope: before.slope.map(|slope| Slope {
                source: SlopeSource::Hint,
                ..slope
            }),
            end: None,
            evaluations: 0,
            ..before
        };
        self.search_once();
    }

    fn search_once(&mut self) {
        let Some(direction) = &mut self.direction else {
            return;
        };
        let start = Guess::new(direction.learning_rate());
        let walk = Walk::of_training(&mut self.subject, direction);
        let memory = &mut self.memory.training;
        self.along.search(self.settings.search, walk, memory, start);
    }

    /// In 16 bits, the rounded weights only follow the line. Equal losses do not prove equal gradients (a stopped
    /// gradient, manual clipping), so a loss that falls by another slope refutes a known slope for good.
    fn slope_of(&self, direction: &UpdateDirection) -> Slope {
        let (subject, trust) = (&self.subject, &self.memory.training_loss);
        let guess = self.memory.training.guess;
        let is_known = direction.is_linear()
            && self.is_scale_known()
            && subject.facts.coverage.is_whole()
            && !direction.has_16_bits()
            && trust.is_established(subject.is_same_in_training)
            && !guess.is_some_and(|guess| guess.is_slope_refuted());
        Slope {
            value: direction.slope() / self.summed_batches(),
            source: if is_known {
                SlopeSource::Known
            } else {
                SlopeSource::Hint
            },
        }
    }

    fn is_scale_known(&self) -> bool {
        self.subject.facts.coverage.workers.is_none()
            || self.memory.gradient_scale.known().is_some()
    }

    /// The optimizer's gradient adds up the gradients of the batches, while their loss is a mean.
    pub(super) fn summed_batches(&self) -> f64 {
        let facts = &self.subject.facts;
        match (facts.coverage.workers, self.memory.gradient_scale.likely()) {
            (Some(workers), Reduction::Mean) => (facts.batches / workers.of).max(1) as f64,
            _ => facts.batches as f64,
        }
    }

    /// Tells the mean of the workers' gradients from the sum, by the fall of the loss near θ. A parabola through the
    /// critical learning rate tells how far the loss has turned there.
    fn look_for_gradient_scale(&mut self) {
        let Some(workers) = self.subject.facts.coverage.workers else {
            return;
        };
        let (Some(End::Searched(result)), Some((base, _)), Some(direction)) =
            (&self.along.end, &self.along.base, &mut self.direction)
        else {
            return;
        };
        let is_open = self.memory.gradient_scale.is_open() && workers.is_whole();
        let (true, Some(bracket)) = (is_open && direction.is_linear(), result.outcome.bracket())
        else {
            return;
        };
        let rate = NEAR_THETA * bracket.critical_lr();
        let batches = self.subject.facts.batches;
        let mean = direction.slope() / (batches / workers.of).max(1) as f64;
        let mut walk = Walk::of_training(&mut self.subject, direction);
        // The measurement is complete without this evaluation.
        let Ok(losses) = walk.losses_at(rate) else {
            return;
        };
        let fall = -(walk.rise)(&losses, base).value;
        let is_seen = fall > SEEN * result.resolution;
        let slope = fall / (rate * (1.0 - NEAR_THETA));
        let over_mean = is_seen.then_some(slope / mean);
        self.memory.gradient_scale.note(over_mean, workers.of);
        self.along.evaluations += 1;
    }
}

fn is_surprise(along: &Along, expected: Option<Guess>) -> bool {
    let Some(End::Searched(result)) = &along.end else {
        return true;
    };
    let bracket = result.outcome.bracket();
    let found = bracket.map(|bracket| bracket.critical_lr());
    match (found, expected.and_then(|guess| guess.critical_lr())) {
        (Some(found), Some(expected)) => !(1.0 / SURPRISE..SURPRISE).contains(&(found / expected)),
        _ => true,
    }
}

pub(super) fn check_repeatable(base: &BatchLosses, again: &BatchLosses) -> Result<(), Failure> {
    if base.agrees_with(again) {
        return Ok(());
    }
    Err(Failure::NotRepeatable {
        first: base.value(),
        second: again.value(),
    })
}
