//! Implements burn's renderer by passing everything to the wrapped renderer.

use super::Dashboard;
use burn::train::LearnerSummary;
use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::MetricDefinition;
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use std::error::Error;

impl MetricsRendererTraining for Dashboard {
    fn update_train(&mut self, state: MetricState) {
        let state = self.without_ticks(state);
        self.inner.get().update_train(state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.inner.get().update_valid(state);
    }

    fn on_train_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn Error>> {
        self.inner.get().on_train_end(summary)
    }
}

impl MetricsRenderer for Dashboard {
    fn manual_close(&mut self) {
        self.inner.get().manual_close();
    }

    fn register_metric(&mut self, definition: MetricDefinition) {
        // Burn opens its dashboard with the first registered chart.
        self.register();
        for chart in &mut self.charts {
            chart.note_metric(&definition);
        }
        self.inner.register(definition);
    }
}

impl TrainingProgressLogger for Dashboard {
    fn start(
        &mut self,
        epochs: usize,
        first_epoch: usize,
        items: Option<usize>,
        label: Option<&str>,
    ) {
        self.register();
        let renderer = self.inner.at_epoch(first_epoch);
        renderer.start(epochs, first_epoch, items, label);
        for chart in &mut self.charts {
            chart.begin(renderer);
        }
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.inner.get().update_epoch(epoch);
    }

    fn start_split(&mut self, split: &str, items: usize) {
        self.is_training = split == "train";
        self.inner.get().start_split(split, items);
    }

    fn update_split(&mut self, items_processed: usize) {
        if self.is_training {
            self.reading.meet_item();
            self.read();
        }
        self.inner.get().update_split(items_processed);
    }

    fn end_split(&mut self) {
        // The step of an epoch's last update may come after its last item.
        self.read();
        self.inner.get().end_split();
    }

    fn end(&mut self) {
        self.inner.get().end();
    }

    fn log_event_training(&mut self, event: String) {
        self.inner.get().log_event_training(event);
    }
}

impl MetricsRendererEvaluation for Dashboard {
    fn update_test(&mut self, name: EvaluationName, state: MetricState) {
        self.inner.get().update_test(name, state);
    }

    fn on_test_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn Error>> {
        self.inner.get().on_test_end(summary)
    }
}

impl EvaluationProgressLogger for Dashboard {
    fn start_global_progress(&mut self, tests: usize) {
        self.inner.get().start_global_progress(tests);
    }

    fn start_test(&mut self, name: &str, items: usize) {
        self.inner.get().start_test(name, items);
    }

    fn update_test_progress(&mut self, items_processed: usize) {
        self.inner.get().update_test_progress(items_processed);
    }

    fn end_test(&mut self) {
        self.inner.get().end_test();
    }

    fn end_global_progress(&mut self) {
        self.inner.get().end_global_progress();
    }

    fn log_event_evaluation(&mut self, event: String) {
        self.inner.get().log_event_evaluation(event);
    }
}
