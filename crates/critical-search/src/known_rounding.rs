use crate::line::Trust;
use crate::look::Look;
use crate::scatter::Scatter;
use crate::shape::sorted;
use crate::{LossLine, SearchResult};

const REMEMBERED: usize = 5;
const ENOUGH: usize = 2;
/// The lines between looks if rounding matters.
const FELT_EVERY: u64 = 8;
/// The lines between looks otherwise.
const SELDOM: u64 = 64;
/// No scheduled look falls on the first lines if rounding is likely known: it costs two measurements.
const FEW: u64 = 64;
const ANOTHER_LOSS: f64 = 8.0;
const SAME_LOSS: f64 = 2.0;
const NEWEST: f64 = 0.2;
const ANOTHER_FALL: f64 = 4.0;
/// The fall, in resolutions, that may be rounding if the resolution is wrong.
const DOUBTFUL: f64 = 128.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct KnownRounding {
    seen: [Option<Scatter>; REMEMBERED],
    looks: usize,
    lines: u64,
    is_felt: bool,
    /// The recent mean of ln |L(θ)|.
    level: Option<f64>,
    last: Option<Looked>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Looked {
    level: f64,
    fall: f64,
    since: u64,
}

impl KnownRounding {
    pub(crate) fn learn(mut self, line: &LossLine, result: &SearchResult) -> Self {
        if result.outcome.bracket().is_some() || result.scatter.is_some() {
            self.lines += 1;
        }
        if let Some(last) = &mut self.last {
            last.since += 1;
        }
        let level = line.base_loss().abs().max(f64::MIN_POSITIVE).ln();
        let level = self
            .level
            .map_or(level, |of_late| of_late + NEWEST * (level - of_late));
        if level.is_finite() {
            self.level = Some(level);
        }
        if let Some(scatter) = result.scatter {
            if self.is_of_another_loss() {
                self.seen = [None; REMEMBERED];
            }
            self.last = Some(Looked {
                level,
                fall: result.deepest_fall(),
                since: 0,
            });
            self.seen[self.looks % REMEMBERED] = Some(scatter);
            self.looks += 1;
            let known = Scatter::pooled(self.seen.iter().flatten()).unwrap_or(0.0);
            self.is_felt = scatter.would_feel(known.max(scatter.resolution()));
        }
        self
    }

    /// If rounding is likely known, the looks vote, so that a jump during one look counts only briefly.
    pub(crate) fn resolution(&self, line: &LossLine) -> Option<f64> {
        if line.rounding != Trust::Likely {
            return Scatter::pooled(self.seen.iter().flatten());
        }
        let seen = self.seen.iter().flatten();
        let seen = sorted(seen.map(Scatter::resolution));
        let middle = seen.len().saturating_sub(1) / 2;
        seen.get(middle).copied()
    }

    fn is_of_another_loss(&self) -> bool {
        let levels = self.last.zip(self.level);
        levels.is_some_and(|(last, level)| (level - last.level).abs() > ANOTHER_LOSS.ln())
    }

    pub(crate) fn has_seen_this_loss(&self, line: &LossLine) -> bool {
        let level = line.base_loss().abs().ln();
        self.last
            .is_some_and(|last| (level - last.level).abs() < SAME_LOSS.ln())
    }

    pub(crate) fn look(&self, line: &LossLine) -> Look {
        let next = self.lines + 1;
        let is_likely_all = line.rounding == Trust::Likely;
        let is_power_of_eight = next.is_power_of_two() && next.trailing_zeros().is_multiple_of(3);
        let is_due = is_power_of_eight && !(is_likely_all && next <= FEW);
        let (enough, every) = if is_likely_all {
            (ENOUGH, 2 * FELT_EVERY)
        } else {
            (REMEMBERED, FELT_EVERY)
        };
        let is_unsure = self.is_felt && (self.looks < enough || next.is_multiple_of(every));
        match self.looks {
            _ if line.rounding == Trust::Known => Look::No,
            0 if is_likely_all && self.lines == 0 => Look::No,
            0 => Look::First,
            _ if is_due || is_unsure || self.is_of_another_loss() => Look::Again,
            _ => Look::No,
        }
    }

    pub(crate) fn doubts(&self, fall: f64, resolution: f64) -> bool {
        let is_new = self
            .last
            .is_none_or(|last| fall * ANOTHER_FALL < last.fall && last.since + 1 >= FELT_EVERY / 2);
        fall < DOUBTFUL * resolution
            && (is_new || self.is_since(if self.is_felt { FELT_EVERY } else { SELDOM }))
    }

    pub(crate) fn may_hide_less(&self) -> bool {
        self.is_since(FELT_EVERY)
    }

    fn is_since(&self, lines: u64) -> bool {
        self.last.is_none_or(|last| last.since + 1 >= lines)
    }
}
