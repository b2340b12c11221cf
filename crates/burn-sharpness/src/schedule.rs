use crate::config::SharpnessConfig;
use serde::{Deserialize, Serialize};
use sharpness_record::{Edge, Measurement, SharpnessSummary};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) step: u64,
    pub(crate) epoch: Option<u64>,
}

/// Above this part of an edge cap the probe measures each step.
const CAP_MARGIN: f64 = 0.2;
/// More steps than workers can be apart.
const KEPT: usize = 64;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Schedule {
    learning_rate: Option<f64>,
    is_warming_up: Option<bool>,
    is_near_edge: bool,
    is_near_cap: Option<bool>,
    #[serde(skip)]
    last_cost: Duration,
    /// Every caller gets the same answer about a step, whatever the clock says then.
    #[serde(skip)]
    decided: BTreeMap<u64, bool>,
}

impl Schedule {
    /// Counts a measurement as left out if it is due, but its share of time is spent.
    pub(crate) fn is_due(
        &mut self,
        step: u64,
        config: &SharpnessConfig,
        summary: &mut SharpnessSummary,
    ) -> bool {
        if let Some(decided) = self.decided.get(&step) {
            return *decided;
        }
        let is_dense = self.is_warming_up == Some(true) || self.is_near_edge;
        // Until the first number, any step may need the cap.
        let is_for_cap = config.every.is_none()
            || self.is_warming_up != Some(false)
            || self.is_near_cap != Some(false);
        let interval = match config.dense_every {
            _ if config.edge_cap.is_some() && is_for_cap => 1,
            Some(dense) if is_dense => dense,
            _ => config.every(),
        };
        let is_scheduled = step.is_multiple_of(interval);
        let probing = summary.probe_time.saturating_add(self.last_cost);
        let running = summary.run_time.saturating_add(self.last_cost);
        let is_affordable = probing.as_secs_f64() <= config.max_time_share * running.as_secs_f64();
        summary.left_out += u64::from(is_scheduled && !is_affordable);
        self.decided.insert(step, is_scheduled && is_affordable);
        if self.decided.len() > KEPT {
            self.decided.pop_first();
        }
        is_scheduled && is_affordable
    }

    pub(crate) fn note_learning_rate(&mut self, learning_rate: f64) {
        let before = self.learning_rate.replace(learning_rate);
        self.is_warming_up = before.map(|before| learning_rate > before);
    }

    pub(crate) fn note_measurements<'a>(
        &mut self,
        all: impl Iterator<Item = &'a Measurement>,
        config: &SharpnessConfig,
    ) {
        self.last_cost = Duration::ZERO;
        for measurement in all {
            self.last_cost += Duration::try_from_secs_f64(measurement.seconds).unwrap_or_default();
            if measurement.is_of_training()
                && let Some(edge) = measurement.edge()
            {
                self.is_near_edge = edge != Edge::Below;
                self.is_near_cap = config
                    .edge_cap
                    .map(|cap| measurement.capped(CAP_MARGIN * cap).is_some());
            }
        }
    }

    pub(crate) fn forget_decisions(&mut self) {
        self.decided.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharpness_record::{MeasurementOutcome, TRAIN_TASK};
    use std::ops::Range;

    fn due(schedule: &mut Schedule, config: &SharpnessConfig, steps: Range<u64>) -> Vec<u64> {
        let mut summary = SharpnessSummary::default();
        let is_due = |step: &u64| schedule.is_due(*step, config, &mut summary);
        steps.filter(is_due).collect()
    }

    fn at_ratio(ratio: f64) -> Measurement {
        let mut measurement = Measurement::new(0, None, TRAIN_TASK, MeasurementOutcome::Bracketed);
        measurement.learning_rate = Some(ratio);
        measurement.critical_lr = Some(1.0);
        measurement
    }

    #[test]
    fn a_cap_is_looked_after_in_the_warmup_and_near_it() {
        let config = SharpnessConfig::new().with_every(10).with_edge_cap(0.4);
        let mut schedule = Schedule::default();
        assert_eq!(due(&mut schedule, &config, 0..3), [0, 1, 2]);
        schedule.note_learning_rate(0.1);
        schedule.note_learning_rate(0.2);
        schedule.note_measurements([at_ratio(0.05)].iter(), &config);
        assert_eq!(due(&mut schedule, &config, 3..6), [3, 4, 5]);
        schedule.note_learning_rate(0.2);
        assert_eq!(due(&mut schedule, &config, 6..21), [10, 20]);
        schedule.note_measurements([at_ratio(0.09)].iter(), &config);
        assert_eq!(due(&mut schedule, &config, 21..24), [21, 22, 23]);
        schedule.note_measurements([at_ratio(0.07)].iter(), &config);
        assert_eq!(due(&mut schedule, &config, 24..31), [30]);
        let config = SharpnessConfig::new().with_edge_cap(0.4);
        assert_eq!(due(&mut schedule, &config, 31..34), [31, 32, 33]);
    }

    #[test]
    fn a_measurement_that_is_too_dear_is_left_out_and_the_answer_stands() {
        let config = SharpnessConfig::new().with_every(1);
        let config = config.with_max_time_share(0.5);
        let mut schedule = Schedule::default();
        let mut dear = at_ratio(0.1);
        dear.seconds = 3.0;
        schedule.note_measurements([dear].iter(), &config);
        let mut summary = SharpnessSummary::default();
        summary.probe_time = Duration::from_secs(1);
        for (step, seconds, is_due) in [(1, 2, false), (1, 20, false), (2, 20, true)] {
            summary.run_time = Duration::from_secs(seconds);
            assert_eq!(schedule.is_due(step, &config, &mut summary), is_due);
            assert_eq!(summary.left_out, 1);
        }
    }
}
