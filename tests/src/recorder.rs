use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricEntry, NumericEntry};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const TRAIN_SERIES: &str = "train";

/// A renderer that draws nothing and keeps all its input, tick by tick.
#[derive(Clone, Default)]
pub struct Recorder {
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    registered: Vec<String>,
    /// The curve and the value of each tick of a metric.
    ticks: BTreeMap<String, Vec<(String, Option<NumericEntry>)>>,
    /// The last text of each curve of a metric.
    texts: BTreeMap<(String, String), String>,
    events: Vec<String>,
}

impl Recorder {
    pub fn registered(&self) -> Vec<String> {
        self.told.lock().unwrap().registered.clone()
    }

    pub fn events(&self) -> Vec<String> {
        self.told.lock().unwrap().events.clone()
    }

    pub fn chart(&self, name: &str) -> Vec<(String, Option<f64>)> {
        let told = self.told.lock().unwrap();
        let ticks = told.ticks.get(name).into_iter().flatten();
        let ticks = ticks.filter(|(_, value)| !matches!(value, Some(NumericEntry::Final(_))));
        let ticks = ticks
            .map(|(series, value)| (series.clone(), value.as_ref().map(NumericEntry::current)));
        ticks.collect()
    }

    pub fn curve(&self, name: &str, series: &str) -> Vec<(usize, f64)> {
        let ticks = self.chart(name).into_iter().enumerate();
        ticks
            .filter_map(|(index, (of, value))| (of == series).then_some((index, value?)))
            .collect()
    }

    pub fn text(&self, name: &str, series: &str) -> String {
        let key = (name.to_string(), series.to_string());
        let told = self.told.lock().unwrap();
        told.texts.get(&key).cloned().unwrap_or_default()
    }

    fn note(&self, series: &str, state: MetricState) {
        let (entry, tick) = match state {
            MetricState::Generic(entry) => (entry, None),
            MetricState::Numeric(entry, value) => (entry, Some(value)),
        };
        let MetricEntry {
            metric_id,
            serialized_entry,
        } = entry;
        // The id of a metric contains its name, but only the debug form shows it.
        let name = format!("{metric_id:?}");
        let name = name.split('"').nth(1).unwrap_or_default().to_string();
        let mut told = self.told.lock().unwrap();
        assert!(
            told.registered.contains(&name),
            "burn's dashboard panics on a metric that it does not know: {name}"
        );
        let key = (name.clone(), series.to_string());
        told.texts.insert(key, serialized_entry.formatted);
        if let Some(value) = tick {
            let ticks = told.ticks.entry(name).or_default();
            ticks.push((series.to_string(), value));
        }
    }

    fn log(&self, event: String) {
        self.told.lock().unwrap().events.push(event);
    }

    /// An epoch ends with a [`NumericEntry::Final`].
    pub fn ticks(&self, name: &str) -> Vec<Option<NumericEntry>> {
        let told = self.told.lock().unwrap();
        let ticks = told.ticks.get(name).into_iter().flatten();
        let ticks = ticks.filter(|(series, _)| series == TRAIN_SERIES);
        ticks.map(|(_, value)| value.clone()).collect()
    }

    pub fn points(&self, name: &str) -> Vec<(usize, f64)> {
        self.curve(name, TRAIN_SERIES)
    }

    pub fn values(&self, name: &str, series: &str) -> Vec<f64> {
        let curve = self.curve(name, series).into_iter();
        curve.map(|(_, value)| value).collect()
    }
}

impl MetricsRendererTraining for Recorder {
    fn update_train(&mut self, state: MetricState) {
        self.note(TRAIN_SERIES, state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.note("valid", state);
    }
}

impl MetricsRendererEvaluation for Recorder {
    fn update_test(&mut self, name: EvaluationName, state: MetricState) {
        self.note(name.as_str(), state);
    }
}

impl MetricsRenderer for Recorder {
    fn manual_close(&mut self) {
        self.log("close".to_string());
    }

    fn register_metric(&mut self, definition: MetricDefinition) {
        let name = definition.name.to_string();
        self.told.lock().unwrap().registered.push(name);
    }
}

impl TrainingProgressLogger for Recorder {
    fn start(&mut self, epochs: usize, epoch: usize, _: Option<usize>, _: Option<&str>) {
        self.log(format!("start at {epoch} of {epochs}"));
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.log(format!("epoch {epoch}"));
    }

    fn start_split(&mut self, split: &str, items: usize) {
        self.log(format!("{split} of {items}"));
    }

    fn update_split(&mut self, processed: usize) {
        self.log(format!("item {processed}"));
    }

    fn end_split(&mut self) {
        self.log("end of split".to_string());
    }

    fn end(&mut self) {
        self.log("end".to_string());
    }

    fn log_event_training(&mut self, event: String) {
        self.log(event);
    }
}

impl EvaluationProgressLogger for Recorder {
    fn start_global_progress(&mut self, tests: usize) {
        self.log(format!("{tests} tests"));
    }

    fn start_test(&mut self, name: &str, items: usize) {
        self.log(format!("test {name} of {items}"));
    }

    fn update_test_progress(&mut self, processed: usize) {
        self.log(format!("test item {processed}"));
    }

    fn end_test(&mut self) {
        self.log("end of test".to_string());
    }

    fn end_global_progress(&mut self) {
        self.log("end of tests".to_string());
    }

    fn log_event_evaluation(&mut self, event: String) {
        self.log(event);
    }
}
