use sharpness_record::{Edge, Measurement};

/// Counts the measurements in a row that found the run past the edge.
#[derive(Default)]
pub(crate) struct EdgeWatch {
    past_edge: u64,
}

impl EdgeWatch {
    /// Notes a measurement of the training loss. Returns whether it is the one to warn of: the last of
    /// as many in a row as `warn_after` says.
    pub(crate) fn note(&mut self, training: &Measurement, warn_after: u64) -> bool {
        match training.edge() {
            Some(Edge::Past) => {
                self.past_edge += 1;
                self.past_edge == warn_after
            }
            Some(_) => {
                self.past_edge = 0;
                false
            }
            // Without a number it is neither past the edge nor back.
            None => false,
        }
    }
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
        let mut watch = EdgeWatch::default();
        let ratios = [1.5, 1.5, 0.9, 1.5, 1.5, 1.5, 1.5, 0.5, 1.1, 1.1, 1.1].map(Some);
        let warned: Vec<bool> = ratios.map(|ratio| watch.note(&at_ratio(ratio), 3)).to_vec();
        let at: Vec<usize> = (0..warned.len()).filter(|index| warned[*index]).collect();
        assert_eq!(at, [5, 10]);
    }

    #[test]
    fn a_measurement_without_a_number_changes_nothing() {
        let mut watch = EdgeWatch::default();
        let ratios = [Some(1.5), None, Some(1.5)];
        let warned = ratios.map(|ratio| watch.note(&at_ratio(ratio), 2));
        assert_eq!(warned, [false, false, true]);
    }
}
