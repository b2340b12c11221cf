use crate::{
    Bracket, ConfigError, Evaluation, LossLine, Outcome, SearchConfig, SearchResult, published,
};
use std::convert::Infallible;
use thiserror::Error;

/// How many units of the loss's resolution the first evaluation should lie below the base loss: a
/// guess so small that rounding decides the sign of its rise would send the search astray.
const RESOLVED_GUESS: f64 = 64.0;

/// A search for the critical learning rate: the smallest at which the loss rises.
///
/// The search picks learning rates, evaluates the loss there, and stops as soon as two of its
/// evaluations certify a bracket of the wanted width, or as soon as it is clear that there is none.
/// Which rate comes next is the published estimator's choice (arXiv 2601.16979): from the guess,
/// double or halve until the sign of the rise changes, then bisect.
///
/// Its invariants hold for every function, however wild:
///
/// - a [`Bracketed`](Outcome::Bracketed) outcome has f(lower) ≤ 0 < f(upper) by two evaluations
///   that are in the trace, no evaluation below `upper` rose, and 1 − lower/upper ≤ tolerance;
/// - the number of evaluations never passes the budget;
/// - a loss that is NaN or infinite counts as a rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalSearch {
    config: SearchConfig,
}

/// A search that ended early because an evaluation of the loss failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("evaluation {} of the loss failed: {error}", trace.len() + 1)]
pub struct Interrupted<E> {
    /// What went wrong.
    pub error: E,
    /// The evaluations made until then.
    pub trace: Vec<Evaluation>,
}

impl CriticalSearch {
    /// A search with this configuration.
    ///
    /// # Errors
    ///
    /// A value that makes no sense is named in the error, with what to choose instead.
    pub fn new(config: SearchConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config })
    }

    /// The configuration.
    pub fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// Searches along `line`, where `loss(η)` is L(θ − ηΔθ), starting at the learning rate `guess`.
    ///
    /// A good guess is the critical learning rate of the last measurement, or the learning rate in
    /// use. It is moved into the limits of the configuration, and up to where the slope predicts
    /// that the loss can resolve a change; a guess that is NaN starts at the smallest rate allowed.
    pub fn run(
        &self,
        line: &LossLine,
        guess: f64,
        mut loss: impl FnMut(f64) -> f64,
    ) -> SearchResult {
        let never_fails = |learning_rate| Ok::<f64, Infallible>(loss(learning_rate));
        match self.try_run(line, guess, never_fails) {
            Ok(result) => result,
            Err(interrupted) => match interrupted.error {},
        }
    }

    /// The same for a loss whose evaluation can fail.
    ///
    /// # Errors
    ///
    /// The first error of the loss ends the search.
    pub fn try_run<E>(
        &self,
        line: &LossLine,
        guess: f64,
        mut loss: impl FnMut(f64) -> Result<f64, E>,
    ) -> Result<SearchResult, Interrupted<E>> {
        let mut progress = Progress::new(self.config, *line, guess);
        let outcome = loop {
            if let Some(outcome) = progress.outcome() {
                break outcome;
            }
            let learning_rate = progress.within_limits(published::next(&progress));
            match loss(learning_rate) {
                Ok(loss) => progress.push(learning_rate, loss),
                Err(error) => {
                    return Err(Interrupted {
                        error,
                        trace: progress.trace,
                    });
                }
            }
        };
        Ok(SearchResult {
            outcome,
            trace: progress.trace,
        })
    }
}

/// The evaluations made so far and what they prove. The only judge of how a search ends: whatever
/// chooses the next learning rate cannot claim more than the trace shows.
pub(crate) struct Progress {
    config: SearchConfig,
    line: LossLine,
    guess: f64,
    trace: Vec<Evaluation>,
}

impl Progress {
    fn new(config: SearchConfig, line: LossLine, guess: f64) -> Self {
        let resolved = match line.slope {
            Some(slope) if slope > 0.0 => RESOLVED_GUESS * line.resolution / slope,
            _ => 0.0,
        };
        let guess = guess
            .max(resolved)
            .clamp(config.min_learning_rate, config.max_learning_rate);
        Self {
            config,
            line,
            guess,
            trace: Vec::with_capacity(config.max_evaluations.min(16)),
        }
    }

    fn push(&mut self, learning_rate: f64, loss: f64) {
        let rise = if loss.is_finite() {
            loss - self.line.base_loss
        } else {
            f64::INFINITY
        };
        self.trace.push(Evaluation {
            learning_rate,
            rise,
        });
    }

    /// Where the search starts.
    pub(crate) fn guess(&self) -> f64 {
        self.guess
    }

    /// The evaluation at the smallest learning rate at which the loss rises.
    fn first_rise(&self) -> Option<&Evaluation> {
        self.trace
            .iter()
            .filter(|evaluation| evaluation.is_rise())
            .min_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate))
    }

    /// The evaluation at the largest learning rate below it; all of those fell or stayed equal.
    fn last_fall(&self) -> Option<&Evaluation> {
        let bound = self.upper().unwrap_or(f64::INFINITY);
        self.trace
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

    fn within_limits(&self, learning_rate: f64) -> f64 {
        learning_rate.clamp(self.config.min_learning_rate, self.config.max_learning_rate)
    }

    /// How the search ends, if the evaluations decide it.
    fn outcome(&self) -> Option<Outcome> {
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
            (None, Some(rise)) if rise.learning_rate <= self.config.min_learning_rate => {
                return Some(self.unless_unresolved(Outcome::NotDescent));
            }
            _ => {}
        }
        (self.trace.len() >= self.config.max_evaluations).then(|| Outcome::BudgetExhausted {
            lower: self.lower(),
            upper: self.upper(),
        })
    }

    /// `outcome`, unless no evaluation differs from the base loss by more than rounding.
    fn unless_unresolved(&self, outcome: Outcome) -> Outcome {
        let resolved = self
            .trace
            .iter()
            .any(|evaluation| evaluation.rise.abs() > self.line.resolution);
        if resolved {
            outcome
        } else {
            Outcome::BelowResolution
        }
    }
}
