use crate::shape::{Point, sorted};

const REACH: f64 = 0.12;
/// The smooth curve is f = η(a + bη + cη² + dη³), without d if all evaluations lie close together.
const COEFFICIENTS: usize = 4;
const COEFFICIENTS_NEARBY: usize = 3;
const DEVIATIONS: f64 = 2.0;
const UNCERTAINTY: f64 = 4.0;
/// The resolution that matters to η_c, relative to the largest change nearby.
const FELT: f64 = 0.005;

/// The rise that shows an explosion, in deepest falls.
const EXPLODED: f64 = 64.0;
/// The largest part of the deviation that remains after a believable jump: chance leaves a third.
const JUMP: f64 = 0.1;
const ENOUGH: usize = 3;
const COARSE: f64 = 16.0;
/// The largest change to compare for a quantum, in deepest falls.
const SMALL: f64 = 8.0;
/// The error of rounding in steps, if neighbours share a step.
const FEW_STEPS: f64 = 3.0;
const SAME: f64 = 1e-9;
const MULTIPLE: f64 = 1e-3;

/// Measures how evaluations near one learning rate scatter about a smooth curve.
///
/// A loss computed in 16-bit floats is a staircase, whatever type it is returned in. The residual of f about a quartic
/// without a constant (a cubic, if all evaluations lie close together) shows the
/// steps, or a bend that no such curve follows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Scatter {
    deviation: f64,
    degrees: usize,
    step: f64,
    largest: f64,
    /// Whether half of all neighbours agree to the bit, on one tread of a staircase.
    pub(crate) is_flat: bool,
}

impl Scatter {
    /// `scale` is the part of the full reach to use.
    pub(crate) fn around(
        centre: f64,
        scale: f64,
        points: impl Iterator<Item = Point>,
    ) -> Option<Self> {
        let all: Vec<(f64, f64)> = points
            .filter(|point| point.h.is_finite())
            .map(|point| ((point.eta / centre - 1.0) / scale, point.h * point.eta))
            .collect();
        let is_near = |(t, _): &&(f64, f64)| t.abs() <= REACH;
        let near: Vec<(f64, f64)> = all.iter().filter(is_near).copied().collect();
        let coefficients = if scale < 1.0 {
            COEFFICIENTS_NEARBY
        } else {
            COEFFICIENTS
        };
        let smooth = left(&near, scale, coefficients, None)?;
        // A mixture of experts may route an example elsewhere, so that the loss jumps: this is no rounding.
        let gaps = near.iter().map(|(t, _)| *t).filter(|_| scale < 1.0);
        let jumps = gaps.filter_map(|gap| left(&near, scale, COEFFICIENTS, Some(gap)));
        // If the loss explodes beyond the crossing, the falls show rounding.
        let deepest = largest(all.iter().map(|(_, rise)| -rise));
        let highest = largest(near.iter().map(|(_, rise)| *rise));
        let explodes = highest > EXPLODED * deepest;
        let falls = near.iter().filter(|(_, rise)| explodes && *rise <= 0.0);
        let falls: Vec<(f64, f64)> = falls.copied().collect();
        let falls = left(&falls, scale, coefficients, None);
        let parts = jumps
            .chain(falls)
            .filter(|part| part.1 > 1 && part.0 < JUMP * smooth.0);
        let part = parts.min_by(|a, b| a.0.total_cmp(&b.0));
        let (deviation, degrees) = part.unwrap_or(smooth);
        Some(Self {
            deviation,
            degrees,
            step: step(&near, &all),
            // f is nearly straight: extrapolate to the full reach.
            largest: largest(near.iter().map(|(_, rise)| rise.abs())) / scale.min(1.0),
            is_flat: is_flat(&near),
        })
    }

    /// Returns the standard deviation of a rise.
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// Returns the number of evaluations beyond the coefficients of the curve.
    pub fn degrees(&self) -> usize {
        self.degrees
    }

    pub(crate) fn resolution(&self) -> f64 {
        let steps = if self.is_flat { FEW_STEPS } else { 1.0 };
        resolution(self.deviation, self.degrees).max(steps * self.step)
    }

    pub(crate) fn pooled<'a>(looks: impl Iterator<Item = &'a Self>) -> Option<f64> {
        let (mut squares, mut degrees, mut step) = (0.0, 0, 0.0_f64);
        for look in looks {
            squares += look.deviation.powi(2) * look.degrees as f64;
            degrees += look.degrees;
            step = step.max(look.step);
        }
        (degrees > 0).then(|| resolution((squares / degrees as f64).sqrt(), degrees).max(step))
    }

    pub(crate) fn is_felt(&self) -> bool {
        self.would_feel(self.resolution())
    }

    pub(crate) fn would_feel(&self, resolution: f64) -> bool {
        resolution > FELT * self.largest
    }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// Widens the deviation of a few evaluations, which may agree by chance.
fn resolution(deviation: f64, degrees: usize) -> f64 {
    DEVIATIONS * deviation * (1.0 + UNCERTAINTY / degrees as f64)
}

/// `grain` is the much smaller unit of the loss itself.
pub(crate) fn quantum(rises: impl Iterator<Item = f64>, grain: f64) -> Option<f64> {
    let mut rises: Vec<f64> = rises.filter(|rise| rise.is_finite()).collect();
    let deepest = largest(rises.iter().map(|rise| -rise));
    rises.retain(|rise| rise.abs() <= SMALL * deepest);
    rises.push(0.0);
    rises.sort_by(f64::total_cmp);
    rises.dedup_by(|a, b| *a - *b <= grain);
    let steps = rises.windows(2).map(|pair| pair[1] - pair[0]);
    let quantum = steps.min_by(f64::total_cmp)?;
    let is_multiple = |rise: &f64| {
        let off = rise - (rise / quantum).round() * quantum;
        off.abs() <= MULTIPLE * rise.abs() + grain
    };
    let is_quantum = rises.len() > ENOUGH && quantum > COARSE * grain;
    (is_quantum && rises.iter().all(is_multiple)).then_some(quantum)
}

fn is_flat(near: &[(f64, f64)]) -> bool {
    let mut near = near.to_vec();
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    let pairs = near.windows(2);
    let same = pairs.clone().filter(|pair| pair[0].1 == pair[1].1).count();
    2 * same >= pairs.count()
}

/// Returns the smallest difference between rises if all are multiples of it, otherwise 0.
fn step(near: &[(f64, f64)], all: &[(f64, f64)]) -> f64 {
    let rises_of =
        |points: &[(f64, f64)]| sorted(points.iter().map(|(_, rise)| *rise).chain([0.0]));
    let least_of = |rises: &[f64]| {
        let largest = largest(rises.iter().map(|rise| rise.abs()));
        let steps = rises.windows(2).map(|pair| pair[1] - pair[0]);
        let steps = steps.filter(|step| *step > SAME * largest);
        steps.min_by(f64::total_cmp)
    };
    let rises = rises_of(near);
    let least = least_of(&rises).or_else(|| least_of(&rises_of(all)));
    least
        .filter(|least| rises.iter().all(|rise| is_multiple(*rise, *least)))
        .unwrap_or(0.0)
}

fn is_multiple(value: f64, of: f64) -> bool {
    let times = value / of;
    (times - times.round()).abs() <= MULTIPLE * times.abs().max(1.0)
}

/// Returns the terms of the curve at u = 1 + scale·t, the last of them a step at a jump.
fn powers(t: f64, scale: f64, jump: Option<f64>) -> [f64; COEFFICIENTS] {
    let u = 1.0 + scale * t;
    let last = jump.map_or(u * t * t * t, |place| f64::from(u8::from(t > place)));
    [u, u * t, u * t * t, last]
}

/// Returns the residual standard deviation, and its degrees of freedom.
fn left(
    points: &[(f64, f64)],
    scale: f64,
    coefficients: usize,
    jump: Option<f64>,
) -> Option<(f64, usize)> {
    let degrees = points.len().checked_sub(coefficients).filter(|d| *d > 0)?;
    let fit = fit(points, scale, coefficients, jump)?;
    let value = |t: f64| -> f64 {
        let terms = fit.iter().zip(powers(t, scale, jump));
        terms.map(|(coefficient, power)| coefficient * power).sum()
    };
    let squares = points.iter().map(|(t, rise)| (rise - value(*t)).powi(2));
    Some(((squares.sum::<f64>() / degrees as f64).sqrt(), degrees))
}

fn fit(
    points: &[(f64, f64)],
    scale: f64,
    count: usize,
    jump: Option<f64>,
) -> Option<[f64; COEFFICIENTS]> {
    let mut rows = [[0.0; COEFFICIENTS + 1]; COEFFICIENTS];
    for (t, rise) in points {
        let powers = powers(*t, scale, jump);
        for (row, power) in rows.iter_mut().zip(powers) {
            for (cell, other) in row.iter_mut().zip(powers.iter().chain([rise])) {
                *cell += power * other;
            }
        }
    }
    // The matrix is positive definite, so elimination needs no pivots.
    for pivot in 0..count {
        let above = rows[pivot];
        for row in rows.iter_mut().take(count).skip(pivot + 1) {
            let factor = row[pivot] / above[pivot];
            for (cell, cell_above) in row.iter_mut().zip(above) {
                *cell -= factor * cell_above;
            }
        }
    }
    let mut solution = [0.0; COEFFICIENTS];
    for index in (0..count).rev() {
        let row = rows[index];
        let known: f64 = (index + 1..count)
            .map(|column| row[column] * solution[column])
            .sum();
        solution[index] = (row[COEFFICIENTS] - known) / row[index];
    }
    solution.iter().all(|c| c.is_finite()).then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<const N: usize>(places: [f64; N], f: impl Fn(f64) -> f64) -> [Point; N] {
        places.map(|u| Point {
            eta: 0.1 * u,
            h: f(u) / (0.1 * u),
        })
    }

    fn points(f: impl Fn(f64) -> f64) -> impl Iterator<Item = Point> {
        let places = [0.89, 0.92, 0.95, 0.97, 1.0, 1.04, 1.08, 1.11, 3.0];
        at(places, f).into_iter()
    }

    #[test]
    fn a_smooth_curve_has_no_scatter_and_a_staircase_that_of_its_steps() {
        let cubic = |u: f64| 3.0 * u * (u - 1.0) * (u + 2.0);
        let none = Scatter::around(0.1, 1.0, points(cubic)).unwrap();
        assert!(none.deviation() < 1e-13, "{none:?}");
        assert_eq!(none.degrees(), 4);
        assert!(!none.is_felt());

        let step = 0.1;
        let staircase = |u: f64| (cubic(u) / step).round() * step;
        let seen = Scatter::around(0.1, 1.0, points(staircase)).unwrap();
        let ratio = seen.deviation() / (step / 12f64.sqrt());
        assert!((0.4..2.5).contains(&ratio), "{seen:?}");
        assert!(seen.is_felt());
    }

    #[test]
    fn nearby_a_bend_is_no_scatter_either() {
        let near = |f: fn(f64) -> f64| at([0.987, 0.994, 1.004, 1.012], f).into_iter();
        let bent = |u: f64| (u.powi(12) - 1.0) * u;
        let seen = Scatter::around(0.1, 0.125, near(bent)).unwrap();
        assert_eq!(seen.degrees(), 1);
        assert!(!seen.is_felt(), "{seen:?}");

        let staircase = |u: f64| (50.0 * (u * u - 1.0)).round() / 50.0;
        let seen = Scatter::around(0.1, 0.125, near(staircase)).unwrap();
        assert!(seen.is_felt(), "{seen:?}");
    }

    #[test]
    fn four_evaluations_have_no_scatter() {
        assert_eq!(Scatter::around(0.1, 1.0, points(|u| u).take(4)), None);
        let with_nan = |u: f64| if u > 0.95 { f64::NAN } else { u };
        assert_eq!(Scatter::around(0.1, 1.0, points(with_nan)), None);
    }
}
