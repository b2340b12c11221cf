use crate::Outcome;

/// The factor to the next rate if the only change is hidden and may be at the root itself.
const FIRST_ADVANCE: f64 = 1.5;
/// The factor if several changes are hidden.
const ADVANCE: f64 = 16.0;

pub(crate) enum Verdict {
    Open,
    Hidden(Hidden),
    Ended(Outcome),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Hidden {
    /// All changes, up to this learning rate.
    All(f64),
    /// A change too far from the first clear rise to exclude a fall between them.
    Between { hidden: f64, rise: f64 },
    /// A change that may lie at the root, so that the fall is below it.
    Root(f64),
    /// No evaluation near this rate: there the slope predicts a clear rise.
    Slope(f64),
    /// A clear rise without another near it.
    Start(f64),
}

impl Hidden {
    pub(crate) fn next(self, evaluations: usize) -> f64 {
        match self {
            Self::All(last) if evaluations > 1 => ADVANCE * last,
            Self::All(last) => FIRST_ADVANCE * last,
            Self::Between { hidden, rise } => (rise * hidden).sqrt(),
            Self::Slope(rate) => rate,
            Self::Root(hidden) => 0.5 * hidden,
            Self::Start(rise) => 2.0 * rise,
        }
    }
}
