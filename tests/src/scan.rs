//! The truth about a line, by far more evaluations than a search makes.

use std::collections::HashMap;

/// The factor between neighbours of the grid.
const FACTOR: f64 = 1.15;
/// The evaluations that show how much a line scatters, and how far apart they are.
const NEIGHBOURS: i32 = 9;
const APART: f64 = 0.005;
/// How much of its distance from exact values counts at a place: those at these shares of it, too.
const NEARER: [f64; 4] = [1.0, 0.5, 0.2, 0.05];
const BISECTIONS: usize = 26;

/// A dense scan of a rise f(η) = L(θ − ηΔθ) − L(θ): each place is evaluated once.
pub struct Scan<'a> {
    rise: &'a dyn Fn(f64) -> f64,
    exact: Option<&'a dyn Fn(f64) -> f64>,
    resolution: f64,
    grid: HashMap<i32, f64>,
    levels: HashMap<i32, f64>,
}

impl<'a> Scan<'a> {
    /// Of a rise whose smallest differences are `resolution`, by the type of the loss. `exact` is the same in 64 bits, where
    /// that makes a difference of rounding only.
    pub fn new(
        rise: &'a dyn Fn(f64) -> f64,
        exact: Option<&'a dyn Fn(f64) -> f64>,
        resolution: f64,
    ) -> Self {
        Self {
            rise,
            exact,
            resolution,
            grid: HashMap::new(),
            levels: HashMap::new(),
        }
    }

    /// The smallest difference that the type of the loss has.
    pub fn resolution(&self) -> f64 {
        self.resolution
    }

    /// f(η).
    pub fn at(&self, rate: f64) -> f64 {
        (self.rise)(rate)
    }

    /// The points of the grid from one rate to another, which does not know where a search has looked.
    pub fn over(&mut self, from: f64, to: f64) -> Vec<(f64, f64)> {
        let cell = |rate: f64| rate.ln() / FACTOR.ln();
        let (from, to) = (cell(from).floor() as i32, cell(to).ceil() as i32);
        (from..=to)
            .map(|cell| {
                let rate = FACTOR.powi(cell);
                let rise = self.rise;
                (rate, *self.grid.entry(cell).or_insert_with(|| rise(rate)))
            })
            .collect()
    }

    /// What may be rounding at a rate: what the type of the loss leaves out, what neighbours scatter by, and how far all is
    /// from exact values on the way there.
    pub fn level(&mut self, rate: f64) -> f64 {
        let cell = (rate.ln() / FACTOR.ln()).round() as i32;
        if let Some(level) = self.levels.get(&cell) {
            return *level;
        }
        let rate = FACTOR.powi(cell);
        let off = self.exact.map_or(0.0, |exact| {
            let off = |share| (self.at(share * rate) - exact(share * rate)).abs();
            NEARER.map(off).into_iter().fold(0.0, f64::max)
        });
        // What is not finite there is no rounding.
        let parts = [3.0 * self.scatter(rate), off].into_iter();
        let parts = parts.filter(|part| part.is_finite());
        let level = parts.fold(self.resolution, f64::max);
        self.levels.insert(cell, level);
        level
    }

    /// How far neighbours are from a smooth curve: a kink or a jump among them does not count, nor how steeply the line
    /// rises afterwards.
    fn scatter(&self, rate: f64) -> f64 {
        let rises: Vec<f64> = (0..NEIGHBOURS)
            .map(|place| self.at(rate * (1.0 - APART * f64::from(place))))
            .collect();
        let third = |w: &[f64]| (w[3] - 3.0 * w[2] + 3.0 * w[1] - w[0]).abs() / 20f64.sqrt();
        let mut thirds: Vec<f64> = rises.windows(4).map(third).collect();
        thirds.sort_by(f64::total_cmp);
        1.5 * thirds[(thirds.len() - 1) / 2]
    }

    /// Where the line goes from below a level to above it, from one rate to another.
    pub fn crossings(&mut self, from: f64, to: f64, level: f64) -> Vec<f64> {
        let mut crossings = Vec::new();
        let mut last_fall = None;
        for (rate, rise) in self.over(from, to) {
            if rise < -level {
                last_fall = Some(rate);
            } else if (rise > level || rise.is_nan())
                && let Some(fall) = last_fall.take()
            {
                crossings.push(self.bisected(fall, rate));
            }
        }
        crossings
    }

    /// Where the line crosses 0 between a rate at which it does not rise and one at which it does.
    pub fn bisected(&self, mut low: f64, mut high: f64) -> f64 {
        for _ in 0..BISECTIONS {
            let middle = (low * high).sqrt();
            if self.at(middle) <= 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low * high).sqrt()
    }
}
