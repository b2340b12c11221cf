//! Looking at what rounding does to a line, where nothing but evaluations can tell.

use crate::Evaluation;
use crate::line::Trust;
use crate::scatter::Scatter;

/// Where to evaluate around a crossing, in parts of it: at the first line of a run, at later ones, and what is added
/// where rounding is felt.
///
/// They lie so close to each other that the bends of the loss do not show, and rounding does; and not in step with
/// any staircase.
const FIRST: &[f64] = &[0.893, 0.925, 0.974, 1.021, 1.048, 1.097];
const LATER: &[f64] = &[0.901, 0.953, 1.014, 1.038, 1.089];
/// The same where rounding is likely known: they lie closer still ([`CLOSE`]), so that fewer do.
const LIKELY: &[f64] = &[0.893, 0.955, 1.031, 1.097];
const FELT: &[f64] = &[0.884, 0.941, 0.963, 0.991, 1.031, 1.069, 1.114];
/// Evaluations as near to each other as this see the same rounding.
const APART: f64 = 0.01;
/// The part of all these distances that is kept where a loss and all parameters have 32 bits. Weights of 16 bits would often
/// be the same ones at places so close together; these are not, and the loss of a real network bends so much within 12% of
/// its crossing that it would pass for rounding.
const CLOSE: f64 = 0.125;
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
    trust: Trust,
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
        Self {
            look,
            trust,
            ..Self::default()
        }
    }

    /// The part of the distances between evaluations that is kept.
    fn scale(&self) -> f64 {
        match self.trust {
            Trust::Likely => CLOSE,
            Trust::Known | Trust::Unknown => 1.0,
        }
    }

    /// What was seen around the last crossing.
    pub(crate) fn scatter(&self) -> Option<Scatter> {
        self.scatter
    }

    /// The next place to evaluate, of those that were chosen.
    pub(crate) fn pending(&mut self) -> Option<f64> {
        self.pending.pop()
    }

    /// The resolution that the evaluations show, once those around a crossing are made.
    pub(crate) fn look(&mut self, seen: &[Evaluation]) -> Option<f64> {
        let points = seen.iter().map(Evaluation::point);
        let scatter = Scatter::around(self.centre?, self.scale(), points);
        self.scatter = scatter.or(self.scatter);
        scatter.map(|scatter| scatter.resolution().max(self.earlier))
    }

    /// Chooses places around a crossing that the search is about to report, if there is anything left to
    /// look at and at most `budget` evaluations do it. Says whether it did.
    pub(crate) fn choose(
        &mut self,
        crossing: f64,
        limits: std::ops::RangeInclusive<f64>,
        seen: &[Evaluation],
        budget: usize,
    ) -> bool {
        let is_elsewhere = self
            .centre
            .is_none_or(|centre| (crossing / centre).max(centre / crossing) > ELSEWHERE);
        let is_felt = self.scatter.is_none_or(|scatter| scatter.is_felt());
        // The first crossing is looked at in any case, others only if rounding may have made them.
        if self.look == Look::No || !is_felt {
            return false;
        }
        if is_elsewhere {
            if self.crossings == CROSSINGS {
                return false;
            }
            self.crossings += 1;
            let seen = self.scatter.map_or(0.0, |scatter| scatter.resolution());
            self.earlier = self.earlier.max(seen);
            self.centre = Some(crossing);
            self.rounds = 0;
        }
        let places = match (self.rounds, self.look, self.trust) {
            (0, _, Trust::Likely) => LIKELY,
            (0, Look::First, _) => FIRST,
            (0, ..) => LATER,
            (1, ..) => FELT,
            _ => return false,
        };
        let scale = self.scale();
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
        if pending.is_empty() || pending.len() > budget {
            return false;
        }
        self.rounds += 1;
        self.pending = pending;
        true
    }
}
