use super::ticks::{Tick, Ticks};
use crate::metric::entry;
use burn::train::metric::{MetricEntry, MetricId, NumericEntry};
use burn::train::renderer::{EvaluationName, MetricState, MetricsRenderer};

/// Burn draws all curves of the training in one colour under one name, and gives each evaluation its own. So every
/// curve but the first poses as an evaluation.
pub(super) struct Chart {
    pub(super) id: MetricId,
    others: Vec<EvaluationName>,
    texts: Vec<String>,
    pub(super) ticks: Ticks,
}

impl Chart {
    pub(super) fn new(id: MetricId, others: Vec<EvaluationName>, interval: u64) -> Self {
        let series = 1 + others.len();
        Self {
            id,
            others,
            texts: vec![String::new(); series],
            ticks: Ticks::new(series, interval),
        }
    }

    pub(super) fn say(&mut self, series: usize, text: String, renderer: &mut dyn MetricsRenderer) {
        self.note(series, text);
        let state = MetricState::Generic(self.entry(series, None));
        self.send(series, state, renderer);
    }

    pub(super) fn note(&mut self, series: usize, text: String) {
        if let Some(known) = self.texts.get_mut(series) {
            *known = text;
        }
    }

    pub(super) fn draw(
        &mut self,
        step: u64,
        values: &[Option<f64>],
        renderer: &mut dyn MetricsRenderer,
    ) {
        for tick in self.ticks.of(step, values) {
            let (series, value) = match tick {
                Tick::Point(series, value) => (series, Some(value)),
                Tick::Empty => (0, None),
            };
            let value = value.map(NumericEntry::Value);
            let state = MetricState::Numeric(self.entry(series, value.as_ref()), value);
            self.send(series, state, renderer);
        }
    }

    fn entry(&self, series: usize, value: Option<&NumericEntry>) -> MetricEntry {
        let text = self.texts.get(series).cloned().unwrap_or_default();
        MetricEntry::new(self.id.clone(), entry(text, value))
    }

    fn send(&self, series: usize, state: MetricState, renderer: &mut dyn MetricsRenderer) {
        let other = series.checked_sub(1);
        match other.and_then(|other| self.others.get(other)) {
            Some(name) => renderer.update_test(name.clone(), state),
            None => renderer.update_train(state),
        }
    }
}
