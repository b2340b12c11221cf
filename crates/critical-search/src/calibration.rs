//! Calibrates the estimated errors of a run by evaluations at its roots.

const NEWEST: f64 = 0.25;
const DEVIATIONS: f64 = 2.0;
const OF_LARGEST: f64 = 0.6;
const FADING: f64 = 0.99;
const WIDEST: f64 = 50.0;
/// The factor that marks a loss as jumping.
const WILD: f64 = 3.0;
const FIRST: std::ops::RangeInclusive<u64> = 1..=6;
const NEW: u64 = 3;
const EVERY: u64 = 16;
const SELDOM: u64 = 32;
/// The number of checks that prove an error; until then, the stated factor is at least `UNPROVEN`.
const PROVEN: u64 = 6;
const UNPROVEN: f64 = 2.0;
/// The least factor to ask for once errors are proven and the largest ratio is below `CALM`.
const SMALL: f64 = 0.9;
const CALM: f64 = 1.5;
/// The least stated error, as a share of the distance to the farther end: until errors are proven, and after that while
/// roots have been off.
const LEAST_UNPROVEN: f64 = 0.05;
const LEAST_ROUGH: f64 = 0.1;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Calibration {
    lines: u64,
    checks: u64,
    square: f64,
    /// Fades slowly: a loss that jumps does so on a few lines only.
    largest: f64,
}

impl Calibration {
    /// `ratio` is the actual over the estimated error, if known.
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

    pub(crate) fn factor(&self) -> f64 {
        let least = if self.is_proven() { 1.0 } else { UNPROVEN };
        self.usual_factor()
            .max(OF_LARGEST * self.largest)
            .clamp(least, WIDEST)
    }

    /// Returns the factor to compare with the accuracy: a single large error widens the stated error only.
    pub(crate) fn usual_factor(&self) -> f64 {
        let is_calm = self.is_proven() && self.is_smooth();
        let least = if is_calm { SMALL } else { 1.0 };
        (DEVIATIONS * self.square.sqrt()).clamp(least, WIDEST)
    }

    pub(crate) fn least_share(&self) -> f64 {
        match (self.is_proven(), self.is_smooth()) {
            (false, _) => LEAST_UNPROVEN,
            (true, false) => LEAST_ROUGH,
            (true, true) => 0.0,
        }
    }

    fn is_smooth(&self) -> bool {
        self.largest < CALM
    }

    fn is_proven(&self) -> bool {
        self.checks >= PROVEN
    }

    pub(crate) fn is_due(&self) -> bool {
        let next = self.lines + 1;
        let every = if self.usual_factor() < 1.0 {
            SELDOM
        } else {
            EVERY
        };
        FIRST.contains(&next) || next.is_multiple_of(every)
    }

    pub(crate) fn is_new(&self) -> bool {
        self.lines < NEW
    }

    pub(crate) fn is_wild(&self) -> bool {
        self.factor() > WILD
    }
}
