use crate::shape::{Point, start_of};
use crate::verdict::{Hidden, Verdict};
use crate::{Evaluation, LossLine, Outcome, SearchConfig};

/// The change, in resolutions, that cannot be rounding.
const CLEAR: f64 = 2.0;
const CLEAR_SLOPE: f64 = 4.0;
/// The share of its error that h(0) may lie below 0 at a minimum of the loss.
const MINIMUM: f64 = 0.5;
const HINT_OF_A_FALL: f64 = 0.5;
/// The ratio of learning rates within which no fall fits between a hidden change and a clear rise.
const HIDDEN_WITHIN: f64 = 4.0;
const EXTRAPOLATED_WITHIN: f64 = 4.0;
/// The rise, in resolutions, that the search looks for if a slope says that the loss rises.
const SHOWN: f64 = 8.0;
/// How much steeper than h(0) such a rise may be.
const STEEPER: f64 = 2.0;
/// The factor within which two rates show the same.
const SAME: f64 = 1.5;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounding {
    resolution: f64,
    own_resolution: f64,
    is_found: bool,
    /// h(0), if the slope says that the loss rises.
    start: Option<f64>,
    says_fall: bool,
}

impl Rounding {
    pub(crate) fn of(line: &LossLine) -> Self {
        Self {
            resolution: line.resolution(),
            own_resolution: line.own_resolution(),
            is_found: line.has_found_rounding(),
            start: line.slope().map(|slope| -slope).filter(|h| *h > 0.0),
            says_fall: line
                .slope()
                .or(line.slope_hint())
                .is_some_and(|slope| slope > 0.0),
        }
    }

    pub(crate) fn rises(&self, seen: &Evaluation) -> bool {
        seen.rise > CLEAR * self.resolution
    }

    pub(crate) fn falls(&self, seen: &Evaluation) -> bool {
        seen.rise < -CLEAR * self.resolution
    }

    pub(crate) fn hides(&self, seen: &Evaluation) -> bool {
        !self.rises(seen) && !self.falls(seen)
    }

    pub(crate) fn verdict(&self, seen: &[Evaluation], config: &SearchConfig) -> Option<Verdict> {
        let rates = |clear: bool| {
            let rises = seen.iter().filter(move |seen| self.rises(seen) == clear);
            rises.map(|seen| seen.learning_rate)
        };
        let first_rise = rates(true).min_by(f64::total_cmp);
        let is_before_rise =
            |seen: &Evaluation| first_rise.is_none_or(|rise| seen.learning_rate < rise);
        let has_fallen = seen
            .iter()
            .any(|seen| self.falls(seen) && is_before_rise(seen));
        if seen.is_empty() || has_fallen {
            return None;
        }
        let Some(rise) = first_rise else {
            let last = rates(false).fold(0.0, f64::max);
            return Some(if last >= config.max_learning_rate {
                Verdict::Ended(Outcome::BelowResolution)
            } else {
                Verdict::Hidden(Hidden::All(last))
            });
        };
        if let Some(start) = self.start {
            return Some(self.by_start(start, seen, rise, config));
        }
        let hidden = rates(false).filter(|rate| *rate < rise);
        let Some(hidden) = hidden.max_by(f64::total_cmp) else {
            let at_limit = rise <= config.min_learning_rate;
            let outcome = if shrinks_towards_0(seen) {
                Outcome::NotDescent
            } else {
                Outcome::BelowResolution
            };
            return at_limit.then_some(Verdict::Ended(outcome));
        };
        if rise > HIDDEN_WITHIN * hidden {
            return Some(Verdict::Hidden(Hidden::Between { hidden, rise }));
        }
        let below = 0.25 * hidden..0.75 * hidden;
        let is_searched = rates(false).any(|rate| below.contains(&rate));
        if !is_searched && 0.5 * hidden >= config.min_learning_rate {
            return Some(Verdict::Hidden(Hidden::Root(hidden)));
        }
        match self.clear_rises(seen).as_slice() {
            [a, b, ..] if b.eta <= EXTRAPOLATED_WITHIN * a.eta => {
                let rises_at_once = self.rises_at_once(*a, *b, seen) && !self.may_fall(seen, rise);
                Some(Verdict::Ended(if rises_at_once {
                    Outcome::NotDescent
                } else {
                    Outcome::BelowResolution
                }))
            }
            [a, ..] if 2.0 * a.eta <= config.max_learning_rate => {
                Some(Verdict::Hidden(Hidden::Start(a.eta)))
            }
            _ => Some(Verdict::Ended(Outcome::BelowResolution)),
        }
    }

    /// If looks have found rounding, the loss may fall in it: it has to rise about as steeply as h(0) says.
    fn by_start(
        &self,
        start: f64,
        seen: &[Evaluation],
        rise: f64,
        config: &SearchConfig,
    ) -> Verdict {
        let first = seen.iter().find(|seen| seen.learning_rate == rise);
        let is_as_told = first.is_some_and(|first| first.point().h <= STEEPER * start);
        let near = SHOWN * self.resolution / start;
        let is_new = |seen: &Evaluation| (seen.learning_rate / near).ln().abs() > SAME.ln();
        let is_nearer = near >= config.min_learning_rate && near * SAME < rise;
        if !self.is_found || (is_as_told && !self.may_fall(seen, rise)) {
            Verdict::Ended(Outcome::NotDescent)
        } else if !is_as_told && is_nearer && seen.iter().all(is_new) {
            Verdict::Hidden(Hidden::Slope(near))
        } else {
            Verdict::Ended(Outcome::BelowResolution)
        }
    }

    /// Whether the loss falls below a rise by more than its own rounding, so that only looks hide the fall.
    fn may_fall(&self, seen: &[Evaluation], rise: f64) -> bool {
        let mut before = seen.iter().filter(|seen| seen.learning_rate < rise);
        before.any(|seen| seen.rise < -CLEAR * self.own_resolution)
    }

    /// Returns the slope of h between the nearest ends that exceed rounding, or of the bracket if less steep.
    pub(crate) fn chord(&self, seen: &[Evaluation], fall: &Evaluation, rise: &Evaluation) -> f64 {
        let (lower, upper) = (fall.point(), rise.point());
        let distance = upper.eta - lower.eta;
        let near = (upper.h - lower.h) / distance;
        let error = self.resolution * (1.0 / lower.eta + 1.0 / upper.eta) / distance;
        let far = self.clear_chord(seen, fall, rise);
        if near > 2.0 * error {
            near.min(far)
        } else {
            far
        }
    }

    fn clear_chord(&self, seen: &[Evaluation], fall: &Evaluation, rise: &Evaluation) -> f64 {
        let nearer = |a: &&Evaluation, b: &&Evaluation| a.learning_rate.total_cmp(&b.learning_rate);
        let falls = seen.iter().filter(|seen| self.falls(seen));
        let rises = seen.iter().filter(|seen| self.rises(seen));
        let below = falls.filter(|seen| seen.learning_rate <= fall.learning_rate);
        let above = rises.filter(|seen| seen.learning_rate >= rise.learning_rate);
        let lower = below.max_by(nearer).unwrap_or(fall).point();
        let upper = above.min_by(nearer).unwrap_or(rise).point();
        (upper.h - lower.h) / (upper.eta - lower.eta)
    }

    fn clear_rises(&self, seen: &[Evaluation]) -> Vec<Point> {
        let clear = CLEAR_SLOPE * self.resolution;
        let is_clear = |seen: &&Evaluation| seen.rise > clear && seen.rise.is_finite();
        let rises = seen.iter().filter(is_clear);
        let mut rises: Vec<Point> = rises.map(Evaluation::point).collect();
        rises.sort_by(|a, b| a.eta.total_cmp(&b.eta));
        rises
    }

    /// Extrapolates to h(0), which is 0 at a minimum of the loss.
    fn rises_at_once(&self, a: Point, b: Point, seen: &[Evaluation]) -> bool {
        let start = start_of(a, b);
        let error = self.resolution * (b.eta / a.eta + a.eta / b.eta) / (b.eta - a.eta);
        let steepness = (b.h - a.h) / (b.eta - a.eta);
        let predicted = |eta: f64| (start + steepness * eta) * eta;
        let hidden = || seen.iter().filter(|seen| self.hides(seen));
        let agrees = |seen: &Evaluation| {
            (predicted(seen.learning_rate) - seen.rise).abs() <= CLEAR_SLOPE * self.resolution
        };
        if self.says_fall {
            // Rounding found by looks may be jumps of the loss: too little to contradict a slope.
            return !self.is_found && start > error && hidden().all(agrees);
        }
        let has_fallen = |seen: &Evaluation| seen.rise < -HINT_OF_A_FALL * self.resolution;
        let is_no_fall =
            |seen: &Evaluation| predicted(seen.learning_rate) < -CLEAR * self.resolution;
        let shows_none = start > -MINIMUM * error || hidden().any(is_no_fall);
        shows_none && !hidden().any(has_fallen)
    }
}

/// Whether the smallest rises are about proportional to their learning rates, unlike rounding.
fn shrinks_towards_0(seen: &[Evaluation]) -> bool {
    let mut points: Vec<Point> = seen.iter().map(Evaluation::point).collect();
    points.sort_by(|a, b| a.eta.total_cmp(&b.eta));
    match points.as_slice() {
        [a, b, ..] => a.h <= HIDDEN_WITHIN * b.h,
        _ => true,
    }
}
