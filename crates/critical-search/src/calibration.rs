//! How well the errors of a run's roots were estimated, by the roots that were evaluated.

/// The weight of the newest check, once there are several.
const NEWEST: f64 = 0.25;
/// The standard deviations that a stated error covers.
const DEVIATIONS: f64 = 2.0;
/// A stated error is at least this part of the largest that was found.
const OF_LARGEST: f64 = 0.6;
/// What is left of the largest ratio after one more line.
const FADING: f64 = 0.99;
/// The most that checks may widen an error by.
const WIDEST: f64 = 50.0;
/// The factor of errors from which on the loss is taken to jump, and all that is stated must be as small as was asked for.
pub(crate) const WILD: f64 = 3.0;
/// The lines that are checked at first.
const FIRST: std::ops::RangeInclusive<u64> = 1..=6;
/// The lines at which nothing is known of the loss.
const NEW: u64 = 3;
/// One line in so many is checked from then on.
const EVERY: u64 = 16;

/// What evaluations at reported roots have shown of the errors that were estimated for them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Calibration {
    /// The lines with a bracket.
    lines: u64,
    checks: u64,
    /// The mean square of true errors over estimated ones, of late.
    square: f64,
    /// The largest ratio, which fades: a loss that jumps does so on a few lines only.
    largest: f64,
}

impl Calibration {
    /// The calibration after one more bracket, whose root was off by this many times its estimated error if it was
    /// evaluated.
    pub(crate) fn learn(mut self, ratio: Option<f64>) -> Self {
        self.lines += 1;
        self.largest *= FADING;
        if let Some(ratio) = ratio.filter(|ratio| !ratio.is_nan()) {
            let ratio = ratio.min(WIDEST / OF_LARGEST);
            self.checks += 1;
            let weight = (1.0 / self.checks as f64).max(NEWEST);
            self.square += weight * (ratio.powi(2) - self.square);
            self.largest = self.largest.max(ratio);
        }
        self
    }

    /// The factor from an estimated error to the one that is stated.
    pub(crate) fn factor(&self) -> f64 {
        (DEVIATIONS * self.square.sqrt())
            .max(OF_LARGEST * self.largest)
            .clamp(1.0, WIDEST)
    }

    /// Whether the root of the next line is to be evaluated, whatever it looks like.
    pub(crate) fn is_due(&self) -> bool {
        self.is_early() || (self.lines + 1).is_multiple_of(EVERY)
    }

    /// Whether the next line is one of the first.
    fn is_early(&self) -> bool {
        FIRST.contains(&(self.lines + 1))
    }

    /// Whether the next line is one of the very first, at which nothing is known of the loss.
    pub(crate) fn is_new(&self) -> bool {
        self.lines < NEW
    }

    /// Whether roots were off by so much more than estimated that the loss must jump.
    pub(crate) fn is_wild(&self) -> bool {
        self.factor() > WILD
    }
}
