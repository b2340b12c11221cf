use crate::audit::Audit;
use crate::judge::{claim, judge};
use crate::line::Trust;
use crate::trace::Trace;
use crate::verdict::Verdict;
use crate::{
    Evaluation, Guess, LossLine, Method, Outcome, Rise, SearchConfig, SearchConfigError,
    SearchResult, guided, published,
};
use std::convert::Infallible;
use thiserror::Error;

/// Searches for the critical learning rate, the smallest learning rate that raises the loss.
///
/// For every method and every function, however wild:
///
/// - a [`Bracketed`](crate::Outcome::Bracketed) outcome has f(lower) ≤ 0 < f(upper) by two evaluations in the trace, no
///   evaluation below `upper` rose beyond rounding, one fell beyond rounding, and 1 − lower/upper ≤ tolerance;
/// - its η_c lies in the bracket;
/// - the number of evaluations never exceeds the budget;
/// - a loss that is NaN or infinite counts as a rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalSearch {
    config: SearchConfig,
    method: Method,
}

/// Reports a search that ended early because an evaluation of the loss failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("evaluation {} of the loss failed: {error}", trace.len() + 1)]
#[non_exhaustive]
pub struct Interrupted<E> {
    /// The error of the objective.
    pub error: E,
    /// The evaluations before the error.
    pub trace: Vec<Evaluation>,
}

impl CriticalSearch {
    /// Creates a search with this configuration.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid value and its valid range.
    pub fn new(config: SearchConfig) -> Result<Self, SearchConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            method: Method::default(),
        })
    }

    /// Sets the method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Returns the configuration.
    pub fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// Searches along `line` from `guess`; `loss` returns L(θ − ηΔθ) for η.
    ///
    /// Pass the guess that [earlier searches](Guess::learn) taught, at first the learning rate in use or
    /// [`Guess::unknown`].
    pub fn run(
        &self,
        line: &LossLine,
        guess: Guess,
        mut loss: impl FnMut(f64) -> f64,
    ) -> SearchResult {
        let never_fails = |learning_rate| {
            let rise = loss(learning_rate) - line.base_loss;
            Ok::<Rise, Infallible>(rise.into())
        };
        match self.try_run(line, guess, never_fails) {
            Ok(result) => result,
            Err(interrupted) => match interrupted.error {},
        }
    }

    /// Searches with an objective that returns the rise f(η) = L(θ − ηΔθ) − L(θ), perhaps with its standard error, and
    /// that can fail.
    ///
    /// Take the rise example by example if possible: it loses far fewer digits than the difference of two means.
    ///
    /// # Errors
    ///
    /// Returns the first error of the objective, which ends the search.
    pub fn try_run<E>(
        &self,
        line: &LossLine,
        guess: Guess,
        mut rise: impl FnMut(f64) -> Result<Rise, E>,
    ) -> Result<SearchResult, Interrupted<E>> {
        let told = guess.told(line);
        // A single look at unknown rounding may be lucky, so it cannot lower the resolution of earlier looks.
        let told_resolution = match line.rounding {
            Trust::Unknown => told.resolution,
            Trust::Known | Trust::Likely => line.resolution,
        };
        let line = told;
        let start = guess.start(&line, &self.config);
        let mut trace = Trace::new(self.config, line, told_resolution, self.method, &guess);
        let mut audit = match self.method {
            Method::Guided => Audit::of(&trace, &guess),
            Method::Published => Audit::none(),
        };
        let outcome = loop {
            let expected = match self.method {
                Method::Guided => guided::estimate(&trace, &guess),
                Method::Published => None,
            };
            let learning_rate = if let Some(place) = audit.pending(&mut trace) {
                place
            } else {
                if self.method == Method::Guided {
                    audit.note(claim(&trace));
                }
                match judge(&trace) {
                    Verdict::Open if trace.evaluations().is_empty() => start,
                    Verdict::Open => trace.within_limits(match self.method {
                        Method::Guided => guided::next(&trace, &guess, expected),
                        Method::Published => published::next(&trace),
                    }),
                    Verdict::Hidden(hidden) => {
                        trace.within_limits(hidden.next(trace.evaluations().len()))
                    }
                    Verdict::Ended(outcome) => match audit.next(&mut trace, &outcome) {
                        Some(place) => place,
                        None => break outcome,
                    },
                }
            };
            match rise(learning_rate) {
                Ok(rise) => trace.push(learning_rate, rise, expected),
                Err(error) => {
                    return Err(Interrupted {
                        error,
                        trace: trace.into_evaluations(),
                    });
                }
            }
            trace.distrust_slope_if_it_falls();
        };
        let outcome = match outcome {
            Outcome::Bracketed(mut bracket) => {
                bracket.verified_from = Audit::verified_from(&trace, &bracket);
                Outcome::Bracketed(bracket)
            }
            outcome => outcome,
        };
        // If the line rises from 0, no slope can say that it falls.
        let says_fall = trace.line.slope().is_some_and(|slope| slope > 0.0);
        let refuted = (says_fall && outcome == Outcome::NotDescent).then_some(false);
        Ok(SearchResult {
            resolution: trace.line.resolution(),
            scatter: audit.rounding.scatter,
            claim_ratio: outcome.bracket().and_then(|found| audit.claim_ratio(found)),
            slope_holds: audit.slope_holds.or(refuted),
            outcome,
            trace: trace.into_evaluations(),
        })
    }
}
