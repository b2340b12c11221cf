use crate::Evaluation;
use crate::line::Trust;
use crate::scatter::Scatter;
use std::ops::RangeInclusive;

/// Places relative to a crossing: close enough to show rounding rather than bends, and out of step with a staircase.
const FIRST: &[f64] = &[0.893, 0.925, 0.974, 1.021, 1.048, 1.097];
const LATER: &[f64] = &[0.901, 0.953, 1.014, 1.038, 1.089];
const LIKELY: &[f64] = &[0.893, 0.931, 0.962, 1.027, 1.063, 1.097];
const FELT: &[f64] = &[0.884, 0.941, 0.963, 0.991, 1.031, 1.069, 1.114];
const APART: f64 = 0.01;
/// A look starts at the first scale if rounding is likely known, otherwise at the second, and moves further out if
/// neighbours agree to the bit.
const SCALES: [f64; 3] = [0.125, 1.0, 4.0];
const CROSSINGS: usize = 3;
const ELSEWHERE: f64 = 1.1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Look {
    #[default]
    No,
    First,
    Again,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RoundingCheck {
    look: Look,
    first_scale: usize,
    scale: usize,
    crossings: usize,
    centre: Option<f64>,
    rounds: usize,
    pending: Vec<f64>,
    pub(crate) scatter: Option<Scatter>,
    earlier: f64,
}

/// The room for more evaluations.
pub(crate) struct Room<'a> {
    pub(crate) limits: RangeInclusive<f64>,
    pub(crate) seen: &'a [Evaluation],
    pub(crate) budget: usize,
}

impl RoundingCheck {
    pub(crate) fn new(look: Look, trust: Trust) -> Self {
        let first_scale = usize::from(trust != Trust::Likely);
        Self {
            look,
            first_scale,
            scale: first_scale,
            ..Self::default()
        }
    }

    pub(crate) fn doubt(&mut self) {
        self.look = Look::First;
    }

    pub(crate) fn pending(&mut self, room: Room<'_>) -> Option<f64> {
        if let Some(next) = self.pending.pop() {
            return Some(next);
        }
        let centre = self.centre?;
        self.scatter = self.scatter_of(centre, room.seen).or(self.scatter);
        let is_flat = self.scatter.is_some_and(|scatter| scatter.is_flat);
        if !is_flat || self.scale + 1 >= SCALES.len() {
            return None;
        }
        self.scale += 1;
        self.place(FIRST, centre, room)
    }

    fn scatter_of(&self, centre: f64, seen: &[Evaluation]) -> Option<Scatter> {
        let points = seen.iter().map(Evaluation::point);
        Scatter::around(centre, SCALES[self.scale], points)
    }

    pub(crate) fn seen(&self, seen: &[Evaluation]) -> Option<f64> {
        let scatter = self.scatter_of(self.centre?, seen)?;
        Some(scatter.resolution().max(self.earlier))
    }

    pub(crate) fn choose(&mut self, crossing: f64, room: Room<'_>) -> Option<f64> {
        let is_elsewhere = self
            .centre
            .is_none_or(|centre| (crossing / centre).max(centre / crossing) > ELSEWHERE);
        let is_felt = self.scatter.is_none_or(|scatter| scatter.is_felt());
        // Look at the first crossing in any case, at others only if rounding may have made them.
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
        let next = self.place(places, crossing, room)?;
        self.rounds += 1;
        Some(next)
    }

    fn place(&mut self, places: &[f64], crossing: f64, room: Room<'_>) -> Option<f64> {
        let Room {
            limits,
            seen,
            budget,
        } = room;
        let scale = SCALES[self.scale];
        let is_new = |place: &f64| {
            let mut rates = seen.iter().map(|seen| seen.learning_rate);
            limits.contains(place) && !rates.any(|rate| (place / rate - 1.0).abs() < APART * scale)
        };
        let places = places.iter().rev();
        let rates = places.map(|place| (1.0 + (place - 1.0) * scale) * crossing);
        let pending: Vec<f64> = rates.filter(is_new).collect();
        if pending.len() > budget {
            return None;
        }
        self.pending = pending;
        self.pending.pop()
    }
}
