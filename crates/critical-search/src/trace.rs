use crate::outcome::INTERVAL;
use crate::{Bracket, Evaluation, LossLine, Outcome, Rise, SearchConfig, shape};

/// How many units of the loss's resolution a rise must have for its h to be extrapolated.
const CLEAR_RISE: f64 = 4.0;
/// The factor below the smallest visible rise within which rounding must hide the change, so that
/// little room is left for a fall: one advance of a search.
const HIDDEN_WITHIN: f64 = 16.0;

/// The evaluations made so far and what they prove. The only judge of how a search ends: whatever
/// chooses the next learning rate cannot claim more than the trace shows.
pub(crate) struct Trace {
    config: SearchConfig,
    line: LossLine,
    evaluations: Vec<Evaluation>,
}

impl Trace {
    pub(crate) fn new(config: SearchConfig, line: LossLine) -> Self {
        Self {
            config,
            line,
            evaluations: Vec::with_capacity(config.max_evaluations.min(16)),
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

    /// The relative width wanted of the bracket.
    pub(crate) fn tolerance(&self) -> f64 {
        self.config.tolerance
    }

    /// The slope g·Δθ, where it is known.
    pub(crate) fn slope(&self) -> Option<f64> {
        self.line.slope
    }

    /// The change of the loss below which a difference is taken for rounding.
    pub(crate) fn resolution(&self) -> f64 {
        self.line.resolution
    }

    /// The evaluations, in the order in which they were made.
    pub(crate) fn into_evaluations(self) -> Vec<Evaluation> {
        self.evaluations
    }

    /// The evaluations made so far.
    pub(crate) fn evaluations(&self) -> &[Evaluation] {
        &self.evaluations
    }

    /// The evaluation at the smallest learning rate at which the loss rises.
    fn first_rise(&self) -> Option<&Evaluation> {
        self.evaluations
            .iter()
            .filter(|evaluation| evaluation.is_rise())
            .min_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate))
    }

    /// The evaluation at the largest learning rate below it; all of those fell or stayed equal.
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

    /// How the search ends, if the evaluations decide it.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        if !self.line.base_loss.is_finite() {
            return Some(Outcome::NonFiniteBaseLoss);
        }
        match self.line.slope {
            Some(slope) if !slope.is_finite() => return Some(Outcome::NonFiniteSlope),
            Some(slope) if slope <= 0.0 => return Some(Outcome::NotDescent),
            _ => {}
        }
        match (self.last_fall(), self.first_rise()) {
            (Some(fall), Some(rise)) => {
                let bracket = Bracket::new(fall.learning_rate, rise.learning_rate);
                if self.rises_at_once() {
                    return Some(Outcome::NotDescent);
                }
                if bracket.width() <= self.config.tolerance {
                    return Some(if rise.rise - fall.rise < 2.0 * self.line.resolution {
                        Outcome::BelowResolution
                    } else {
                        Outcome::Bracketed(bracket)
                    });
                }
            }
            (Some(fall), None) if fall.learning_rate >= self.config.max_learning_rate => {
                return Some(self.unless_unresolved(Outcome::NoIncrease {
                    limit: fall.learning_rate,
                }));
            }
            (None, Some(_)) if self.rises_at_once() => return Some(Outcome::NotDescent),
            (None, Some(rise)) if rise.learning_rate <= self.config.min_learning_rate => {
                return Some(self.unless_unresolved(Outcome::NotDescent));
            }
            _ => {}
        }
        (self.evaluations.len() >= self.config.max_evaluations).then(|| Outcome::BudgetExhausted {
            lower: self.lower(),
            upper: self.upper(),
        })
    }

    /// The next place to look for a crossing below the bracket, if one is left and the budget allows.
    pub(crate) fn next_check(&self, bracket: &Bracket) -> Option<f64> {
        let is_left = self.evaluations.len() < self.config.max_evaluations;
        is_left.then(|| self.unchecked(bracket)).flatten()
    }

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
    /// η_c might as well be 0.
    pub(crate) fn resolved(&self, bracket: Bracket) -> Outcome {
        let verified = self.config.verification > 0 && self.unchecked(&bracket).is_none();
        let error = self.standard_error(&bracket);
        if error.is_some_and(|error| INTERVAL * error >= bracket.critical_lr()) {
            return Outcome::BelowResolution;
        }
        Outcome::Bracketed(bracket.with_verified(verified).with_standard_error(error))
    }

    /// The standard error of f at the crossing over the slope of f there, by the first-order
    /// propagation of the error of f to its root.
    fn standard_error(&self, bracket: &Bracket) -> Option<f64> {
        let (fall, rise) = (self.last_fall()?, self.first_rise()?);
        let standard_error = fall.standard_error?.max(rise.standard_error?);
        let critical_lr = bracket.critical_lr();
        // f′(η_c) = (g·Δθ)(1 + κη_c) by the shape of the line, if it was seen further away.
        let root = shape::crossing(&self.evaluations, bracket);
        let bend = self
            .line
            .slope
            .and_then(|slope| shape::learn_bend(&self.evaluations, slope, root));
        let steepness = match (self.line.slope, bend) {
            (Some(slope), Some(bend)) => slope * (1.0 + bend * critical_lr),
            _ => (rise.rise - fall.rise) / (rise.learning_rate - fall.learning_rate),
        };
        Some(standard_error / steepness).filter(|error| error.is_finite())
    }

    /// Whether a loss whose slope is not known rises from η = 0 on: it was seen to rise down to where
    /// rounding hides its change, and the smallest of those rises extrapolate to a positive h(0).
    fn rises_at_once(&self) -> bool {
        let resolution = self.line.resolution;
        let falls = |seen: &Evaluation| seen.rise < -resolution;
        if self.line.slope.is_some() || self.evaluations.iter().any(falls) {
            return false;
        }
        let mut visible: Vec<&Evaluation> = self
            .evaluations
            .iter()
            .filter(|seen| seen.rise > resolution && seen.rise.is_finite())
            .collect();
        visible.sort_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate));
        let Some(first) = visible.first().map(|seen| seen.learning_rate) else {
            return false;
        };
        let hidden = first / HIDDEN_WITHIN..first;
        let is_hidden = |seen: &Evaluation| {
            seen.rise.abs() <= resolution && hidden.contains(&seen.learning_rate)
        };
        let mut clear = visible
            .iter()
            .filter(|seen| seen.rise > CLEAR_RISE * resolution);
        match (clear.next(), clear.next()) {
            (Some(a), Some(b)) => {
                self.evaluations.iter().any(is_hidden) && shape::start_of(a, b) > 0.0
            }
            _ => false,
        }
    }

    /// `outcome`, unless no evaluation differs from the base loss by more than rounding.
    fn unless_unresolved(&self, outcome: Outcome) -> Outcome {
        let resolved = self
            .evaluations
            .iter()
            .any(|evaluation| evaluation.rise.abs() > self.line.resolution);
        if resolved {
            outcome
        } else {
            Outcome::BelowResolution
        }
    }
}
