use super::reader::{OfUpdate, Reader};
use sharpness_record::{Edge, Measurement};

#[derive(Default)]
pub(crate) struct EdgeWatch {
    warn_after: u64,
    pub(crate) past_edge: u64,
    warns: bool,
}

impl EdgeWatch {
    pub(super) fn new(warn_after: u64) -> Self {
        Self {
            warn_after,
            ..Self::default()
        }
    }

    pub(super) fn warns(&self) -> bool {
        self.warns
    }

    fn note(&mut self, training: &Measurement) -> bool {
        match training.edge() {
            // A cap lowered the learning rate of its step.
            _ if training.learning_rate_used.is_some() => {
                self.past_edge = 0;
                false
            }
            Some(Edge::Past) => {
                self.past_edge += 1;
                self.past_edge == self.warn_after
            }
            Some(_) => {
                self.past_edge = 0;
                false
            }
            None => false,
        }
    }
}

impl Reader for EdgeWatch {
    fn read(&mut self, update: &OfUpdate) -> Option<String> {
        let mut all = update.measurements.iter();
        let training = all.find(|of| of.is_of_training())?;
        self.warns = self.note(training);
        if self.warns {
            warn(training, self.warn_after);
        }
        None
    }

    fn restart(&mut self) {
        *self = Self::new(self.warn_after);
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

    fn at_ratio(ratio: Option<f64>) -> Measurement {
        let mut measurement = Measurement::new(0, None, TRAIN_TASK, MeasurementOutcome::Bracketed);
        measurement.learning_rate = Some(1.0);
        measurement.critical_lr = ratio.map(|ratio| 1.0 / ratio);
        measurement
    }

    #[test]
    fn it_warns_once_each_time_that_the_run_stays_past_the_edge() {
        let mut watch = EdgeWatch::new(3);
        let ratios = [1.5, 1.5, 0.9, 1.5, 1.5, 1.5, 1.5, 0.5, 1.1, 1.1, 1.1].map(Some);
        let warned: Vec<bool> = ratios.map(|ratio| watch.note(&at_ratio(ratio))).to_vec();
        let at: Vec<usize> = (0..warned.len()).filter(|index| warned[*index]).collect();
        assert_eq!(at, [5, 10]);
    }

    #[test]
    fn a_measurement_without_a_number_changes_nothing() {
        let mut watch = EdgeWatch::new(2);
        let ratios = [Some(1.5), None, Some(1.5)];
        let warned = ratios.map(|ratio| watch.note(&at_ratio(ratio)));
        assert_eq!(warned, [false, false, true]);
    }
}
