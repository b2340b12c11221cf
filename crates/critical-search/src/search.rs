use crate::outcome::INTERVAL;
use crate::{
    Bracket, ConfigError, Evaluation, LossLine, Outcome, Rise, SearchConfig, SearchResult, guided,
    published,
};
use std::convert::Infallible;
use thiserror::Error;

/// How many units of the loss's resolution the first evaluation should lie below the base loss: a
/// guess so small that rounding decides the sign of its rise would send the search astray.
const RESOLVED_GUESS: f64 = 64.0;
/// How many units of the loss's resolution a rise must have for its h to be extrapolated.
const CLEAR_RISE: f64 = 4.0;
/// The factor below the smallest visible rise within which rounding must hide the change, so that
/// little room is left for a fall: one advance of a search.
const HIDDEN_WITHIN: f64 = 16.0;

/// Which learning rate a search evaluates next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Interpolates the rise per learning rate, and closes the bracket around the root found.
    ///
    /// Once warm it takes two evaluations where η_c moves slowly (full batches), about three where it
    /// is noisy (mini-batches), and at the worst six more than [`Published`](Self::Published): see
    /// [`algorithm`](crate::algorithm).
    #[default]
    Guided,
    /// The published estimator: from the guess, doubles or halves until the sign of the rise
    /// changes, then bisects (arXiv 2601.16979). The baseline.
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
/// - a [`Bracketed`](Outcome::Bracketed) outcome has f(lower) ≤ 0 < f(upper) by two evaluations
///   that are in the trace, no evaluation below `upper` rose, and 1 − lower/upper ≤ tolerance;
/// - the number of evaluations never passes the budget;
/// - a loss that is NaN or infinite counts as a rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalSearch {
    config: SearchConfig,
    method: Method,
}

/// Where a search starts: what the measurements before it have taught.
///
/// With full batches η_c moves little by little, and the last one predicts the next best; with
/// mini-batches each is noisy, and their mean does. The guess is the mean, unless the last one has
/// done clearly better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    critical_lr: f64,
    history: Option<History>,
    bend: Option<f64>,
}

/// Two predictions of η_c, and how well they did.
#[derive(Clone, Copy, Debug, PartialEq)]
struct History {
    last: f64,
    /// The exponentially weighted geometric mean.
    mean: f64,
    /// The exponentially weighted squares of the logarithmic errors.
    error_of_last: f64,
    error_of_mean: f64,
}

impl History {
    /// The weight of the newest critical learning rate in the mean.
    const MEAN_WEIGHT: f64 = 0.4;
    /// The weight of the newest error.
    const ERROR_WEIGHT: f64 = 0.1;
    /// The part of the mean's squared error that the last one's must stay below to be preferred: it is
    /// the noisier of the two.
    const CLEARLY: f64 = 0.4;

    fn first(critical_lr: f64) -> Self {
        Self {
            last: critical_lr,
            mean: critical_lr,
            error_of_last: 0.0,
            error_of_mean: 0.0,
        }
    }

    fn push(self, critical_lr: f64) -> Self {
        let blend = |old: f64, new: f64, weight: f64| (1.0 - weight) * old + weight * new;
        let error = |predicted: f64| (predicted / critical_lr).ln().powi(2);
        let mean = blend(self.mean.ln(), critical_lr.ln(), Self::MEAN_WEIGHT);
        Self {
            last: critical_lr,
            mean: mean.exp(),
            error_of_last: blend(self.error_of_last, error(self.last), Self::ERROR_WEIGHT),
            error_of_mean: blend(self.error_of_mean, error(self.mean), Self::ERROR_WEIGHT),
        }
    }

    fn prediction(&self) -> f64 {
        if self.error_of_last < Self::CLEARLY * self.error_of_mean {
            self.last
        } else {
            self.mean
        }
    }
}

impl Guess {
    /// The weight of the newest line's bend: lines differ from step to step, and most is noise.
    const BEND_WEIGHT: f64 = 0.3;

    /// A guess of the critical learning rate, such as the learning rate in use.
    pub fn new(critical_lr: f64) -> Self {
        Self {
            critical_lr,
            history: None,
            bend: None,
        }
    }

    /// The guessed critical learning rate.
    pub fn critical_lr(&self) -> f64 {
        self.critical_lr
    }

    /// The guess for the next line, from what a search has found on this one: its critical learning
    /// rate, or the end of what it could see, and the shape of the line.
    pub fn learn(self, line: &LossLine, result: &SearchResult) -> Self {
        match result.outcome {
            Outcome::Bracketed(bracket) => {
                let found = guided::crossing(&result.trace, &bracket);
                let history = self
                    .history
                    .map_or(History::first(found), |h| h.push(found));
                let seen = line
                    .slope
                    .and_then(|slope| guided::learn_bend(&result.trace, slope, found));
                let bend = match (self.bend, seen) {
                    (Some(old), Some(new)) => Some(old + Self::BEND_WEIGHT * (new - old)),
                    (old, new) => new.or(old),
                };
                Self {
                    critical_lr: history.prediction(),
                    history: Some(history),
                    bend,
                }
            }
            Outcome::NoIncrease { limit } => Self {
                critical_lr: limit,
                ..self
            },
            Outcome::BudgetExhausted { lower, upper } => Self {
                critical_lr: upper.or(lower).unwrap_or(self.critical_lr),
                ..self
            },
            _ => self,
        }
    }
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
        Ok(Self {
            config,
            method: Method::default(),
        })
    }

    /// The same search by another method.
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
    /// A good guess is what the last search has [taught](Guess::learn), or the learning rate in use.
    /// It is moved into the limits of the configuration, and up to where the slope predicts that the
    /// loss can resolve a change; a guess that is NaN starts at the smallest rate allowed.
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
        let next = match self.method {
            Method::Guided => guided::next,
            Method::Published => published::next,
        };
        let mut progress = Progress::new(self.config, *line, guess);
        let outcome = loop {
            let learning_rate = match progress.outcome() {
                None => progress.within_limits(next(&progress)),
                Some(Outcome::Bracketed(bracket)) => match progress.next_check(&bracket) {
                    Some(learning_rate) => learning_rate,
                    None => break progress.resolved(bracket),
                },
                Some(outcome) => break outcome,
            };
            match rise(learning_rate) {
                Ok(rise) => progress.push(learning_rate, rise),
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
    guess: Guess,
    trace: Vec<Evaluation>,
}

impl Progress {
    fn new(config: SearchConfig, line: LossLine, guess: Guess) -> Self {
        let resolved = match line.slope {
            Some(slope) if slope > 0.0 => RESOLVED_GUESS * line.resolution / slope,
            _ => 0.0,
        };
        let critical_lr = guess
            .critical_lr
            .max(resolved)
            .clamp(config.min_learning_rate, config.max_learning_rate);
        Self {
            config,
            line,
            guess: Guess {
                critical_lr,
                ..guess
            },
            trace: Vec::with_capacity(config.max_evaluations.min(16)),
        }
    }

    fn push(&mut self, learning_rate: f64, rise: Rise) {
        let is_finite = rise.value.is_finite();
        self.trace.push(Evaluation {
            learning_rate,
            rise: if is_finite { rise.value } else { f64::INFINITY },
            standard_error: rise.standard_error.filter(|error| error.is_finite()),
        });
    }

    /// Where the search starts.
    pub(crate) fn guess(&self) -> f64 {
        self.guess.critical_lr
    }

    /// The bend κ of the lines before this one; 0, a parabola, if there was none.
    pub(crate) fn bend(&self) -> f64 {
        self.guess.bend.unwrap_or(0.0)
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

    /// The evaluations made so far.
    pub(crate) fn trace(&self) -> &[Evaluation] {
        &self.trace
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
        (self.trace.len() >= self.config.max_evaluations).then(|| Outcome::BudgetExhausted {
            lower: self.lower(),
            upper: self.upper(),
        })
    }

    /// The next place to look for a crossing below the bracket, if one is left and the budget allows.
    fn next_check(&self, bracket: &Bracket) -> Option<f64> {
        let is_left = self.trace.len() < self.config.max_evaluations;
        is_left.then(|| self.unchecked(bracket)).flatten()
    }

    fn unchecked(&self, bracket: &Bracket) -> Option<f64> {
        let parts = self.config.verification + 1;
        let mut checks = (1..parts)
            .rev()
            .map(|part| self.within_limits(bracket.lower() * part as f64 / parts as f64));
        checks.find(|check| !self.trace.iter().any(|seen| seen.learning_rate == *check))
    }

    /// The bracket with all that is known of it, unless the spread over the examples is so wide that
    /// η_c might as well be 0.
    fn resolved(&self, bracket: Bracket) -> Outcome {
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
        let root = guided::crossing(&self.trace, bracket);
        let bend = self
            .line
            .slope
            .and_then(|slope| guided::learn_bend(&self.trace, slope, root));
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
        if self.line.slope.is_some() || self.trace.iter().any(falls) {
            return false;
        }
        let mut visible: Vec<&Evaluation> = self
            .trace
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
            (Some(a), Some(b)) => self.trace.iter().any(is_hidden) && guided::start_of(a, b) > 0.0,
            _ => false,
        }
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
