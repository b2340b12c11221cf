//! Calibrates the estimated errors of a run by evaluations at its roots.

/// The weight of the newest check, once there are several.
const NEWEST: f64 = 0.25;
/// The standard deviations covered by a stated error.
const DEVIATIONS: f64 = 2.0;
/// The least stated error, as a part of the largest error found.
const OF_LARGEST: f64 = 0.6;
/// The part of the largest ratio that remains after one more line.
const FADING: f64 = 0.99;
/// The largest factor by which checks may widen an error.
const WIDEST: f64 = 50.0;
/// The error factor that marks a loss as jumping: all of the stated error must then be within the accuracy.
pub(crate) const WILD: f64 = 3.0;
/// The lines that are checked at first.
const FIRST: std::ops::RangeInclusive<u64> = 1..=6;
/// The lines at which nothing is known of the loss.
const NEW: u64 = 3;
/// The interval between checked lines afterwards.
const EVERY: u64 = 16;

/// The estimated errors compared with evaluations at reported roots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Calibration {
    /// The lines with a bracket.
    lines: u64,
    checks: u64,
    /// The recent mean square of true errors over estimated errors.
    square: f64,
    /// The largest ratio, fading: a loss that jumps does so on a few lines only.
    largest: f64,
}

impl Calibration {
    /// Learns from one more bracket. `ratio` is the actual over the estimated error of its root, if the root was
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

    /// Returns the factor from an estimated to a stated error.
    pub(crate) fn factor(&self) -> f64 {
        (DEVIATIONS * self.square.sqrt())
            .max(OF_LARGEST * self.largest)
            .clamp(1.0, WIDEST)
    }

    /// Whether the search must evaluate the root of the next line.
    pub(crate) fn is_due(&self) -> bool {
        let next = self.lines + 1;
        FIRST.contains(&next) || next.is_multiple_of(EVERY)
    }

    /// Whether the next line is one of the very first, with nothing known of the loss.
    pub(crate) fn is_new(&self) -> bool {
        self.lines < NEW
    }

    /// Whether the actual errors show that the loss jumps.
    pub(crate) fn is_wild(&self) -> bool {
        self.factor() > WILD
    }
}
