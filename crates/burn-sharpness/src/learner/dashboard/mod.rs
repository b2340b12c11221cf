//! Critical sharpness and the edge threshold in one chart of burn's dashboard.

mod chart;
mod history;
mod inner;
mod renderer;
mod ticks;

use crate::journal::Entry;
use crate::metric::{Quantity, describe_none, describe_value};
use crate::{Measurement, SharpnessProbe, TRAIN_TASK};
use burn::train::Interrupter;
use burn::train::metric::{
    MetricDefinition, MetricId, NumericAttributes, NumericEntry, format_float,
};
use burn::train::renderer::{EvaluationName, MetricState, MetricsRenderer};
use chart::Chart;
use inner::Inner;
use std::sync::Arc;

/// The name of the chart. Burn's axes are linear. It calls what comes from the training "Train", and every curve with a
/// name of its own "Test" and that name: the words are explained where they are seen.
const CHART: &str = "λ_c (Train), 2/η (Test), log10";
const DESCRIPTION: &str = "the logarithms to base 10 of the critical sharpness, of the edge threshold 2/η, and of the relative critical sharpness of each task: a sharpness above 2/η means that this step raises the loss";
const THRESHOLD: &str = "2/η";
const EDGE: &str = "edge";
/// What is said beside the value of a second curve, whose name burn precedes with a word of its own.
const TEST: &str = "\"Test\" is burn's word";

/// How many times 2/η may be above λ_c to be drawn: farther away, it would take the room of all other curves.
const FARTHEST: f64 = 1e3;
/// The same while 2/η falls, as in a warmup, which passes over many decades and is soon over.
const FARTHEST_IN_WARMUP: f64 = 10.0;

impl SharpnessProbe {
    /// Wraps a renderer of burn's training, so that its dashboard shows λ_c, 2/η and the relative critical
    /// sharpness of each task in one chart, where the crossing is seen.
    ///
    /// The chart is the first of the dashboard. Burn's axes are linear, so that it shows logarithms to base
    /// 10; λ_c is the curve that burn calls `Train`, every other one has its name after burn's word `Test`. 2/η is drawn where it is at
    /// most 1000 times λ_c, and 10 times while it falls, so that a warmup leaves λ_c its room; the text beside the
    /// chart has it always. A measurement takes as many ticks of the
    /// horizontal axis as there are curves (one more if that is even), and a history that burn thins out
    /// keeps the same share of each curve. What was not measured has no point, and the text beside the chart
    /// says since when and why. A run that resumes begins with what its record has from before (of a long record, a
    /// thousand measurements). Burn draws its full history as lines, over such a place, too; its recent
    /// history has points.
    ///
    /// The chart of the edge ratio, where [`metrics_sharpness`](crate::SharpnessMetrics::metrics_sharpness)
    /// has registered it, has a line at 1. All else is handed over as it is.
    ///
    /// For the dashboard that burn would choose, see
    /// [`dashboard_sharpness`](crate::SharpnessMetrics::dashboard_sharpness).
    ///
    /// ```
    /// use burn::train::renderer::CliMetricsRenderer;
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// let probe = SharpnessProbe::new(SharpnessConfig::new())?;
    /// let renderer = probe.dashboard(Box::new(CliMetricsRenderer::new()));
    /// // Give it to `SupervisedTraining::renderer`.
    /// # drop(renderer);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn dashboard(&self, renderer: Box<dyn MetricsRenderer>) -> Box<dyn MetricsRenderer> {
        if !self.is_enabled() {
            return renderer;
        }
        Box::new(Dashboard::new(self, Inner::of(renderer)))
    }

    /// The same of the renderer that burn would choose.
    pub(super) fn dashboard_of_burn(&self, interrupter: Interrupter) -> Box<dyn MetricsRenderer> {
        Box::new(Dashboard::new(self, Inner::of_burn(interrupter)))
    }
}

/// A renderer with the chart of λ_c and 2/η.
struct Dashboard {
    inner: Inner,
    probe: SharpnessProbe,
    /// The index of the next training item.
    item: u64,
    /// Whether the items that are processed are of the training.
    is_training: bool,
    is_registered: bool,
    /// Whether a measurement of this run was drawn.
    has_begun: bool,
    chart: Chart,
    /// The last λ_c of the training, and the last 2/η.
    sharpness: Option<f64>,
    threshold: Option<f64>,
    /// The training and the tasks, and the step since which each has given no number.
    tasks: Vec<(Arc<str>, Option<u64>)>,
    /// The chart of the edge ratio, if there is one.
    ratio: Option<Chart>,
}

impl Dashboard {
    fn new(probe: &SharpnessProbe, inner: Inner) -> Self {
        let tasks = probe.task_names();
        let names = tasks.iter().map(EvaluationName::new);
        let others = std::iter::once(EvaluationName::new(THRESHOLD)).chain(names);
        let id = MetricId::new(Arc::new(CHART.to_string()));
        let training = std::iter::once(Arc::from(TRAIN_TASK));
        Self {
            inner,
            item: probe.items(),
            is_training: true,
            is_registered: false,
            has_begun: false,
            chart: Chart::new(id, others.collect(), probe.config().interval()),
            sharpness: None,
            threshold: None,
            tasks: training.chain(tasks).map(|task| (task, None)).collect(),
            ratio: None,
            probe: probe.clone(),
        }
    }

    /// The chart is known to the renderer before anything is drawn.
    fn register(&mut self) {
        if !self.is_registered {
            self.is_registered = true;
            self.inner.register(MetricDefinition {
                metric_id: self.chart.id(),
                name: Arc::new(CHART.to_string()),
                description: Some(DESCRIPTION.to_string()),
                attributes: NumericAttributes {
                    unit: None,
                    higher_is_better: false,
                }
                .into(),
            });
        }
    }

    /// A training item was processed: draws what was measured during it.
    fn read_item(&mut self) {
        let entry = self.probe.entry_at(self.item);
        self.item += 1;
        if let Some(entry) = entry
            && let Some(training) = entry.of_task(TRAIN_TASK)
        {
            self.register();
            if !std::mem::replace(&mut self.has_begun, true) {
                self.draw_history(training.step);
            }
            self.draw(&entry, training);
            self.draw_ratio(training);
        }
    }

    /// The charts of a run that resumed begin with what was measured before.
    fn draw_history(&mut self, step: u64) {
        let Some(directory) = &self.probe.config().directory else {
            return;
        };
        for entry in history::before(step, directory) {
            if let Some(training) = entry.of_task(TRAIN_TASK) {
                self.draw(&entry, training);
                self.draw_ratio(training);
            }
        }
    }

    fn draw(&mut self, entry: &Entry, training: &Measurement) {
        let threshold = training.edge_threshold();
        let drawn = threshold.filter(|threshold| self.has_room_for(*threshold, training));
        let renderer = self.inner.get();
        let text = match threshold.map(|threshold| format_float(threshold, 3)) {
            Some(text) if drawn.is_none() => format!("{text}, above the chart"),
            Some(text) => format!("{text} ({TEST})"),
            None => "none: the learning rate is 0 or not known".to_string(),
        };
        self.chart.say(1, text, renderer);
        // The threshold comes second, after the training.
        let mut values = vec![None, drawn.map(f64::log10)];
        for (index, (task, no_number_since)) in self.tasks.iter_mut().enumerate() {
            let measurement = entry.of_task(task);
            let text = describe(measurement, training.step, no_number_since);
            let sharpness = measurement.and_then(|measurement| measurement.critical_sharpness);
            let value = sharpness.map(f64::log10);
            if index == 0 {
                values[0] = value;
                self.chart.say(0, format!("λ_c {text}"), renderer);
            } else {
                values.push(value);
                self.chart.say(index + 1, text, renderer);
            }
        }
        self.chart.draw(training.step, &values, renderer);
    }

    /// Whether 2/η leaves the other curves their room.
    fn has_room_for(&mut self, threshold: f64, training: &Measurement) -> bool {
        let before = self.threshold.replace(threshold);
        self.sharpness = training.critical_sharpness.or(self.sharpness);
        let falls = before.is_none_or(|before| threshold < before);
        let farthest = if falls { FARTHEST_IN_WARMUP } else { FARTHEST };
        match self.sharpness {
            Some(sharpness) => threshold <= farthest * sharpness,
            None => !falls,
        }
    }

    fn draw_ratio(&mut self, training: &Measurement) {
        if let Some(ratio) = &mut self.ratio {
            let renderer = self.inner.get();
            if !ratio.has_point() {
                ratio.say(1, format!("1 ({TEST})"), renderer);
            }
            let values = [training.edge_ratio(), Some(1.0)];
            ratio.draw(training.step, &values, renderer);
        }
    }

    /// What a metric says, without its ticks where its chart is drawn here.
    fn without_ticks(&mut self, state: MetricState) -> MetricState {
        match (state, &mut self.ratio) {
            (MetricState::Numeric(entry, value), Some(ratio)) if ratio.is(&entry.metric_id) => {
                ratio.note(0, entry.serialized_entry.formatted.clone());
                match value {
                    // The mean of an epoch, for burn's bars: it is no tick of a chart that has a point.
                    Some(NumericEntry::Final(mean)) if ratio.has_point() && mean.is_finite() => {
                        MetricState::Numeric(entry, Some(NumericEntry::Final(mean)))
                    }
                    _ => MetricState::Generic(entry),
                }
            }
            (state, _) => state,
        }
    }
}

/// The text of a curve of sharpness after the measurement at this step.
fn describe(
    measurement: Option<&Measurement>,
    step: u64,
    no_number_since: &mut Option<u64>,
) -> String {
    if let Some(measurement) = measurement
        && let Some(sharpness) = measurement.critical_sharpness
    {
        *no_number_since = None;
        return describe_value(Quantity::CriticalSharpness, sharpness, measurement);
    }
    let why = measurement.and_then(Measurement::no_number);
    let why = why.unwrap_or_else(|| "not measured".to_string());
    describe_none(no_number_since, step, why)
}
