use super::chart::Chart;
use crate::journal::Entry;
use crate::metric::describe;
use crate::{Measurement, SharpnessConfig, TRAIN_TASK, Thresholds};
use burn::train::metric::{
    MetricDefinition, MetricId, NumericAttributes, NumericEntry, format_float,
};
use burn::train::renderer::{EvaluationName, MetricState, MetricsRenderer};
use sharpness_record::{Against, Quantity};
use std::sync::Arc;

/// The quantity of the probe's own chart. The other charts are those of the registered metrics.
const OWN: Quantity = Quantity::CriticalSharpness;
/// Burn's axes are linear, so one chart shows logarithms. Burn labels curves "Train" and "Test", so the titles explain
/// both words.
const NAME: &str = "λ_c (Train), 2/η (Test), log10";
const DESCRIPTION: &str = "the logarithms to base 10 of the critical sharpness, of the edge threshold 2/η, and of the relative critical sharpness of each task: a sharpness above 2/η means that this step raises the loss";
const CHARTS: [Quantity; 6] = [
    OWN,
    Quantity::EdgeRatio,
    Quantity::DirectionalSharpness,
    Quantity::HessianSharpness,
    Quantity::PreconditionedSharpness,
    Quantity::BatchSharpness,
];

fn compared_with(quantity: Quantity, optimizer: Option<Thresholds>) -> Option<Against> {
    use Quantity::{
        AdamThreshold, BatchSharpness, DirectionalSharpness, EdgeThreshold, HessianSharpness,
        LargeBatchThreshold, PreconditionedSharpness, SmallBatchThreshold,
    };
    if !quantity.is_curvature() {
        return quantity.about().against;
    }
    let threshold = match (quantity, optimizer?) {
        (DirectionalSharpness, _) => EdgeThreshold,
        (HessianSharpness, Thresholds::HeavyBall { .. }) => LargeBatchThreshold,
        (PreconditionedSharpness, Thresholds::Adam { .. }) => AdamThreshold,
        (BatchSharpness, Thresholds::HeavyBall { .. }) => SmallBatchThreshold,
        _ => return None,
    };
    Some(Against::Quantity(threshold))
}

const TEST: &str = "\"Test\" is burn's word";

/// A higher ratio of the threshold to its quantity would squeeze the other curves.
const FARTHEST: f64 = 1e3;
/// A warmup soon passes over many decades.
const FARTHEST_IN_WARMUP: f64 = 10.0;

pub(super) struct Drawn {
    quantity: Quantity,
    against: Against,
    chart: Option<Chart>,
    /// Each with the first step without a number.
    curves: Vec<(Arc<str>, Option<u64>)>,
    value: Option<f64>,
    threshold: Option<f64>,
    interval: u64,
}

impl Drawn {
    pub(super) fn all(tasks: &[Arc<str>], config: &SharpnessConfig) -> Vec<Self> {
        let compared = CHARTS.into_iter().filter_map(|quantity| {
            let against = compared_with(quantity, config.thresholds)?;
            Some((quantity, against))
        });
        compared
            .map(|(quantity, against)| {
                let tasks = if quantity == OWN { tasks } else { &[] };
                let interval = match quantity {
                    Quantity::BatchSharpness => config.batch_sharpness.map(|config| config.every),
                    quantity if quantity.is_curvature() => {
                        config.curvature.map(|config| config.every)
                    }
                    _ => None,
                };
                let interval = interval.unwrap_or(config.interval());
                let curves = std::iter::once(Arc::from(TRAIN_TASK)).chain(tasks.iter().cloned());
                let mut drawn = Self {
                    quantity,
                    against,
                    chart: None,
                    curves: curves.map(|task| (task, None)).collect(),
                    value: None,
                    threshold: None,
                    interval,
                };
                if drawn.is_own() {
                    drawn.chart = Some(drawn.chart_of(MetricId::new(Arc::new(NAME.to_string()))));
                }
                drawn
            })
            .collect()
    }

    fn is_own(&self) -> bool {
        self.quantity == OWN
    }

    fn chart_of(&self, id: MetricId) -> Chart {
        let threshold = match self.against {
            Against::Line(_, name) => name,
            Against::Quantity(other) => other.about().symbol,
        };
        let tasks = self.curves.iter().skip(1);
        let tasks = tasks.map(|(task, _)| EvaluationName::new(task));
        let others = std::iter::once(EvaluationName::new(threshold)).chain(tasks);
        Chart::new(id, others.collect(), self.interval)
    }

    pub(super) fn definition(&self) -> Option<MetricDefinition> {
        let chart = self.chart.as_ref().filter(|_| self.is_own())?;
        Some(MetricDefinition {
            metric_id: chart.id.clone(),
            name: Arc::new(NAME.to_string()),
            description: Some(DESCRIPTION.to_string()),
            attributes: NumericAttributes {
                unit: None,
                higher_is_better: false,
            }
            .into(),
        })
    }

    pub(super) fn note_metric(&mut self, definition: &MetricDefinition) {
        let is_its_metric = definition.name.as_str() == self.quantity.name();
        if !self.is_own() && is_its_metric {
            self.chart = Some(self.chart_of(definition.metric_id.clone()));
        }
    }

    /// Burn orders texts by first appearance, so the probe's own charts come first.
    pub(super) fn begin(&mut self, renderer: &mut dyn MetricsRenderer) {
        let is_own = self.is_own();
        if let Some(chart) = self.chart.as_mut().filter(|_| is_own) {
            chart.say(0, "λ_c not measured yet".to_string(), renderer);
        }
    }

    pub(super) fn draw(
        &mut self,
        entry: &Entry,
        training: &Measurement,
        renderer: &mut dyn MetricsRenderer,
    ) {
        if !self.quantity.is_due(training) {
            return;
        }
        let (threshold, text) = self.threshold_of(training);
        let (quantity, is_own) = (self.quantity, self.is_own());
        let Some(chart) = &mut self.chart else { return };
        chart.say(1, text, renderer);
        let mut values = vec![threshold; self.curves.len() + 1];
        for (index, (task, no_number_since)) in self.curves.iter_mut().enumerate() {
            let series = index + usize::from(index > 0);
            let measurement = entry.of_task(task);
            values[series] = measurement.and_then(|measurement| quantity.of(measurement));
            if is_own {
                let symbol = if index == 0 { "λ_c " } else { "" };
                let text = describe(quantity, measurement, training.step, no_number_since);
                chart.say(series, format!("{symbol}{text}"), renderer);
            }
        }
        if is_own {
            let values = values.iter_mut().flatten();
            values.for_each(|value| *value = value.log10());
        }
        chart.draw(training.step, &values, renderer);
    }

    fn threshold_of(&mut self, training: &Measurement) -> (Option<f64>, String) {
        let other = match self.against {
            Against::Line(value, _) => return (Some(value), format!("{value} ({TEST})")),
            Against::Quantity(other) => other.of(training),
        };
        let drawn = other.filter(|threshold| self.has_room_for(*threshold, training));
        let text = match other.map(|threshold| format_float(threshold, 3)) {
            Some(text) if drawn.is_none() => format!("{text}, above the chart"),
            Some(text) => format!("{text} ({TEST})"),
            None => "none: the learning rate is 0 or not known".to_string(),
        };
        (drawn, text)
    }

    fn has_room_for(&mut self, threshold: f64, training: &Measurement) -> bool {
        let before = self.threshold.replace(threshold);
        self.value = self.quantity.of(training).or(self.value);
        let falls = before.is_none_or(|before| threshold < before);
        let farthest = if falls { FARTHEST_IN_WARMUP } else { FARTHEST };
        match self.value {
            Some(value) => threshold <= farthest * value,
            None => !falls,
        }
    }

    pub(super) fn without_ticks(&mut self, state: MetricState) -> MetricState {
        match (state, &mut self.chart) {
            (MetricState::Numeric(entry, value), Some(chart)) if chart.id == entry.metric_id => {
                chart.note(0, entry.serialized_entry.formatted.clone());
                match value {
                    // Burn's bars show the mean of an epoch; in a chart with a point, the mean adds no tick.
                    Some(NumericEntry::Final(mean))
                        if chart.ticks.has_point && mean.is_finite() =>
                    {
                        MetricState::Numeric(entry, Some(NumericEntry::Final(mean)))
                    }
                    _ => MetricState::Generic(entry),
                }
            }
            (state, _) => state,
        }
    }
}
