use crate::Run;
use sharpness_record::{Measurement, Quantity};

/// In usual distances.
const GAP: u64 = 3;

/// A measurement, or a step in the middle of a gap.
pub(crate) type Place<'a> = (u64, Option<&'a Measurement>);

/// Returns the measurements by rising step, with an empty place between any two that are unusually far apart.
///
/// A schedule may change within a run, so the usual distance is the median or a larger neighbouring distance.
pub(crate) fn places<'a>(measurements: impl Iterator<Item = &'a Measurement>) -> Vec<Place<'a>> {
    let all: Vec<&Measurement> = measurements.collect();
    let distance = |pair: &[&Measurement]| pair[1].step.saturating_sub(pair[0].step);
    let distances: Vec<u64> = all.windows(2).map(distance).collect();
    let mut sorted = distances.clone();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let at = |index: Option<usize>| index.and_then(|index| distances.get(index)).copied();

    let mut places = Vec::with_capacity(all.len());
    for (index, measurement) in all.iter().enumerate() {
        places.push((measurement.step, Some(*measurement)));
        let neighbours = at(index.checked_sub(1)).max(at(Some(index + 1)));
        let usual = median.max(neighbours.unwrap_or(0)).saturating_mul(GAP);
        if let Some(distance) = distances.get(index).filter(|distance| **distance > usual) {
            places.push((measurement.step + distance / 2, None));
        }
    }
    places
}

impl Run {
    /// Returns (step, value) of a quantity for a task, of the measurements that tried it; NaN marks a gap.
    pub fn curve(&self, task: &str, quantity: Quantity) -> Vec<(f64, f64)> {
        let tried = self.of_task(task).filter(|m| quantity.is_due(m));
        let points = places(tried).into_iter().map(|(step, measurement)| {
            let value = measurement.and_then(|m| quantity.of(m));
            (step as f64, value.unwrap_or(f64::NAN))
        });
        points.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharpness_record::MeasurementOutcome;

    fn gaps(steps: &[u64]) -> Vec<u64> {
        let measured =
            |step: &u64| Measurement::new(*step, None, "train", MeasurementOutcome::NoIncrease);
        let measurements: Vec<Measurement> = steps.iter().map(measured).collect();
        let places = places(measurements.iter()).into_iter();
        let gaps = places.filter(|(_, measurement)| measurement.is_none());
        gaps.map(|(step, _)| step).collect()
    }

    #[test]
    fn a_stretch_that_was_not_measured_is_a_gap() {
        assert_eq!(gaps(&[0, 10, 20, 30, 400, 410, 420]), [215]);
        assert!(gaps(&[0, 10, 20, 30, 40]).is_empty());
        assert!(gaps(&[]).is_empty());
        assert!(gaps(&[7]).is_empty());
        assert!(gaps(&[7, 7000]).is_empty());
    }

    #[test]
    fn a_change_of_the_schedule_is_none() {
        assert!(gaps(&[0, 10, 20, 30, 40, 50, 100, 200, 300, 400]).is_empty());
        assert!(gaps(&[0, 100, 200, 300, 310, 320, 330, 340, 350, 400, 500]).is_empty());
    }
}
