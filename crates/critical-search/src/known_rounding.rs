use crate::check::Look;
use crate::line::Trust;
use crate::scatter::Scatter;
use crate::{LossLine, SearchResult};

/// The looks that are remembered.
const REMEMBERED: usize = 5;
/// Where rounding matters and was looked at often enough, one line in so many is looked at.
const FELT_EVERY: u64 = 8;

/// The lines of which one look is enough where rounding is likely known: each costs as much as two measurements.
const FEW: u64 = 64;

/// What the lines of a run have shown of their rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct KnownRounding {
    /// The last looks, in a ring, in parts of the loss L(θ).
    seen: [Option<Scatter>; REMEMBERED],
    looks: usize,
    /// The lines with a crossing.
    lines: u64,
    is_felt: bool,
}

impl KnownRounding {
    /// What is known after one more line.
    pub(crate) fn learn(mut self, line: &LossLine, result: &SearchResult) -> Self {
        if result.outcome.bracket().is_some() || result.scatter.is_some() {
            self.lines += 1;
        }
        let loss = line.base_loss().abs();
        if let Some(scatter) = result.scatter
            && loss > 0.0
        {
            let scatter = scatter.scaled(1.0 / loss);
            self.seen[self.looks % REMEMBERED] = Some(scatter);
            self.looks += 1;
            let known = Scatter::pooled(self.seen.iter().flatten()).unwrap_or(0.0);
            self.is_felt = scatter.would_feel(known.max(scatter.resolution()));
        }
        self
    }

    /// The resolution of a line by what the looks have shown.
    pub(crate) fn resolution(&self, line: &LossLine) -> Option<f64> {
        let part = Scatter::pooled(self.seen.iter().flatten())?;
        Some(part * line.base_loss().abs())
    }

    /// Whether to look at the next line: at the first, the 8th, the 64th and so on; at the second instead of the first,
    /// and then not before the 512th, where its resolution is likely all. Where rounding matters, at each until it is known.
    pub(crate) fn look(&self, trust: Trust) -> Look {
        let next = self.lines + 1;
        let is_likely_all = trust == Trust::Likely;
        let is_power_of_eight = next.is_power_of_two() && next.trailing_zeros().is_multiple_of(3);
        let is_due = is_power_of_eight && !(is_likely_all && next <= FEW);
        let is_unsure =
            self.is_felt && (self.looks < REMEMBERED || next.is_multiple_of(FELT_EVERY));
        match self.looks {
            0 if is_likely_all && self.lines == 0 => Look::No,
            0 => Look::First,
            _ if is_due || is_unsure => Look::Again,
            _ => Look::No,
        }
    }
}
