//! The truth about a line, by far more evaluations than a search makes.

/// How much of η_c the evaluations that show the noise are apart.
const NEAR: f64 = 0.02;
/// The evaluations that show it.
const NOISE_POINTS: usize = 9;
/// The points of the grid, and its factor.
const GRID: usize = 30;
const FACTOR: f64 = 1.15;
const BISECTIONS: usize = 10;

/// What a dense scan of a loss along a direction has found.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Where the loss rises above its start by more than its noise for good, up to 1.3 times the η_c that was
    /// reported: the crossing lies between the last place at which it is lower and the first at which it is
    /// higher.
    pub crossing: Option<(f64, f64)>,
    /// An earlier place at which it was higher, if there is one.
    pub earlier_rise: Option<f64>,
    /// How far a rise is off a smooth curve, at most.
    pub noise: f64,
}

impl Scan {
    /// Scans f(η) = L(θ − ηΔθ) − L(θ) around the η_c that was reported.
    pub fn around(critical_lr: f64, rise: impl Fn(f64) -> f64) -> Self {
        let noise = noise_around(critical_lr, &rise);
        // From far above to far below, a grid that does not know where the search looked.
        let top = 1.3 * critical_lr;
        let grid: Vec<(f64, f64)> = (0..GRID)
            .map(|index| top / FACTOR.powi(index as i32))
            .map(|rate| (rate, rise(rate)))
            .collect();
        // A fall that the noise hides is looked for by its sign alone.
        let falls = |noise: f64| grid.iter().position(|(_, rise)| *rise < -noise);
        let level = if falls(noise).is_some() { noise } else { 0.0 };
        let last_fall = falls(level);
        let crossing = last_fall.and_then(|index| {
            let (fall, _) = grid[index];
            let above = grid[..index].iter().rev();
            let (above, _) = above.into_iter().find(|(_, rise)| is_above(*rise, level))?;
            Some((
                bisect(fall, *above, |rate| rise(rate) < -level),
                bisect(fall, *above, |rate| rise(rate) <= level),
            ))
        });
        let earlier = last_fall.map_or(&grid[..], |index| &grid[index..]);
        let earlier_rise = earlier
            .iter()
            .rev()
            .find(|(_, rise)| is_above(*rise, noise));
        Self {
            crossing,
            earlier_rise: earlier_rise.map(|(rate, _)| *rate),
            noise,
        }
    }

    /// By what factor a rate is outside of the crossing; 0 if it lies in it.
    pub fn distance(&self, rate: f64) -> Option<f64> {
        let (low, high) = self.crossing?;
        Some((low / rate - 1.0).max(rate / high - 1.0).max(0.0))
    }
}

/// The largest distance of evaluations near a place from the parabola through them.
pub fn noise_around(rate: f64, rise: &impl Fn(f64) -> f64) -> f64 {
    let half = (NOISE_POINTS / 2) as f64;
    let points: Vec<(f64, f64)> = (0..NOISE_POINTS)
        .map(|index| (index as f64 - half) / half)
        .map(|t| (t, rise(rate * (1.0 + NEAR * t))))
        .collect();
    // Evenly spaced t: 1, t and t² − mean t² are orthogonal.
    let count = NOISE_POINTS as f64;
    let mean_square = points.iter().map(|(t, _)| t * t).sum::<f64>() / count;
    let basis = |t: f64| [1.0, t, t * t - mean_square];
    let mut fit = [0.0; 3];
    for (index, coefficient) in fit.iter_mut().enumerate() {
        let product: f64 = points.iter().map(|(t, y)| basis(*t)[index] * y).sum();
        let length: f64 = points.iter().map(|(t, _)| basis(*t)[index].powi(2)).sum();
        *coefficient = product / length;
    }
    let value = |t: f64| -> f64 { basis(t).iter().zip(fit).map(|(b, c)| b * c).sum() };
    points
        .iter()
        .map(|(t, y)| (y - value(*t)).abs())
        .fold(0.0, f64::max)
}

/// Whether a rise is more than noise. NaN is.
fn is_above(rise: f64, noise: f64) -> bool {
    rise > noise || rise.is_nan()
}

/// Where a condition that holds at `from` and not at `to` ceases to.
fn bisect(from: f64, to: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut from, mut to) = (from, to);
    for _ in 0..BISECTIONS {
        let middle = (from * to).sqrt();
        if holds(middle) {
            from = middle;
        } else {
            to = middle;
        }
    }
    (from * to).sqrt()
}
