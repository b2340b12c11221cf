use crate::{LossLine, Outcome, SearchConfig, SearchResult, shape};

/// How many units of the loss's resolution the first evaluation should lie below the base loss: a
/// guess so small that rounding decides the sign of its rise would send the search astray.
const RESOLVED_GUESS: f64 = 64.0;

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
                let found = shape::crossing(&result.trace, &bracket);
                let history = self
                    .history
                    .map_or(History::first(found), |h| h.push(found));
                let seen = line
                    .slope
                    .and_then(|slope| shape::learn_bend(&result.trace, slope, found));
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

    /// The bend κ of the lines before this one; 0, a parabola, if there was none.
    pub(crate) fn bend(&self) -> f64 {
        self.bend.unwrap_or(0.0)
    }

    /// The same guess, moved into the limits and up to where the slope predicts a change that the
    /// loss can resolve.
    pub(crate) fn within(self, config: &SearchConfig, line: &LossLine) -> Self {
        let resolved = match line.slope {
            Some(slope) if slope > 0.0 => RESOLVED_GUESS * line.resolution / slope,
            _ => 0.0,
        };
        let critical_lr = self
            .critical_lr
            .max(resolved)
            .clamp(config.min_learning_rate, config.max_learning_rate);
        Self {
            critical_lr,
            ..self
        }
    }
}
