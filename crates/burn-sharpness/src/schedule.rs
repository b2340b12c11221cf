use crate::{Measurement, SharpnessConfig, SharpnessSummary};
use std::collections::BTreeMap;
use std::time::Duration;

/// The edge ratio η/η_c from which a run counts as near the edge.
const NEAR_EDGE: f64 = 0.5;
/// The steps whose decision is kept: more than workers can be apart.
const KEPT: usize = 64;

/// Decides at which steps to measure.
#[derive(Default)]
pub(crate) struct Schedule {
    /// The learning rate of the last update.
    learning_rate: Option<f64>,
    /// Whether the learning rate rose at the last update.
    is_warming_up: bool,
    /// Whether the last measurement found the run near the edge.
    is_near_edge: bool,
    /// What all measurements of one update took, the last time.
    last_cost: Duration,
    /// What was decided: all who ask about a step get the same answer, however the clock went on.
    decided: BTreeMap<u64, bool>,
}

impl Schedule {
    /// Whether a measurement belongs to this step.
    pub(crate) fn is_due(
        &mut self,
        step: u64,
        config: &SharpnessConfig,
        summary: &mut SharpnessSummary,
    ) -> bool {
        if let Some(decided) = self.decided.get(&step) {
            return *decided;
        }
        let is_dense = self.is_warming_up || self.is_near_edge;
        let interval = match config.dense_every {
            Some(dense) if is_dense => dense,
            _ => config.every,
        };
        let mut is_due = step.is_multiple_of(interval);
        if is_due && !self.is_affordable(config.max_time_share, summary) {
            summary.left_out += 1;
            is_due = false;
        }
        self.decided.insert(step, is_due);
        if self.decided.len() > KEPT {
            self.decided.pop_first();
        }
        is_due
    }

    /// Whether a measurement that costs as much as the last one keeps the time share.
    fn is_affordable(&self, max_share: f64, summary: &SharpnessSummary) -> bool {
        let probing = summary.probe_time + self.last_cost;
        let running = summary.run_time + self.last_cost;
        probing.as_secs_f64() <= max_share * running.as_secs_f64()
    }

    /// An update is made at this learning rate.
    pub(crate) fn note_learning_rate(&mut self, learning_rate: f64) {
        let before = self.learning_rate.replace(learning_rate);
        self.is_warming_up = before.is_some_and(|before| learning_rate > before);
    }

    /// The measurements of one update.
    pub(crate) fn note_measurements<'a>(&mut self, all: impl Iterator<Item = &'a Measurement>) {
        self.last_cost = Duration::ZERO;
        for measurement in all {
            self.last_cost += Duration::from_secs_f64(measurement.seconds);
            // Without a number, it is as near as it was.
            if measurement.is_of_training()
                && let Some(ratio) = measurement.edge_ratio()
            {
                self.is_near_edge = ratio > NEAR_EDGE;
            }
        }
    }

    /// The run goes back to an earlier step.
    pub(crate) fn forget_decisions(&mut self) {
        self.decided.clear();
    }
}
