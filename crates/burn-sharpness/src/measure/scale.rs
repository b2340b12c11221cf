use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const AGREEMENTS: usize = 3;
const LOOKS: usize = 8;
/// The scales of two workers are a factor of 2 apart.
const NEAR: RangeInclusive<f64> = 1.0 / 1.25..=1.25;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reduction {
    Mean,
    Sum,
}

/// Burn knows the scale (`DistributedConfig`), and tells nobody.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct GradientScale {
    seen: Vec<Reduction>,
    looks: usize,
}

impl GradientScale {
    /// A measured slope of the loss over the slope by the mean gradient; `None` if rounding hides it.
    pub(super) fn note(&mut self, over_mean: Option<f64>, workers: usize) {
        self.looks += 1;
        let Some(over_mean) = over_mean else {
            return;
        };
        let over_sum = over_mean * workers as f64;
        if NEAR.contains(&over_mean) {
            self.seen.push(Reduction::Mean);
        } else if NEAR.contains(&over_sum) {
            self.seen.push(Reduction::Sum);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.looks < LOOKS && self.seen.len() < AGREEMENTS && self.agreed().is_some()
    }

    /// A single contradiction is final.
    pub(super) fn known(&self) -> Option<Reduction> {
        self.agreed().filter(|_| self.seen.len() >= AGREEMENTS)
    }

    /// Burn's users mostly ask for the mean.
    pub(super) fn likely(&self) -> Reduction {
        self.agreed().unwrap_or(Reduction::Mean)
    }

    fn agreed(&self) -> Option<Reduction> {
        let first = self.seen.first().copied().unwrap_or(Reduction::Mean);
        let mut seen = self.seen.iter();
        seen.all(|scale| *scale == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_measurements_that_agree_tell_the_scale() {
        for (over_mean, scale) in [(1.1, Reduction::Mean), (0.23, Reduction::Sum)] {
            let mut found = GradientScale::default();
            // A line that bends much tells nothing.
            for over_mean in [over_mean, 0.5, over_mean, over_mean] {
                assert!(found.is_open() && found.known().is_none());
                found.note(Some(over_mean), 4);
                assert_eq!(found.likely(), scale);
            }
            assert_eq!((found.known(), found.is_open()), (Some(scale), false));
        }
    }

    #[test]
    fn a_contradiction_is_final_and_the_search_for_the_scale_ends() {
        let mut found = GradientScale::default();
        found.note(Some(1.0), 2);
        found.note(Some(0.5), 2);
        assert!(!found.is_open());
        found.note(Some(1.0), 2);
        assert_eq!(found.known(), None);

        let mut found = GradientScale::default();
        for looks in 0..LOOKS {
            assert!(found.is_open());
            found.note((looks % 2 == 0).then_some(0.7), 2);
        }
        assert!(!found.is_open() && found.known().is_none());
    }
}
