//! Ground truth about a line, from far more evaluations than a search makes.

use std::collections::HashMap;

const FACTOR: f64 = 1.15;
const NEIGHBOURS: i32 = 9;
const APART: f64 = 0.005;
/// [`Scan::level`] compares with exact values at these fractions of a rate.
const NEARER: [f64; 4] = [1.0, 0.5, 0.2, 0.05];
const BISECTIONS: usize = 26;

/// A dense scan of a rise f(η) = L(θ − ηΔθ) − L(θ), with each rate evaluated once.
pub struct Scan<'a> {
    rise: &'a dyn Fn(f64) -> f64,
    exact: Option<&'a dyn Fn(f64) -> f64>,
    resolution: f64,
    grid: HashMap<i32, f64>,
    levels: HashMap<i32, f64>,
}

impl<'a> Scan<'a> {
    /// `resolution` is the smallest difference of the loss's type, `exact` the same rise in 64 bits, if the two differ
    /// by rounding only.
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

    pub fn resolution(&self) -> f64 {
        self.resolution
    }

    pub fn at(&self, rate: f64) -> f64 {
        (self.rise)(rate)
    }

    /// The grid is independent of the search.
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

    /// Returns how much of f may be rounding: resolution, scatter of neighbours, and distance from exact values.
    pub fn level(&mut self, rate: f64) -> f64 {
        // The loss may explode beyond the rate.
        let cell = (rate.ln() / FACTOR.ln()).floor() as i32;
        if let Some(level) = self.levels.get(&cell) {
            return *level;
        }
        let rate = FACTOR.powi(cell);
        let off = self.exact.map_or(0.0, |exact| {
            let off = |share| (self.at(share * rate) - exact(share * rate)).abs();
            NEARER.map(off).into_iter().fold(0.0, f64::max)
        });
        let parts = [3.0 * self.scatter(rate), off].into_iter();
        let parts = parts.filter(|part| part.is_finite());
        let level = parts.fold(self.resolution, f64::max);
        self.levels.insert(cell, level);
        level
    }

    fn scatter(&self, rate: f64) -> f64 {
        let rises: Vec<f64> = (0..NEIGHBOURS)
            .map(|place| self.at(rate * (1.0 - APART * f64::from(place))))
            .collect();
        let third = |w: &[f64]| (w[3] - 3.0 * w[2] + 3.0 * w[1] - w[0]).abs() / 20f64.sqrt();
        let mut thirds: Vec<f64> = rises.windows(4).map(third).collect();
        thirds.sort_by(f64::total_cmp);
        1.5 * thirds[(thirds.len() - 1) / 2]
    }

    /// Returns the rates with a rise of the line through a level.
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

    pub fn bisected(&self, low: f64, high: f64) -> f64 {
        bisected(low, high, |rate| self.at(rate))
    }
}

/// Returns a rate at which a rise crosses 0.
pub fn bisected(mut low: f64, mut high: f64, rise: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..BISECTIONS {
        let middle = (low * high).sqrt();
        // NaN is above.
        match rise(middle) <= 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    (low * high).sqrt()
}
