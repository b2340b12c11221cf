use crate::check::Look;
use crate::known_rounding::KnownRounding;
use crate::line::Trust;
use crate::{Bracket, Evaluation, LossLine, Outcome, SearchConfig, SearchResult, shape};

/// How many units of the loss's resolution the first evaluation should lie below the base loss: a
/// guess so small that rounding decides the sign of its rise would send the search astray.
const RESOLVED_GUESS: f64 = 64.0;
/// The predicted fall, as a share of the loss, from which a first measurement starts: large enough to
/// see, and small against the loss.
const FIRST_FALL: f64 = 0.1;

/// Where a search starts: what the measurements before it have taught.
///
/// With full batches η_c moves little by little, and the last one predicts the next best; with
/// mini-batches each is noisy, and their mean does. The guess is the mean, unless the last one has
/// done clearly better.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Guess {
    critical_lr: Option<f64>,
    history: Option<Forecast>,
    /// The slope of a straight h with the root and the steepness of the line's.
    slope: Option<Forecast>,
    /// The same slope over that of the loss that the hint is of.
    slope_over_hint: Option<Forecast>,
    bend: Option<f64>,
    rounding: KnownRounding,
}

/// Two predictions of a positive quantity that changes from line to line, and how well they did.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Forecast {
    last: f64,
    /// The exponentially weighted geometric mean.
    mean: f64,
    /// The exponentially weighted squares of the logarithmic errors.
    error_of_last: f64,
    error_of_mean: f64,
}

impl Forecast {
    /// The weight of the newest value in the mean.
    const MEAN_WEIGHT: f64 = 0.4;
    /// The weight of the newest error.
    const ERROR_WEIGHT: f64 = 0.1;
    /// The part of the mean's squared error that the last one's must stay below to be preferred: it is
    /// the noisier of the two.
    const CLEARLY: f64 = 0.4;

    fn first(value: f64) -> Self {
        Self {
            last: value,
            mean: value,
            error_of_last: 0.0,
            error_of_mean: 0.0,
        }
    }

    fn push(self, value: f64) -> Self {
        let blend = |old: f64, new: f64, weight: f64| (1.0 - weight) * old + weight * new;
        let error = |predicted: f64| (predicted / value).ln().powi(2);
        let mean = blend(self.mean.ln(), value.ln(), Self::MEAN_WEIGHT);
        Self {
            last: value,
            mean: mean.exp(),
            error_of_last: blend(self.error_of_last, error(self.last), Self::ERROR_WEIGHT),
            error_of_mean: blend(self.error_of_mean, error(self.mean), Self::ERROR_WEIGHT),
        }
    }

    /// Whether the last value has predicted clearly better than the mean.
    fn prefers_last(&self) -> bool {
        self.error_of_last < Self::CLEARLY * self.error_of_mean
    }

    /// The forecast after one more value; the same where the value is none.
    fn learn(forecast: Option<Self>, value: Option<f64>) -> Option<Self> {
        match (forecast, value.filter(|v| *v > 0.0 && v.is_finite())) {
            (Some(forecast), Some(value)) => Some(forecast.push(value)),
            (None, Some(value)) => Some(Self::first(value)),
            (forecast, None) => forecast,
        }
    }

    fn prediction(&self) -> f64 {
        if self.prefers_last() {
            self.last
        } else {
            self.mean
        }
    }

    /// The square of the logarithmic error of the prediction, of late.
    fn error(&self) -> f64 {
        if self.prefers_last() {
            self.error_of_last
        } else {
            self.error_of_mean
        }
    }
}

impl Guess {
    /// The weight of the newest line's bend: lines differ from step to step, and most is noise.
    const BEND_WEIGHT: f64 = 0.3;

    /// A guess of the critical learning rate, such as the learning rate in use.
    ///
    /// One that is 0, negative, NaN or infinite is none: see [`unknown`](Self::unknown).
    pub fn new(critical_lr: f64) -> Self {
        Self {
            critical_lr: Some(critical_lr).filter(|rate| *rate > 0.0 && rate.is_finite()),
            ..Self::default()
        }
    }

    /// No idea of the critical learning rate. The search starts where the slope, or the hint of one,
    /// predicts a fall of a tenth of the loss; without either, in the middle of the limits.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// The guessed critical learning rate, if there is a guess.
    pub fn critical_lr(&self) -> Option<f64> {
        self.critical_lr
    }

    /// The guess for the next line, from what a search has found on this one: its critical learning
    /// rate, or the end of what it could see, the shape of the line, and what rounding does to it.
    #[must_use]
    pub fn learn(self, line: &LossLine, result: &SearchResult) -> Self {
        let rounding = self.rounding.learn(line, result);
        Self {
            rounding,
            ..self.learn_outcome(line, result)
        }
    }

    fn learn_outcome(self, line: &LossLine, result: &SearchResult) -> Self {
        match result.outcome {
            Outcome::Bracketed(bracket) => self.learn_bracket(line, result, &bracket),
            Outcome::NoIncrease { limit } => Self {
                critical_lr: Some(limit),
                ..self
            },
            Outcome::BudgetExhausted { lower, upper } => Self {
                critical_lr: upper.or(lower).or(self.critical_lr),
                ..self
            },
            _ => self,
        }
    }

    fn learn_bracket(self, line: &LossLine, result: &SearchResult, bracket: &Bracket) -> Self {
        let root = bracket.critical_lr();
        let steepness = bracket.steepness();
        let history = Forecast::learn(self.history, Some(root));
        let over_hint = line
            .slope_hint()
            .and_then(|hint| steepness.map(|steepness| steepness / hint));
        let seen = line.slope().and_then(|slope| {
            shape::learn_bend(result.trace.iter().map(Evaluation::point), slope, root)
        });
        let bend = match (self.bend, seen) {
            (Some(old), Some(new)) => Some(old + Self::BEND_WEIGHT * (new - old)),
            (old, new) => new.or(old),
        };
        Self {
            critical_lr: history.map(|history| history.prediction()),
            history,
            slope: Forecast::learn(self.slope, steepness),
            slope_over_hint: Forecast::learn(self.slope_over_hint, over_hint),
            bend,
            rounding: self.rounding,
        }
    }

    /// The line with what the lines before it have shown of its rounding.
    pub(crate) fn told(&self, line: &LossLine) -> LossLine {
        match self.rounding.resolution(line) {
            Some(seen) if line.rounding != Trust::Known => {
                line.with_resolution(seen.max(line.resolution))
            }
            _ => *line,
        }
    }

    /// Whether the search is to look at the rounding of this line.
    pub(crate) fn look_at(&self, line: &LossLine) -> Look {
        match line.rounding {
            Trust::Known => Look::No,
            trust => self.rounding.look(trust),
        }
    }

    /// The bend κ of the lines before this one; 0, a parabola, if there was none or if their slopes
    /// were not known.
    pub(crate) fn bend(&self, line: &LossLine) -> f64 {
        line.slope().and(self.bend).unwrap_or(0.0)
    }

    /// The slope that the line is expected to have, for prediction only: the known one; or what the
    /// lines before this one and the hint make likely.
    pub(crate) fn slope(&self, line: &LossLine) -> Option<f64> {
        let by_hint = line
            .slope_hint()
            .and_then(|hint| Some((hint, self.slope_over_hint?)))
            .map(|(hint, ratio)| (hint * ratio.prediction(), ratio.error()));
        let by_history = self.slope.map(|slope| (slope.prediction(), slope.error()));
        let learned = match (by_hint, by_history) {
            (Some(a), Some(b)) => Some(if a.1 <= b.1 { a } else { b }),
            (a, b) => a.or(b),
        };
        line.slope()
            .or(learned.map(|(slope, _)| slope))
            .or(line.slope_hint())
    }

    /// The first learning rate to evaluate, within the limits.
    ///
    /// It is the guess, moved up to where a change can be seen. Before anything was measured, the
    /// learning rate in use may say nothing (that of a warmup's first step): then the slope decides.
    pub(crate) fn start(&self, line: &LossLine, config: &SearchConfig) -> f64 {
        let (min, max) = (config.min_learning_rate, config.max_learning_rate);
        let slope = self.slope(line).filter(|slope| *slope > 0.0);
        let falls_by = |fall: f64| slope.map(|slope| fall / slope);
        let whole = falls_by(line.base_loss.abs()).filter(|whole| *whole > 0.0);
        let start = match (self.critical_lr, whole) {
            // A loss cannot be expected to fall by more than the whole of it.
            (Some(rate), Some(whole)) if self.history.is_none() && rate > whole => {
                FIRST_FALL * whole
            }
            (Some(rate), Some(whole)) if self.history.is_none() => rate.max(FIRST_FALL * whole),
            (None, Some(whole)) => FIRST_FALL * whole,
            (Some(rate), _) => rate,
            (None, None) => (min * max).sqrt(),
        };
        let resolved = falls_by(RESOLVED_GUESS * line.resolution).unwrap_or(0.0);
        start.max(resolved).clamp(min, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_learns_from_every_ending() {
        let line = LossLine::new(1.0).with_slope(1.0);
        let guess = Guess::new(0.25);
        let learned = |outcome| {
            let trace = Vec::new();
            guess
                .learn(
                    &line,
                    &SearchResult {
                        outcome,
                        trace,
                        resolution: line.resolution(),
                        scatter: None,
                    },
                )
                .critical_lr()
        };
        assert_eq!(learned(Outcome::NoIncrease { limit: 8.0 }), Some(8.0));
        assert_eq!(learned(Outcome::NotDescent), Some(0.25));
        let exhausted = |lower, upper| learned(Outcome::BudgetExhausted { lower, upper });
        assert_eq!(exhausted(Some(1.0), Some(2.0)), Some(2.0));
        assert_eq!(exhausted(Some(1.0), None), Some(1.0));
        assert_eq!(exhausted(None, None), Some(0.25));
    }
}
