const FIRST: u64 = 2;

/// A single failure is final.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct SlopeTest {
    /// The lines with a bracket and a known slope.
    lines: u64,
    passed: u64,
    pub(crate) is_refuted: bool,
}

impl SlopeTest {
    pub(crate) fn learn(mut self, is_known: bool, holds: Option<bool>) -> Self {
        self.lines += u64::from(is_known);
        self.passed += u64::from(holds == Some(true));
        self.is_refuted |= holds == Some(false);
        self
    }

    /// Until two tests have passed, then at the 64th line, the 512th and so on.
    pub(crate) fn is_due(&self) -> bool {
        let next = self.lines + 1;
        let is_power_of_eight = next.is_power_of_two() && next.trailing_zeros().is_multiple_of(3);
        !self.is_refuted && (self.passed < FIRST || (next > 8 && is_power_of_eight))
    }
}
