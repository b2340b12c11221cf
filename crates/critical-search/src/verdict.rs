//! What evaluations prove, and what they leave open.

use crate::Outcome;

/// The factor to the next learning rate where rounding hides the only change so far, which may be at the very root.
const FIRST_ADVANCE: f64 = 1.5;
/// The same where it hides more than one.
const ADVANCE: f64 = 16.0;

/// What evaluations prove.
pub(crate) enum Verdict {
    /// Nothing yet: no crossing is enclosed, or not narrowly or accurately enough.
    Open,
    /// Nothing yet, since rounding hides what matters.
    Hidden(Hidden),
    /// How the search ends.
    Ended(Outcome),
}

/// What rounding hides, where nothing can be said yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hidden {
    /// All changes, up to this learning rate.
    All(f64),
    /// A change too far from the first clear rise to leave no room for a fall between them.
    Between { hidden: f64, rise: f64 },
    /// A change that may lie at the very root, so that the fall is below it.
    Root(f64),
    /// How the line starts: this clear rise has no other one near it.
    Start(f64),
}

impl Hidden {
    /// The learning rate at which an evaluation shows more, after so many.
    pub(crate) fn next(self, evaluations: usize) -> f64 {
        match self {
            Self::All(last) if evaluations > 1 => ADVANCE * last,
            Self::All(last) => FIRST_ADVANCE * last,
            Self::Between { hidden, rise } => (rise * hidden).sqrt(),
            Self::Root(hidden) => 0.5 * hidden,
            Self::Start(rise) => 2.0 * rise,
        }
    }
}
