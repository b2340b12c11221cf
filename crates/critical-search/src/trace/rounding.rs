//! What may be said of a line where rounding hides its changes.

use super::{Trace, Verdict};
use crate::Outcome;
use crate::shape::{Point, start_of};

/// How many units of the loss's resolution two rises must have for h(0) to be extrapolated from them.
const CLEAR_SLOPE: f64 = 4.0;
/// How far above a change hidden by rounding the next clear rise may be, as a factor, so that no fall
/// worth the name lies between them.
const HIDDEN_WITHIN: f64 = 4.0;
/// The factor by which the judge goes on where rounding hides all.
const ADVANCE: f64 = 16.0;

impl Trace {
    /// What follows from how little was seen: as long as no fall is larger than rounding, there is no
    /// bracket. `None` if rounding hides nothing that matters.
    pub(super) fn verdict_of_rounding(&self) -> Option<Verdict> {
        let seen = &self.evaluations;
        if seen.is_empty() || seen.iter().any(|seen| self.falls_clearly(seen)) {
            return None;
        }
        let rates = |clear: bool| {
            let rises = seen
                .iter()
                .filter(move |seen| self.rises_clearly(seen) == clear);
            rises.map(|seen| seen.learning_rate)
        };
        let Some(rise) = rates(true).min_by(f64::total_cmp) else {
            // All is hidden: look further out.
            let last = rates(false).fold(0.0, f64::max);
            return Some(if last >= self.config.max_learning_rate {
                Verdict::Ended(Outcome::BelowResolution)
            } else {
                Verdict::Needs(self.within_limits(ADVANCE * last))
            });
        };
        let hidden = rates(false).filter(|rate| *rate < rise);
        let Some(hidden) = hidden.max_by(f64::total_cmp) else {
            let at_limit = rise <= self.config.min_learning_rate;
            return at_limit.then_some(Verdict::Ended(Outcome::NotDescent));
        };
        if rise > HIDDEN_WITHIN * hidden {
            return Some(Verdict::Needs((rise * hidden).sqrt()));
        }
        // The hidden change may be at the very root: then the fall is below it.
        let below = 0.25 * hidden..0.75 * hidden;
        let is_searched = rates(false).any(|rate| below.contains(&rate));
        if !is_searched && 0.5 * hidden >= self.config.min_learning_rate {
            return Some(Verdict::Needs(0.5 * hidden));
        }
        Some(Verdict::Ended(if self.rises_at_once() {
            Outcome::NotDescent
        } else {
            Outcome::BelowResolution
        }))
    }

    /// Whether a loss whose slope is not known rises from η = 0 on, by the h(0) that its two smallest
    /// clear rises extrapolate to.
    fn rises_at_once(&self) -> bool {
        let clear = CLEAR_SLOPE * self.line.resolution;
        let mut rises: Vec<Point> = self
            .evaluations
            .iter()
            .filter(|seen| seen.rise > clear && seen.rise.is_finite())
            .map(Point::from)
            .collect();
        rises.sort_by(|a, b| a.eta.total_cmp(&b.eta));
        match (self.line.slope(), rises.as_slice()) {
            (None, [a, b, ..]) => start_of(*a, *b) > 0.0,
            _ => false,
        }
    }
}
