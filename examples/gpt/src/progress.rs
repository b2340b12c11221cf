//! Progress for a pipe or a file, where burn's dashboard cannot draw.

use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricEntry, MetricId, NumericEntry, format_float};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often a line is printed.
const INTERVAL: Duration = Duration::from_secs(5);

/// Prints a line with the last value of each training metric every few seconds, and one with those
/// of validation after each epoch.
pub struct PlainProgress {
    names: HashMap<MetricId, String>,
    train: Vec<(String, f64)>,
    valid: Vec<(String, f64)>,
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
        let values = if self.split == "valid" {
            &self.valid
        } else {
            &self.train
        };
        let values: Vec<String> = values
            .iter()
            .map(|(name, value)| format!("{name} {}", format_float(*value, 3)))
            .collect();
        say!(
            "epoch {}/{}  {} {at}  {}",
            self.epoch,
            self.epochs,
            self.split,
            values.join("  ")
        );
        self.printed = Instant::now();
    }

    fn name(&self, entry: &MetricEntry) -> String {
        self.names
            .get(&entry.metric_id)
            .cloned()
            .unwrap_or_default()
    }
}

/// Keeps the last value of a metric.
fn update(values: &mut Vec<(String, f64)>, name: String, value: f64) {
    match values.iter_mut().find(|(known, _)| *known == name) {
        Some((_, last)) => *last = value,
        None => values.push((name, value)),
    }
}

impl MetricsRendererTraining for PlainProgress {
    fn update_train(&mut self, state: MetricState) {
        // The end of an epoch brings means, which are not the last values.
        if let MetricState::Numeric(entry, Some(value)) = state
            && !matches!(value, NumericEntry::Final(_))
        {
            let name = self.name(&entry);
            update(&mut self.train, name, value.current());
        }
    }

    fn update_valid(&mut self, state: MetricState) {
        if let MetricState::Numeric(entry, Some(value @ NumericEntry::Final(_))) = state {
            let name = self.name(&entry);
            update(&mut self.valid, name, value.current());
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
