use crate::audit::Audit;
use crate::judge::{claim, judge};
use crate::line::Trust;
use crate::trace::{Report, Trace};
use crate::verdict::Verdict;
use crate::{
    Evaluation, Guess, LossLine, Outcome, Rise, SearchConfig, SearchConfigError, SearchResult,
    guided, published,
};
use std::convert::Infallible;
use thiserror::Error;

/// Which learning rate a search evaluates next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Interpolates the rise per learning rate: its root is η_c, and two evaluations around it
    /// certify it.
    ///
    /// Once warm it takes two evaluations, the least possible, where η_c moves slowly (full batches),
    /// and about one more in every fourth or fifth search where it is noisy (mini-batches). For its
    /// worst case see [`algorithm`](crate::algorithm).
    #[default]
    Guided,
    /// The published estimator, the baseline: from the guess, doubles or halves until the sign of the
    /// rise changes, then bisects to the tolerance and reports the middle of the bracket
    /// (arXiv 2601.16979, with a tolerance of 1/16). It does not ask for the
    /// [`accuracy`](SearchConfig::accuracy).
    Published,
}

/// A search for the critical learning rate: the smallest at which the loss rises.
///
/// The search picks learning rates by its [`Method`], evaluates the loss there, and stops as soon as
/// two of its evaluations certify a bracket of the wanted width, or as soon as it is clear that there
/// is none.
///
/// Its invariants hold for every method and every function, however wild:
///
/// - a [`Bracketed`](crate::Outcome::Bracketed) outcome has f(lower) ≤ 0 < f(upper) by two evaluations
///   that are in the trace, no evaluation below `upper` rose by more than rounding can do, one fell by
///   more than that, and 1 − lower/upper ≤ tolerance;
/// - its η_c lies in the bracket;
/// - the number of evaluations never passes the budget;
/// - a loss that is NaN or infinite counts as a rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalSearch {
    config: SearchConfig,
    method: Method,
}

/// A search that ended early because an evaluation of the loss failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("evaluation {} of the loss failed: {error}", trace.len() + 1)]
#[non_exhaustive]
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
    pub fn new(config: SearchConfig) -> Result<Self, SearchConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            method: Method::default(),
        })
    }

    /// The same search by another method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The configuration.
    pub fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// Searches along `line`, where `loss(η)` is L(θ − ηΔθ), starting at `guess`.
    ///
    /// A good guess is what the last search has [taught](Guess::learn). Before there is one, the
    /// learning rate in use will do, or [none](Guess::unknown): the slope says better where to start.
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

    /// The same for an objective that gives the rise f(η) = L(θ − ηΔθ) − L(θ) itself, perhaps with
    /// its standard error, and that can fail. A rise taken example by example loses far fewer digits
    /// than the difference of two means.
    ///
    /// # Errors
    ///
    /// The first error of the objective ends the search.
    pub fn try_run<E>(
        &self,
        line: &LossLine,
        guess: Guess,
        mut rise: impl FnMut(f64) -> Result<Rise, E>,
    ) -> Result<SearchResult, Interrupted<E>> {
        let told = guess.told(line);
        // One look at rounding of which nothing is known may be lucky: it takes nothing from what earlier ones have shown.
        let told_resolution = match line.rounding {
            Trust::Unknown => told.resolution,
            Trust::Known | Trust::Likely => line.resolution,
        };
        let line = told;
        let start = guess.start(&line, &self.config);
        let report = match self.method {
            Method::Guided => Report::Root,
            Method::Published => Report::Middle,
        };
        let mut trace = Trace::new(self.config, line, told_resolution, report, &guess);
        let mut audit = match self.method {
            Method::Guided => Audit::of(&trace, &guess),
            // As it was published.
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
            Outcome::Bracketed(bracket) => {
                let verified_from = Audit::verified_from(&trace, &bracket);
                Outcome::Bracketed(bracket.with_verified_from(verified_from))
            }
            outcome => outcome,
        };
        // A line that was seen to rise at once has no slope that says it falls.
        let says_fall = trace.line().slope().is_some_and(|slope| slope > 0.0);
        let refuted = (says_fall && outcome == Outcome::NotDescent).then_some(false);
        Ok(SearchResult {
            resolution: trace.line().resolution(),
            scatter: audit.rounding().scatter(),
            claim_ratio: outcome
                .bracket()
                .and_then(|bracket| audit.claim_ratio(bracket)),
            slope_holds: audit.slope_holds().or(refuted),
            outcome,
            trace: trace.into_evaluations(),
        })
    }
}
