use crate::calibration::Calibration;
use crate::forecast::Forecast;
use crate::known_rounding::KnownRounding;
use crate::line::{Slope, Trust};
use crate::slope_test::SlopeTest;
use crate::{Bracket, Evaluation, LossLine, Outcome, SearchConfig, SearchResult, shape};

/// The least predicted fall of the first evaluation, in resolutions.
const RESOLVED_GUESS: f64 = 64.0;
/// The predicted fall of a first evaluation, as a share of the loss.
const FIRST_FALL: f64 = 0.1;

const FEW_WITHOUT_INCREASE: u64 = 3;

/// The factor between η_c and its prediction that counts as a surprise; the better predictions are, the smaller.
const SURPRISE: std::ops::RangeInclusive<f64> = 4.0..=12.0;
const SURPRISE_DEVIATIONS: f64 = 3.0;

/// Carries knowledge from one search to the next: the place to start, and how far to trust the result.
///
/// Pass a guess to [`CriticalSearch::run`](crate::CriticalSearch::run), and the guess that [`learn`](Self::learn) makes
/// of the result to the next search. A guess predicts η_c by the mean of earlier values, or by the last value if the
/// last value has predicted clearly better.
///
/// With the feature `serde`, a program can save a guess, and the same version of this crate can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Guess {
    /// The caller's guess, until a search measures a crossing.
    told: Option<f64>,
    history: Option<Forecast>,
    /// The slope of a straight h with the same root and steepness.
    slope: Option<Forecast>,
    slope_over_hint: Option<Forecast>,
    bend: Option<f64>,
    pub(crate) rounding: KnownRounding,
    pub(crate) calibration: Calibration,
    pub(crate) slope_test: SlopeTest,
    without_increase: u64,
}

impl Guess {
    const BEND_WEIGHT: f64 = 0.3;

    /// Creates a guess of η_c, such as the learning rate in use. If it is 0, negative, NaN or infinite, it counts as
    /// [`unknown`](Self::unknown).
    pub fn new(critical_lr: f64) -> Self {
        Self {
            told: Some(critical_lr).filter(|rate| *rate > 0.0 && rate.is_finite()),
            ..Self::default()
        }
    }

    /// Creates a guess without knowledge. The search starts at a fall of a tenth of the loss, as predicted by the slope
    /// or its hint; without either, in the middle of the limits.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Returns the predicted critical learning rate, if any.
    pub fn critical_lr(&self) -> Option<f64> {
        self.told
            .or(self.history.map(|history| history.prediction()))
    }

    pub(crate) fn is_measured(&self) -> bool {
        self.history.is_some()
    }

    fn critical_lr_of(&self, line: &LossLine) -> Option<f64> {
        let of_slope = |history: Forecast| history.prediction_with(line.predictor());
        self.told.or(self.history.map(of_slope))
    }

    /// Returns the guess after a search along `line`: it learns η_c (or the end that an exhausted search reached), the
    /// shape and the rounding.
    #[must_use]
    pub fn learn(self, line: &LossLine, result: &SearchResult) -> Self {
        let is_bracketed = result.outcome.bracket().is_some();
        let is_known = is_bracketed && line.slope().is_some();
        let calibration = if is_bracketed {
            self.calibration.learn(result.claim_ratio)
        } else {
            self.calibration
        };
        let learned = Self {
            rounding: self.rounding.learn(line, result),
            calibration,
            slope_test: self.slope_test.learn(is_known, result.slope_holds),
            without_increase: match result.outcome {
                Outcome::NoIncrease { .. } => self.without_increase + 1,
                _ => 0,
            },
            ..self
        };
        let line = learned.told(line);
        match result.outcome {
            Outcome::Bracketed(bracket) => learned.learn_bracket(&line, result, &bracket),
            Outcome::BudgetExhausted { lower, upper } => Self {
                told: upper.or(lower).or(self.told),
                ..learned
            },
            _ => learned,
        }
    }

    fn learn_bracket(self, line: &LossLine, result: &SearchResult, bracket: &Bracket) -> Self {
        let root = bracket.critical_lr();
        let steepness = bracket.steepness;
        let hinted = steepness.zip(line.slope_hint());
        let over_hint = hinted.map(|(steepness, hint)| steepness / hint);
        let seen = line.slope().and_then(|slope| {
            shape::learn_bend(result.trace.iter().map(Evaluation::point), slope, root)
        });
        let bend = match (self.bend, seen) {
            (Some(old), Some(new)) => Some(old + Self::BEND_WEIGHT * (new - old)),
            (old, new) => new.or(old),
        };
        Self {
            told: None,
            history: Forecast::learn(self.history, Some(root), line.predictor()),
            slope: Forecast::learn(self.slope, steepness, None),
            slope_over_hint: Forecast::learn(self.slope_over_hint, over_hint, None),
            bend,
            ..self
        }
    }

    pub(crate) fn told(&self, line: &LossLine) -> LossLine {
        let line = match line.slope {
            Slope::Known(slope) if self.slope_test.is_refuted => line.with_slope_hint(slope),
            _ => *line,
        };
        match self.rounding.resolution(&line) {
            Some(seen) if line.rounding != Trust::Known => {
                line.with_seen_resolution(seen.max(line.resolution))
            }
            _ => line,
        }
    }

    /// Whether a search has refuted a slope that the caller declared known.
    pub fn is_slope_refuted(&self) -> bool {
        self.slope_test.is_refuted
    }

    /// On the first few lines without a rise in a row, then ever more rarely.
    pub(crate) fn is_far_due(&self) -> bool {
        self.without_increase < FEW_WITHOUT_INCREASE || self.without_increase.is_power_of_two()
    }

    pub(crate) fn is_surprise(&self, line: &LossLine, critical_lr: f64) -> bool {
        self.history.is_some_and(|history| {
            let expected = history.prediction_with(line.predictor());
            let usual = SURPRISE_DEVIATIONS * history.error().sqrt();
            let least = usual.clamp(SURPRISE.start().ln(), SURPRISE.end().ln());
            (critical_lr / expected).ln().abs() > least
        })
    }

    pub(crate) fn bend(&self, line: &LossLine) -> f64 {
        line.slope().and(self.bend).unwrap_or(0.0)
    }

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

    /// Before any measurement, the slope decides: at the first step of a warmup, the learning rate in use says nothing.
    pub(crate) fn start(&self, line: &LossLine, config: &SearchConfig) -> f64 {
        let (min, max) = (config.min_learning_rate, config.max_learning_rate);
        if let Some(slope) = line.slope().filter(|slope| *slope < 0.0) {
            // Start at a rate that would show the rise.
            let shown = RESOLVED_GUESS * line.resolution / -slope;
            return shown.clamp(min, max);
        }
        let slope = self.slope(line).filter(|slope| *slope > 0.0);
        let falls_by = |fall: f64| slope.map(|slope| fall / slope);
        let whole = falls_by(line.base_loss.abs()).filter(|whole| *whole > 0.0);
        let start = match (self.critical_lr_of(line), whole) {
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
            let result = SearchResult {
                outcome,
                trace: Vec::new(),
                resolution: line.resolution(),
                scatter: None,
                claim_ratio: None,
                slope_holds: None,
            };
            guess.learn(&line, &result).critical_lr()
        };
        assert_eq!(learned(Outcome::NoIncrease { limit: 8.0 }), Some(0.25));
        assert_eq!(learned(Outcome::NotDescent), Some(0.25));
        let exhausted = |lower, upper| learned(Outcome::BudgetExhausted { lower, upper });
        assert_eq!(exhausted(Some(1.0), Some(2.0)), Some(2.0));
        assert_eq!(exhausted(Some(1.0), None), Some(1.0));
        assert_eq!(exhausted(None, None), Some(0.25));
    }
}
