//! Looking at what rounding does to a line, where nothing but evaluations can tell.

use crate::Evaluation;
use crate::line::Trust;
use crate::scatter::Scatter;
use std::ops::RangeInclusive;

/// Where to evaluate around a crossing, in parts of it: at the first line of a run, at later ones, and what is added
/// where rounding is felt.
///
/// They lie so close to each other that the bends of the loss do not show, and rounding does; and not in step with
/// any staircase.
const FIRST: &[f64] = &[0.893, 0.925, 0.974, 1.021, 1.048, 1.097];
const LATER: &[f64] = &[0.901, 0.953, 1.014, 1.038, 1.089];
/// The same where rounding is likely known: they lie closer still ([`SCALES`]).
const LIKELY: &[f64] = &[0.893, 0.931, 0.962, 1.027, 1.063, 1.097];
const FELT: &[f64] = &[0.884, 0.941, 0.963, 0.991, 1.031, 1.069, 1.114];
/// Evaluations as near to each other as this see the same rounding.
const APART: f64 = 0.01;
/// What all these distances are multiplied by. A look begins at the first scale where a loss and all parameters have 32 bits, since
/// the loss of a real network bends so much within 12% of its crossing that it would pass for rounding; and at the second one
/// elsewhere, since weights of 16 bits are often the same ones at places so close together. It goes on to the next scale where
/// neighbours are the same to the bit: a staircase may be flat over a factor.
const SCALES: [f64; 3] = [0.125, 1.0, 4.0];
/// The crossings around which to look, at most: what rounding does was seen to make the one before.
const CROSSINGS: usize = 3;
/// The factor from one crossing to another from which on its surroundings are others.
const ELSEWHERE: f64 = 1.1;

/// Whether to look at the rounding of a line, and how closely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Look {
    #[default]
    No,
    First,
    Again,
}

/// The evaluations that look at the rounding of a line, and what they have shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundingCheck {
    look: Look,
    /// The index of the scale at which a look begins, and of the one at which it is.
    first_scale: usize,
    scale: usize,
    crossings: usize,
    centre: Option<f64>,
    rounds: usize,
    pending: Vec<f64>,
    scatter: Option<Scatter>,
    /// The resolution that was seen around earlier crossings.
    earlier: f64,
}

impl RoundingCheck {
    /// Looks at a line whose resolution deserves this trust.
    pub(crate) fn new(look: Look, trust: Trust) -> Self {
        let first_scale = usize::from(trust != Trust::Likely);
        Self {
            look,
            first_scale,
            scale: first_scale,
            ..Self::default()
        }
    }

    /// Looks, whether or not that is due.
    pub(crate) fn doubt(&mut self) {
        self.look = Look::First;
    }

    /// What was seen around the last crossing.
    pub(crate) fn scatter(&self) -> Option<Scatter> {
        self.scatter
    }

    /// The next place to evaluate, of those that were chosen; at the next scale if these were too close to each other.
    pub(crate) fn pending(
        &mut self,
        limits: RangeInclusive<f64>,
        seen: &[Evaluation],
        budget: usize,
    ) -> Option<f64> {
        if let Some(next) = self.pending.pop() {
            return Some(next);
        }
        let centre = self.centre?;
        self.scatter = self.scatter_of(centre, seen).or(self.scatter);
        let is_flat = self.scatter.is_some_and(|scatter| scatter.is_flat());
        if !is_flat || self.scale + 1 >= SCALES.len() {
            return None;
        }
        self.scale += 1;
        self.place(FIRST, centre, limits, seen, budget)
    }

    fn scatter_of(&self, centre: f64, seen: &[Evaluation]) -> Option<Scatter> {
        let points = seen.iter().map(Evaluation::point);
        Scatter::around(centre, SCALES[self.scale], points)
    }

    /// The resolution that the evaluations show, once those around a crossing are made.
    pub(crate) fn seen(&self, seen: &[Evaluation]) -> Option<f64> {
        let scatter = self.scatter_of(self.centre?, seen)?;
        Some(scatter.resolution().max(self.earlier))
    }

    /// Chooses places around a crossing that the search is about to report, if there is anything left to
    /// look at and at most `budget` evaluations do it. Returns the first.
    pub(crate) fn choose(
        &mut self,
        crossing: f64,
        limits: RangeInclusive<f64>,
        seen: &[Evaluation],
        budget: usize,
    ) -> Option<f64> {
        let is_elsewhere = self
            .centre
            .is_none_or(|centre| (crossing / centre).max(centre / crossing) > ELSEWHERE);
        let is_felt = self.scatter.is_none_or(|scatter| scatter.is_felt());
        // The first crossing is looked at in any case, others only if rounding may have made them.
        if self.look == Look::No || !is_felt {
            return None;
        }
        if is_elsewhere {
            if self.crossings == CROSSINGS {
                return None;
            }
            self.crossings += 1;
            let seen = self.scatter.map_or(0.0, |scatter| scatter.resolution());
            self.earlier = self.earlier.max(seen);
            self.centre = Some(crossing);
            self.rounds = 0;
            self.scale = self.first_scale;
        }
        let places = match (self.rounds, self.look) {
            (0, _) if self.scale == 0 => LIKELY,
            (0, Look::First) => FIRST,
            (0, _) => LATER,
            (1, _) => FELT,
            _ => return None,
        };
        let next = self.place(places, crossing, limits, seen, budget)?;
        self.rounds += 1;
        Some(next)
    }

    /// Chooses these places, as far as they are new, and returns the first.
    fn place(
        &mut self,
        places: &[f64],
        crossing: f64,
        limits: RangeInclusive<f64>,
        seen: &[Evaluation],
        budget: usize,
    ) -> Option<f64> {
        let scale = SCALES[self.scale];
        let is_new = |place: &f64| {
            let mut rates = seen.iter().map(|seen| seen.learning_rate);
            limits.contains(place) && !rates.any(|rate| (place / rate - 1.0).abs() < APART * scale)
        };
        let pending: Vec<f64> = places
            .iter()
            .rev()
            .map(|place| (1.0 + (place - 1.0) * scale) * crossing)
            .filter(is_new)
            .collect();
        if pending.len() > budget {
            return None;
        }
        self.pending = pending;
        self.pending.pop()
    }
}
