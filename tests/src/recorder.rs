use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, NumericEntry};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A renderer that draws nothing and keeps what it was told of each training metric, tick by tick.
#[derive(Clone, Default)]
pub struct Recorder {
    ticks: Arc<Mutex<BTreeMap<String, Vec<Option<NumericEntry>>>>>,
}

impl Recorder {
    /// The ticks of one metric; an epoch ends with a [`NumericEntry::Final`].
    pub fn ticks(&self, name: &str) -> Vec<Option<NumericEntry>> {
        let ticks = self.ticks.lock().unwrap();
        ticks.get(name).cloned().unwrap_or_default()
    }

    /// The points of one metric with their positions among the ticks, ends of epochs left out.
    pub fn points(&self, name: &str) -> Vec<(usize, f64)> {
        let ticks = self.ticks(name).into_iter();
        let ticks = ticks.filter(|tick| !matches!(tick, Some(NumericEntry::Final(_))));
        ticks
            .enumerate()
            .filter_map(|(index, tick)| Some((index, tick?.current())))
            .collect()
    }
}

impl MetricsRendererTraining for Recorder {
    fn update_train(&mut self, state: MetricState) {
        if let MetricState::Numeric(entry, value) = state {
            let name = format!("{:?}", entry.metric_id);
            // The id of a metric is its name, and shows it only in its debug form.
            let name = name.split('"').nth(1).unwrap_or_default().to_string();
            let mut ticks = self.ticks.lock().unwrap();
            ticks.entry(name).or_default().push(value);
        }
    }

    fn update_valid(&mut self, _state: MetricState) {}
}

impl MetricsRendererEvaluation for Recorder {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl MetricsRenderer for Recorder {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, _definition: MetricDefinition) {}
}

impl TrainingProgressLogger for Recorder {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}

    fn update_epoch(&mut self, _: usize) {}

    fn start_split(&mut self, _: &str, _: usize) {}

    fn update_split(&mut self, _: usize) {}

    fn end_split(&mut self) {}

    fn end(&mut self) {}

    fn log_event_training(&mut self, _: String) {}
}

impl EvaluationProgressLogger for Recorder {
    fn start_global_progress(&mut self, _: usize) {}

    fn start_test(&mut self, _: &str, _: usize) {}

    fn update_test_progress(&mut self, _: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _: String) {}
}
