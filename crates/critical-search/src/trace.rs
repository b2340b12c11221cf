use crate::calibration::Calibration;
use crate::line::{Slope, Trust};
use crate::outcome::deepest_fall;
use crate::rounding::Rounding;
use crate::scatter::quantum;
use crate::shape::{Crossing, Point, explosiveness, jumpiness};
use crate::{Evaluation, Guess, LossLine, Method, Rise, SearchConfig};

/// The relative error by rounding that a look may miss.
const OVERLOOKED: f64 = 0.001;
/// The error of rounding, in quanta of the loss.
const QUANTA: f64 = 4.0;
/// A first measurement of this many evaluations accepts an error larger by `LENIENCY`.
const LONG: std::ops::RangeInclusive<usize> = 7..=8;
const LENIENCY: f64 = 6.0;
/// The width and the explosiveness beyond which no bracket is accepted with such an error.
const WIDE: f64 = 0.1;
const EXPLOSIVE: f64 = 0.5;
/// The factor within which neighbours of a bracket show whether the loss jumps inside.
const NEIGHBOURHOOD: f64 = 2.0;

/// Evaluations between these shares of the lower end show how deep the loss falls.
const MIDDLE: std::ops::RangeInclusive<f64> = 0.25..=0.75;

pub(crate) struct Trace {
    pub(crate) config: SearchConfig,
    pub(crate) line: LossLine,
    /// The least resolution, which no look lowers.
    told_resolution: f64,
    seen_resolution: f64,
    pub(crate) method: Method,
    pub(crate) rounding: Rounding,
    pub(crate) calibration: Calibration,
    is_first: bool,
    evaluations: Vec<Evaluation>,
    expected: Vec<Option<f64>>,
}

impl Trace {
    pub(crate) fn new(
        config: SearchConfig,
        line: LossLine,
        told_resolution: f64,
        method: Method,
        guess: &Guess,
    ) -> Self {
        Self {
            config,
            line,
            told_resolution,
            seen_resolution: line.resolution,
            method,
            rounding: Rounding::of(&line),
            calibration: match method {
                Method::Guided => guess.calibration,
                Method::Published => Calibration::default(),
            },
            is_first: !guess.is_measured(),
            evaluations: Vec::with_capacity(config.max_evaluations.min(16)),
            expected: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, learning_rate: f64, rise: Rise, expected: Option<f64>) {
        let is_finite = rise.value.is_finite();
        self.evaluations.push(Evaluation {
            learning_rate,
            rise: if is_finite { rise.value } else { f64::INFINITY },
            standard_error: rise.standard_error.filter(|error| error.is_finite()),
        });
        self.expected.push(expected);
        self.resolve();
    }

    pub(crate) fn set_resolution(&mut self, seen: f64) {
        self.seen_resolution = seen.max(self.told_resolution);
        self.resolve();
    }

    /// Raises the resolution to a few quanta if all changes come in quanta.
    fn resolve(&mut self) {
        let rises = self.evaluations.iter().map(|seen| seen.rise);
        let grain = self.line.grain;
        let quantum = quantum(rises, grain).filter(|_| self.line.rounding == Trust::Likely);
        let resolution = QUANTA * quantum.unwrap_or(0.0);
        let resolution = resolution.max(self.seen_resolution);
        self.line = self.line.with_seen_resolution(resolution);
        self.rounding = Rounding::of(&self.line);
    }

    pub(crate) fn distrust_slope_if_it_falls(&mut self) {
        let says_rise = self.line.slope().is_some_and(|slope| slope < 0.0);
        let mut seen = self.evaluations.iter();
        if says_rise && seen.any(|seen| self.rounding.falls(seen)) {
            self.distrust_slope();
        }
    }

    pub(crate) fn distrust_slope(&mut self) {
        if let Slope::Known(slope) = self.line.slope {
            self.line = self.line.with_slope_hint(slope);
            self.rounding = Rounding::of(&self.line);
        }
    }

    pub(crate) fn tolerance(&self) -> f64 {
        self.config.tolerance
    }

    pub(crate) fn accuracy(&self) -> f64 {
        self.config.accuracy
    }

    pub(crate) fn wanted_accuracy(&self, fall: &Evaluation, rise: &Evaluation) -> f64 {
        let is_long = self.is_first && LONG.contains(&self.evaluations.len());
        if is_long && !self.is_rough(fall, rise) {
            LENIENCY * self.accuracy()
        } else {
            self.accuracy()
        }
    }

    /// Whether the bracket is wide and its ends tell little of the root.
    fn is_rough(&self, fall: &Evaluation, rise: &Evaluation) -> bool {
        let is_wide = fall.learning_rate < (1.0 - WIDE) * rise.learning_rate;
        let is_rounded = self.line.has_found_rounding() && self.is_hidden(fall, rise);
        let explodes = !rise.rise.is_finite() || self.explosiveness(fall, rise) > EXPLOSIVE;
        is_wide && (is_rounded || explodes)
    }

    pub(crate) fn is_hidden(&self, fall: &Evaluation, rise: &Evaluation) -> bool {
        self.rounding.hides(fall) || self.rounding.hides(rise)
    }

    pub(crate) fn sure_width(&self) -> f64 {
        let accuracy = self.config.accuracy;
        self.config.tolerance.min(accuracy / (1.0 + accuracy))
    }

    pub(crate) fn into_evaluations(self) -> Vec<Evaluation> {
        self.evaluations
    }

    pub(crate) fn evaluations(&self) -> &[Evaluation] {
        &self.evaluations
    }

    pub(crate) fn rates(&self) -> impl Iterator<Item = f64> {
        self.evaluations.iter().map(|seen| seen.learning_rate)
    }

    pub(crate) fn budget(&self) -> usize {
        let most = self.config.max_evaluations;
        most.saturating_sub(self.evaluations.len())
    }

    fn points(&self) -> impl Iterator<Item = Point> {
        let seen = self.evaluations.iter();
        seen.filter(|seen| seen.rise.is_finite() && !self.rounding.hides(seen))
            .map(Evaluation::point)
    }

    /// h(0) comes last, if known.
    pub(crate) fn points_nearest_to(&self, near: f64) -> Vec<Point> {
        let start = self.line.slope().map(|slope| Point {
            eta: 0.0,
            h: -slope,
        });
        let distance = |point: &Point| (point.eta / near).ln().abs();
        let mut points: Vec<Point> = self.points().chain(start).collect();
        points.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        points
    }

    /// A rise within rounding does not count if the loss clearly falls further out.
    pub(crate) fn first_rise(&self) -> Option<&Evaluation> {
        let least = |a: &&Evaluation, b: &&Evaluation| a.learning_rate.total_cmp(&b.learning_rate);
        let seen = || self.evaluations.iter();
        let first_clear = seen()
            .filter(|seen| self.rounding.rises(seen))
            .min_by(least);
        let bound = first_clear.map_or(f64::INFINITY, |seen| seen.learning_rate);
        let fallen = seen()
            .filter(|seen| self.rounding.falls(seen) && seen.learning_rate < bound)
            .map(|seen| seen.learning_rate)
            .fold(0.0, f64::max);
        seen()
            .filter(|seen| seen.is_rise() && seen.learning_rate > fallen)
            .min_by(least)
    }

    /// Whether a rise counts as rounding only by earlier looks: far out, a large loss rounds more.
    pub(crate) fn may_have_risen(&self) -> bool {
        let own = Rounding::of(&self.line.with_seen_resolution(self.told_resolution));
        self.evaluations.iter().any(|seen| own.rises(seen))
    }

    pub(crate) fn last_fall(&self) -> Option<&Evaluation> {
        let bound = self.upper().unwrap_or(f64::INFINITY);
        self.evaluations
            .iter()
            .filter(|evaluation| evaluation.learning_rate < bound)
            .max_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate))
    }

    pub(crate) fn upper(&self) -> Option<f64> {
        self.first_rise().map(|evaluation| evaluation.learning_rate)
    }

    pub(crate) fn lower(&self) -> Option<f64> {
        self.last_fall().map(|evaluation| evaluation.learning_rate)
    }

    pub(crate) fn within_limits(&self, learning_rate: f64) -> f64 {
        learning_rate.clamp(self.config.min_learning_rate, self.config.max_learning_rate)
    }

    pub(crate) fn crossing(&self, fall: &Evaluation, rise: &Evaluation) -> Crossing {
        let (lower, upper) = (fall.point(), rise.point());
        if self.method == Method::Published {
            return Crossing::middle(lower.eta, upper.eta);
        }
        let mut others = self.points_nearest_to((lower.eta * upper.eta).sqrt());
        others.retain(|point| point.eta != lower.eta && point.eta != upper.eta);
        let mut crossing = Crossing::between(
            lower,
            upper,
            &others,
            self.rounding.chord(&self.evaluations, fall, rise),
            self.line.resolution,
            self.explosiveness(fall, rise),
        );
        crossing.add_surprise(self.expected_before(fall, rise));
        if self.line.rounding != Trust::Known {
            crossing.rounding_error += OVERLOOKED;
        }
        crossing
    }

    pub(crate) fn explosiveness(&self, fall: &Evaluation, rise: &Evaluation) -> f64 {
        let slope = self.line.slope().filter(|slope| *slope > 0.0);
        let by_ends = explosiveness(fall.point(), rise.point(), self.depth(), slope);
        let neighbours = self.neighbours(fall, rise);
        let by_neighbours =
            neighbours.map_or(0.0, |points| jumpiness(points, self.line.resolution()));
        by_ends.max(by_neighbours)
    }

    /// Returns the ends of a bracket between the nearest evaluations beside them.
    fn neighbours(&self, fall: &Evaluation, rise: &Evaluation) -> Option<[Point; 4]> {
        let (lower, upper) = (fall.point(), rise.point());
        let points = || {
            let seen = self.evaluations.iter().map(Evaluation::point);
            seen.filter(|point| point.h.is_finite())
        };
        let by_rate = |a: &Point, b: &Point| a.eta.total_cmp(&b.eta);
        let below = points().filter(|point| point.eta < lower.eta);
        let below = below.max_by(by_rate)?;
        let above = points().filter(|point| point.eta > upper.eta);
        let above = above.min_by(by_rate)?;
        let are_near =
            NEIGHBOURHOOD * below.eta > lower.eta && above.eta < NEIGHBOURHOOD * upper.eta;
        are_near.then_some([below, lower, upper, above])
    }

    /// Returns the deepest fall before a rise, by a parabola with the slope of the line if no evaluation shows it.
    pub(crate) fn depth(&self) -> f64 {
        let lower = self.lower().unwrap_or(0.0);
        let is_seen = self.rates().any(|rate| MIDDLE.contains(&(rate / lower)));
        let slope = self.line.slope().filter(|_| !is_seen);
        let of_slope = slope.map_or(0.0, |slope| 0.25 * slope * lower);
        self.deepest_fall().max(of_slope)
    }

    pub(crate) fn deepest_fall(&self) -> f64 {
        let upper = self.upper().unwrap_or(f64::INFINITY);
        let seen = self.evaluations.iter();
        deepest_fall(seen.filter(|seen| seen.learning_rate < upper))
    }

    fn expected_before(&self, fall: &Evaluation, rise: &Evaluation) -> Option<f64> {
        let is_end = |seen: &Evaluation| {
            seen.learning_rate == fall.learning_rate || seen.learning_rate == rise.learning_rate
        };
        let later = self.evaluations.iter().rposition(is_end)?;
        self.expected[later]
    }
}
