//! What may be said of a line where rounding hides its changes.

use crate::outcome::Verdict;
use crate::shape::{Point, start_of};
use crate::{Evaluation, LossLine, Outcome, SearchConfig};

/// A change of more than this many times the loss's resolution is more than rounding can make.
const CLEAR: f64 = 2.0;
/// Two rises of more than this many times the loss's resolution are large enough to extrapolate h(0) from.
const CLEAR_SLOPE: f64 = 4.0;
/// Between a change that rounding hides and a clear rise there is no room for a fall if their learning rates are no
/// further apart than this factor.
const HIDDEN_WITHIN: f64 = 4.0;
/// The factor to the next learning rate where rounding hides every change so far.
const ADVANCE: f64 = 16.0;

/// What rounding hides on a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounding {
    resolution: f64,
    known_slope: Option<f64>,
}

impl Rounding {
    pub(crate) fn of(line: &LossLine) -> Self {
        Self {
            resolution: line.resolution(),
            known_slope: line.slope(),
        }
    }

    /// Whether the loss rises by more than rounding can do.
    pub(crate) fn rises(&self, seen: &Evaluation) -> bool {
        seen.rise > CLEAR * self.resolution
    }

    /// Whether the loss falls by more than rounding can do.
    pub(crate) fn falls(&self, seen: &Evaluation) -> bool {
        seen.rise < -CLEAR * self.resolution
    }

    /// Whether rounding may have made all of the change.
    pub(crate) fn hides(&self, seen: &Evaluation) -> bool {
        !self.rises(seen) && !self.falls(seen)
    }

    /// What follows from how little was seen: as long as no fall before the first rise is larger than
    /// rounding, there is no bracket. `None` if rounding hides nothing that matters.
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
            // All is hidden: look further out.
            let last = rates(false).fold(0.0, f64::max);
            return Some(if last >= config.max_learning_rate {
                Verdict::Ended(Outcome::BelowResolution)
            } else {
                Verdict::Needs((ADVANCE * last).min(config.max_learning_rate))
            });
        };
        let hidden = rates(false).filter(|rate| *rate < rise);
        let Some(hidden) = hidden.max_by(f64::total_cmp) else {
            let at_limit = rise <= config.min_learning_rate;
            return at_limit.then_some(Verdict::Ended(Outcome::NotDescent));
        };
        if rise > HIDDEN_WITHIN * hidden {
            return Some(Verdict::Needs((rise * hidden).sqrt()));
        }
        // The hidden change may be at the very root: then the fall is below it.
        let below = 0.25 * hidden..0.75 * hidden;
        let is_searched = rates(false).any(|rate| below.contains(&rate));
        if !is_searched && 0.5 * hidden >= config.min_learning_rate {
            return Some(Verdict::Needs(0.5 * hidden));
        }
        Some(Verdict::Ended(if self.rises_at_once(seen) {
            Outcome::NotDescent
        } else {
            Outcome::BelowResolution
        }))
    }

    /// Whether a loss whose slope is not known rises from η = 0 on, by the h(0) that its two smallest
    /// clear rises extrapolate to.
    fn rises_at_once(&self, seen: &[Evaluation]) -> bool {
        let clear = CLEAR_SLOPE * self.resolution;
        let mut rises: Vec<Point> = seen
            .iter()
            .filter(|seen| seen.rise > clear && seen.rise.is_finite())
            .map(Evaluation::point)
            .collect();
        rises.sort_by(|a, b| a.eta.total_cmp(&b.eta));
        match (self.known_slope, rises.as_slice()) {
            (None, [a, b, ..]) => start_of(*a, *b) > 0.0,
            _ => false,
        }
    }
}
