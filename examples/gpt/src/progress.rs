use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricEntry, MetricId, NumericEntry, format_float};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(5);

/// Prints the training metrics every few seconds, and the validation metrics after each epoch.
pub struct PlainProgress {
    names: HashMap<MetricId, String>,
    train: Vec<(String, String)>,
    valid: Vec<(String, String)>,
    epoch: usize,
    epochs: usize,
    split: String,
    items: usize,
    printed: Instant,
}

impl Default for PlainProgress {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            train: Vec::new(),
            valid: Vec::new(),
            epoch: 1,
            epochs: 0,
            split: String::new(),
            items: 0,
            printed: Instant::now(),
        }
    }
}

impl PlainProgress {
    fn print(&mut self, at: &str) {
        let (epoch, epochs, split) = (self.epoch, self.epochs, &self.split);
        let values = match &**split {
            "valid" => &self.valid,
            _ => &self.train,
        };
        let values = values.iter().map(|(name, value)| format!("{name} {value}"));
        let values = values.collect::<Vec<_>>().join("  ");
        say!("epoch {epoch}/{epochs}  {split} {at}  {values}");
        self.printed = Instant::now();
    }

    fn name(&self, entry: &MetricEntry) -> String {
        let name = self.names.get(&entry.metric_id);
        name.cloned().unwrap_or_default()
    }
}

/// Returns the text of a training tick if it changes: a number, or a notice that the number is gone.
fn shown(entry: &MetricEntry, value: Option<&NumericEntry>) -> Option<String> {
    match value {
        // The end of an epoch brings means, not last values.
        Some(NumericEntry::Final(_)) => None,
        Some(value) => Some(format_float(value.current(), 3)),
        None => {
            // Another message says why the metric has lost its number.
            let text = entry.serialized_entry.formatted.split(':').next();
            let text = text.filter(|text| text.starts_with("none"));
            text.map(str::to_string)
        }
    }
}

fn update(values: &mut Vec<(String, String)>, name: String, value: String) {
    match values.iter_mut().find(|(known, _)| *known == name) {
        Some((_, last)) => *last = value,
        None => values.push((name, value)),
    }
}

impl MetricsRendererTraining for PlainProgress {
    fn update_train(&mut self, state: MetricState) {
        if let MetricState::Numeric(entry, value) = state
            && let Some(value) = shown(&entry, value.as_ref())
        {
            let name = self.name(&entry);
            update(&mut self.train, name, value);
        }
    }

    fn update_valid(&mut self, state: MetricState) {
        if let MetricState::Numeric(entry, Some(value @ NumericEntry::Final(_))) = state {
            let name = self.name(&entry);
            update(&mut self.valid, name, format_float(value.current(), 3));
        }
    }
}

impl TrainingProgressLogger for PlainProgress {
    fn start(&mut self, epochs: usize, epoch: usize, _items: Option<usize>, _label: Option<&str>) {
        self.epochs = epochs;
        self.epoch = epoch;
    }

    fn start_split(&mut self, split: &str, items: usize) {
        self.split = split.to_string();
        self.items = items;
    }

    fn update_split(&mut self, processed: usize) {
        let percent = 100 * processed / self.items.max(1);
        if self.split == "train" && self.printed.elapsed() >= INTERVAL {
            self.print(&format!("{percent:3}%"));
        }
    }

    fn end_split(&mut self) {
        self.print("done");
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.epoch = epoch + 1;
    }

    fn end(&mut self) {}

    fn log_event_training(&mut self, _event: String) {}
}

impl MetricsRendererEvaluation for PlainProgress {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl EvaluationProgressLogger for PlainProgress {
    fn start_global_progress(&mut self, _tests: usize) {}

    fn start_test(&mut self, _name: &str, _items: usize) {}

    fn update_test_progress(&mut self, _processed: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRenderer for PlainProgress {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names
            .insert(definition.metric_id, definition.name.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::train::metric::SerializedEntry;
    use std::sync::Arc;

    fn say(progress: &mut PlainProgress, text: &str, value: Option<f64>) {
        let id = MetricId::new(Arc::new("λ_c".to_string()));
        let entry = MetricEntry::new(id, SerializedEntry::new(text.to_string(), String::new()));
        let value = value.map(NumericEntry::Value);
        progress.update_train(MetricState::Numeric(entry, value));
    }

    #[test]
    fn a_number_that_is_no_longer_true_is_not_printed() {
        let mut progress = PlainProgress::default();
        say(&mut progress, "5 at step 0", Some(5.0));
        say(&mut progress, "5 at step 0", None);
        assert_eq!(progress.train[0].1, "5.000", "between two measurements");
        say(&mut progress, "none since step 5: not finite", None);
        assert_eq!(progress.train[0].1, "none since step 5");
        say(&mut progress, "7 at step 9", Some(7.0));
        assert_eq!(progress.train[0].1, "7.000");
    }
}
