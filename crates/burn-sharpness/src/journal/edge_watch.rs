use sharpness_record::{Edge, Measurement};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct EdgeWatch {
    pub(super) warn_after: u64,
    pub(crate) past_edge: u64,
}

impl EdgeWatch {
    /// Returns whether the warning is due.
    pub(super) fn read(&mut self, measurements: &[Arc<Measurement>]) -> bool {
        let mut all = measurements.iter();
        let training = all.find(|of| of.is_of_training());
        let training = training.filter(|training| self.note(training));
        if let Some(training) = training {
            warn(training, self.warn_after);
        }
        training.is_some()
    }

    fn note(&mut self, training: &Measurement) -> bool {
        let (edge, is_capped) = (training.edge(), training.learning_rate_used.is_some());
        // A cap lowered the learning rate of its step.
        let is_past = edge == Some(Edge::Past) && !is_capped;
        if is_past {
            self.past_edge += 1;
        } else if edge.is_some() || is_capped {
            self.past_edge = 0;
        }
        is_past && self.past_edge == self.warn_after
    }
}

fn warn(training: &Measurement, measurements_in_a_row: u64) {
    tracing::warn!(
        step = training.step,
        learning_rate = training.learning_rate,
        critical_lr = training.critical_lr,
        edge_ratio = training.edge_ratio(),
        update_norm = training.update_norm,
        slope = training.slope,
        measurements_in_a_row,
        "the learning rate is past the critical one: this step raises the loss of its batch; an edge cap would lower its rate"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharpness_record::{MeasurementOutcome, TRAIN_TASK};

    fn watch(warn_after: u64) -> EdgeWatch {
        EdgeWatch {
            warn_after,
            past_edge: 0,
        }
    }

    fn at_ratio(ratio: Option<f64>) -> Measurement {
        let mut measurement = Measurement::new(0, None, TRAIN_TASK, MeasurementOutcome::Bracketed);
        measurement.learning_rate = Some(1.0);
        measurement.critical_lr = ratio.map(|ratio| 1.0 / ratio);
        measurement
    }

    #[test]
    fn it_warns_once_each_time_that_the_run_stays_past_the_edge() {
        let mut watch = watch(3);
        let ratios = [1.5, 1.5, 0.9, 1.5, 1.5, 1.5, 1.5, 0.5, 1.1, 1.1, 1.1].map(Some);
        let warned: Vec<bool> = ratios.map(|ratio| watch.note(&at_ratio(ratio))).to_vec();
        let at: Vec<usize> = (0..warned.len()).filter(|index| warned[*index]).collect();
        assert_eq!(at, [5, 10]);
    }

    #[test]
    fn a_measurement_without_a_number_changes_nothing() {
        let mut watch = watch(2);
        let ratios = [Some(1.5), None, Some(1.5)];
        let warned = ratios.map(|ratio| watch.note(&at_ratio(ratio)));
        assert_eq!(warned, [false, false, true]);
    }
}
