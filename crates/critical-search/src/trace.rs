//! The judge of a search: the evaluations made, and what they prove.

use crate::check::{Look, RoundingCheck};
use crate::line::{Slope, Trust};
use crate::outcome::{INTERVAL, Verdict};
use crate::rounding::Rounding;
use crate::scatter::Scatter;
use crate::shape::{Crossing, Point};
use crate::{Bracket, Evaluation, LossLine, Outcome, Rise, SearchConfig};

/// The relative error by rounding that a look at it may miss.
const OVERLOOKED: f64 = 0.001;
/// The relative error by rounding from which on there is no number.
const UNRESOLVED: f64 = 0.5;

/// What a search reports of its bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Its middle, as soon as it is narrow enough.
    Middle,
    /// The root interpolated, as soon as it is accurate enough, too.
    Root,
}

/// The evaluations made so far and what they prove. The only judge of how a search ends: whatever
/// chooses the next learning rate cannot claim more than the trace shows.
pub(crate) struct Trace {
    config: SearchConfig,
    line: LossLine,
    /// The resolution that the line had at first.
    told_resolution: f64,
    report: Report,
    rounding: Rounding,
    check: RoundingCheck,
    evaluations: Vec<Evaluation>,
}

impl Trace {
    pub(crate) fn new(config: SearchConfig, line: LossLine, report: Report) -> Self {
        Self {
            config,
            line,
            told_resolution: line.resolution,
            report,
            rounding: Rounding::of(&line),
            check: RoundingCheck::default(),
            evaluations: Vec::with_capacity(config.max_evaluations.min(16)),
        }
    }

    /// The same where evaluations are to show what rounding does, before anything is reported.
    pub(crate) fn with_rounding_check(self, look: Look) -> Self {
        Self {
            check: RoundingCheck::new(look, self.line.rounding),
            ..self
        }
    }

    pub(crate) fn push(&mut self, learning_rate: f64, rise: Rise) {
        let is_finite = rise.value.is_finite();
        self.evaluations.push(Evaluation {
            learning_rate,
            rise: if is_finite { rise.value } else { f64::INFINITY },
            standard_error: rise.standard_error.filter(|error| error.is_finite()),
        });
    }

    /// How the evaluations around the crossing scatter, where that was looked at.
    pub(crate) fn scatter(&self) -> Option<Scatter> {
        self.check.scatter()
    }

    /// The line that is searched.
    pub(crate) fn line(&self) -> &LossLine {
        &self.line
    }

    /// The relative width wanted of the bracket.
    pub(crate) fn tolerance(&self) -> f64 {
        self.config.tolerance
    }

    /// The relative error wanted of η_c.
    pub(crate) fn accuracy(&self) -> f64 {
        self.config.accuracy
    }

    /// The relative width at which every bracket is narrow and accurate enough.
    pub(crate) fn sure_width(&self) -> f64 {
        let accuracy = self.config.accuracy;
        self.config.tolerance.min(accuracy / (1.0 + accuracy))
    }

    /// The evaluations, in the order in which they were made.
    pub(crate) fn into_evaluations(self) -> Vec<Evaluation> {
        self.evaluations
    }

    /// The evaluations made so far.
    pub(crate) fn evaluations(&self) -> &[Evaluation] {
        &self.evaluations
    }

    /// The points of h that more than rounding has made.
    fn points(&self) -> impl Iterator<Item = Point> {
        let seen = self.evaluations.iter();
        seen.filter(|seen| seen.rise.is_finite() && !self.rounding.hides(seen))
            .map(Evaluation::point)
    }

    /// The points of h from the nearest to a learning rate on; last h(0), where it is known.
    pub(crate) fn points_nearest_to(&self, near: f64) -> Vec<Point> {
        let start = self.line.slope().map(|slope| Point {
            eta: 0.0,
            h: -slope,
        });
        let distance = |point: &Point| (point.eta / near).ln().abs();
        let mut points: Vec<Point> = self.points().chain(start).collect();
        points.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        points
    }

    /// The evaluation at the smallest learning rate at which the loss rises. A rise within rounding
    /// is none if the loss clearly falls further out.
    fn first_rise(&self) -> Option<&Evaluation> {
        let least = |a: &&Evaluation, b: &&Evaluation| a.learning_rate.total_cmp(&b.learning_rate);
        let seen = || self.evaluations.iter();
        let first_clear = seen()
            .filter(|seen| self.rounding.rises(seen))
            .min_by(least);
        let bound = first_clear.map_or(f64::INFINITY, |seen| seen.learning_rate);
        let fallen = seen()
            .filter(|seen| self.rounding.falls(seen) && seen.learning_rate < bound)
            .map(|seen| seen.learning_rate)
            .fold(0.0, f64::max);
        seen()
            .filter(|seen| seen.is_rise() && seen.learning_rate > fallen)
            .min_by(least)
    }

    /// The evaluation at the largest learning rate below it; none up to it has clearly risen.
    fn last_fall(&self) -> Option<&Evaluation> {
        let bound = self.upper().unwrap_or(f64::INFINITY);
        self.evaluations
            .iter()
            .filter(|evaluation| evaluation.learning_rate < bound)
            .max_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate))
    }

    /// The smallest evaluated learning rate at which the loss rises.
    pub(crate) fn upper(&self) -> Option<f64> {
        self.first_rise().map(|evaluation| evaluation.learning_rate)
    }

    /// The largest evaluated learning rate below the upper end; the loss does not rise there.
    pub(crate) fn lower(&self) -> Option<f64> {
        self.last_fall().map(|evaluation| evaluation.learning_rate)
    }

    pub(crate) fn within_limits(&self, learning_rate: f64) -> f64 {
        learning_rate.clamp(self.config.min_learning_rate, self.config.max_learning_rate)
    }

    /// What the evaluations prove, and what is still to be evaluated.
    pub(crate) fn verdict(&mut self) -> Verdict {
        if let Some(next) = self.check.pending() {
            return Verdict::Needs(next);
        }
        if let Some(seen) = self.check.look(&self.evaluations) {
            self.line = self.line.with_resolution(seen.max(self.told_resolution));
            self.rounding = Rounding::of(&self.line);
        }
        let verdict = self.judged();
        let Some(crossing) = self.crossing_to_check(&verdict) else {
            return verdict;
        };
        let limits = self.config.min_learning_rate..=self.config.max_learning_rate;
        let budget = self
            .config
            .max_evaluations
            .saturating_sub(self.evaluations.len());
        if self
            .check
            .choose(crossing, limits, &self.evaluations, budget)
        {
            return self.check.pending().map_or(verdict, Verdict::Needs);
        }
        verdict
    }

    /// The place at which rounding may have decided how the search ends.
    fn crossing_to_check(&self, verdict: &Verdict) -> Option<f64> {
        match verdict {
            Verdict::Ended(Outcome::Bracketed(bracket)) => Some(bracket.critical_lr()),
            Verdict::Ended(Outcome::NotDescent) => {
                let rises = self
                    .evaluations
                    .iter()
                    .filter(|seen| self.rounding.rises(seen));
                let rates = rises.map(|seen| seen.learning_rate);
                rates.min_by(f64::total_cmp)
            }
            _ => None,
        }
    }

    /// What the evaluations prove, if rounding is as the line says.
    fn judged(&self) -> Verdict {
        if let Some(outcome) = self.before_any() {
            return Verdict::Ended(outcome);
        }
        let verdict = self
            .rounding
            .verdict(&self.evaluations, &self.config)
            .unwrap_or_else(|| self.verdict_of_signs());
        match verdict {
            Verdict::Open | Verdict::Needs(_)
                if self.evaluations.len() >= self.config.max_evaluations =>
            {
                Verdict::Ended(self.at_the_end_of_the_budget())
            }
            verdict => verdict,
        }
    }

    /// How the search ends before anything is evaluated, if it does.
    fn before_any(&self) -> Option<Outcome> {
        if !self.line.base_loss.is_finite() {
            return Some(Outcome::NonFiniteBaseLoss);
        }
        match self.line.slope {
            Slope::Known(slope) if !slope.is_finite() => Some(Outcome::NonFiniteSlope),
            Slope::Known(slope) if slope <= 0.0 => Some(Outcome::NotDescent),
            _ => None,
        }
    }

    /// What follows from the signs of the rises, once a fall was seen or everything rises.
    fn verdict_of_signs(&self) -> Verdict {
        match (self.last_fall(), self.first_rise()) {
            (Some(fall), Some(rise)) => self.verdict_of_bracket(fall, rise),
            (Some(fall), None) if fall.learning_rate >= self.config.max_learning_rate => {
                Verdict::Ended(Outcome::NoIncrease {
                    limit: fall.learning_rate,
                })
            }
            _ => Verdict::Open,
        }
    }

    fn verdict_of_bracket(&self, fall: &Evaluation, rise: &Evaluation) -> Verdict {
        let crossing = self.crossing(fall, rise);
        let bracket = Bracket::new(fall.learning_rate, rise.learning_rate, &crossing);
        // What rounding does, no evaluation can undo.
        let wanted = self.config.accuracy.max(crossing.rounding_error);
        let is_accurate = self.report == Report::Middle || crossing.interpolation_error <= wanted;
        if bracket.width() > self.config.tolerance || !is_accurate {
            return Verdict::Open;
        }
        if crossing.rounding_error >= UNRESOLVED {
            return Verdict::Ended(Outcome::BelowResolution);
        }
        match self.unchecked(&bracket) {
            Some(check) if self.evaluations.len() < self.config.max_evaluations => {
                Verdict::Needs(check)
            }
            unchecked => {
                let verified = self.config.verification > 0 && unchecked.is_none();
                Verdict::Ended(self.resolved(bracket.with_verified(verified), fall, rise))
            }
        }
    }

    /// The next place to look for a crossing below the bracket, if one is left.
    fn unchecked(&self, bracket: &Bracket) -> Option<f64> {
        let parts = self.config.verification + 1;
        let mut checks = (1..parts)
            .rev()
            .map(|part| self.within_limits(bracket.lower() * part as f64 / parts as f64));
        checks.find(|check| {
            !self
                .evaluations
                .iter()
                .any(|seen| seen.learning_rate == *check)
        })
    }

    /// The bracket with all that is known of it, unless the spread over the examples is so wide that
    /// η_c might as well be 0. The error of f at the crossing moves its root by that over f′.
    fn resolved(&self, bracket: Bracket, fall: &Evaluation, rise: &Evaluation) -> Outcome {
        let chord = (rise.rise - fall.rise) / (rise.learning_rate - fall.learning_rate);
        let steepness = bracket.steepness().unwrap_or(chord);
        let error = match (fall.standard_error, rise.standard_error) {
            (Some(a), Some(b)) => Some(a.max(b) / steepness).filter(|error| error.is_finite()),
            _ => None,
        };
        if error.is_some_and(|error| INTERVAL * error >= bracket.critical_lr()) {
            return Outcome::BelowResolution;
        }
        Outcome::Bracketed(bracket.with_standard_error(error))
    }

    /// Where the loss crosses its start, between a fall and a rise.
    fn crossing(&self, fall: &Evaluation, rise: &Evaluation) -> Crossing {
        let (lower, upper) = (fall.point(), rise.point());
        if self.report == Report::Middle {
            return Crossing::middle(lower.eta, upper.eta);
        }
        let mut others = self.points_nearest_to((lower.eta * upper.eta).sqrt());
        others.retain(|point| point.eta != lower.eta && point.eta != upper.eta);
        let mut crossing = Crossing::between(
            lower,
            upper,
            &others,
            self.rounding.chord(&self.evaluations, fall, rise),
            self.line.resolution,
        );
        if self.line.rounding != Trust::Known {
            crossing.rounding_error += OVERLOOKED;
        }
        crossing
    }

    fn at_the_end_of_the_budget(&self) -> Outcome {
        let (lower, upper) = (self.lower(), self.upper());
        if self
            .evaluations
            .iter()
            .all(|seen| self.rounding.hides(seen))
        {
            return Outcome::BelowResolution;
        }
        Outcome::BudgetExhausted { lower, upper }
    }
}
