use crate::journal::Reading;
use crate::probe::NEVER_ATTACHED;
use crate::{Measurement, SharpnessProbe, TRAIN_TASK};
use burn::tensor::TensorReadError;
use burn::train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry, format_float,
};
use sharpness_record::Quantity;
use std::collections::VecDeque;
use std::sync::Arc;

/// Burn's metrics lag by fewer items.
const ITEMS_TO_WAIT: u64 = 8;

const OF_VALIDATION: &str = "no measurement: this metric is registered for validation, but the probe measures training only; register it for training, by `metric_train_numeric` or `metrics_sharpness`";
const NO_RATE: &str = "no measurement: the training strategy tells metrics no learning rate, so they cannot recognize training items";

const EDGE_RATIO_OFF_THE_CHART: f64 = 1e-3;

/// A high edge threshold would flatten the rest of a linear chart.
fn is_off_the_chart(quantity: Quantity, measurement: &Measurement) -> bool {
    let ratio = measurement.edge_ratio();
    quantity == Quantity::EdgeThreshold
        && ratio.is_some_and(|ratio| ratio < EDGE_RATIO_OFF_THE_CHART)
}

fn is_of_edge(quantity: Quantity) -> bool {
    use Quantity::{CriticalSharpness, EdgeRatio, EdgeThreshold};
    matches!(quantity, CriticalSharpness | EdgeThreshold | EdgeRatio)
}

/// Shows one quantity of a probe's measurements as a burn metric, for every model.
///
/// The metric shows a point at each measurement with a number; without a number, its text begins with `none` and says
/// since when.
///
/// - With gradient accumulation it may draw a point up to one interval late, at a tick that burn's full history keeps.
/// - The chart of the edge threshold omits points above 1000 times λ_c, since burn's axes are linear; the text has
///   them.
/// - At the end of an epoch it reports the mean of the epoch's measurements, or the last number if the epoch has no
///   number. If the run has no number yet, burn gets NaN, which no log contains.
///
/// [`metrics_sharpness`](crate::SharpnessMetrics::metrics_sharpness) registers the usual metrics; give a single metric
/// to `metric_train_numeric` of burn's training:
///
/// ```
/// use burn_sharpness::{Quantity, SharpnessConfig, SharpnessMetric, SharpnessProbe};
///
/// let probe = SharpnessProbe::new(SharpnessConfig::new())?;
/// let edge_ratio = SharpnessMetric::new(&probe, Quantity::EdgeRatio);
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharpnessMetric {
    quantity: Quantity,
    task: Arc<str>,
    name: MetricName,
    probe: SharpnessProbe,
    reading: Reading,
    tick: u64,
    /// Points, each with the first tick at which it may be drawn.
    waiting: VecDeque<(u64, f64)>,
    has_rate: bool,
    items_without_rate: u64,
    items_of_validation: u64,
    point: Option<f64>,
    last: Option<f64>,
    sum: f64,
    count: u32,
    none_since: Option<u64>,
    text: String,
}

impl SharpnessMetric {
    /// Creates a metric of the training's own measurements, from the next training item on.
    pub fn new(probe: &SharpnessProbe, quantity: Quantity) -> Self {
        let name = quantity.name().to_string();
        Self::named(probe, quantity, TRAIN_TASK, name)
    }

    /// Creates a metric of a [task](crate::SharpnessProbeBuilder::with_task)'s measurements. Its name is the quantity's
    /// and the task's; critical sharpness is called `Relative Sharpness`.
    pub fn of_task(probe: &SharpnessProbe, quantity: Quantity, task: &str) -> Self {
        let quantity_name = match quantity {
            Quantity::CriticalSharpness => "Relative Sharpness",
            other => other.name(),
        };
        Self::named(probe, quantity, task, format!("{quantity_name} {task}"))
    }

    fn named(probe: &SharpnessProbe, quantity: Quantity, task: &str, name: String) -> Self {
        probe.run().has_metric = true;
        Self {
            quantity,
            task: task.into(),
            name: Arc::new(name),
            probe: probe.clone(),
            reading: probe.begin_reading(),
            tick: 0,
            waiting: VecDeque::new(),
            has_rate: false,
            items_without_rate: 0,
            items_of_validation: 0,
            point: None,
            last: None,
            sum: 0.0,
            count: 0,
            none_since: None,
            text: if probe.is_enabled() {
                "not measured yet".to_string()
            } else {
                "not measured: the probe is off".to_string()
            },
        }
    }

    fn read_item(&mut self) {
        self.reading.meet_item();
        for entry in self.probe.read(&mut self.reading) {
            if let Some(measurement) = entry.of_task(&self.task) {
                self.read(measurement, entry.interval);
            }
        }
        let next = self.waiting.pop_front_if(|(due, _)| *due <= self.tick);
        self.point = next.map(|(_, value)| value);
        self.tick += 1;
    }

    fn read(&mut self, measurement: &Measurement, interval: u64) {
        if self.quantity.is_due(measurement) {
            let step = measurement.step;
            self.text = describe(self.quantity, Some(measurement), step, &mut self.none_since);
        }
        let value = self.quantity.of(measurement);
        if let Some(value) = value.filter(|_| !is_off_the_chart(self.quantity, measurement)) {
            let stride = largest_power_of_two_divisor(interval);
            let due = self.tick.next_multiple_of(stride);
            self.waiting.push_back((due, value));
            self.last = Some(value);
            self.sum += value;
            self.count += 1;
        }
    }

    fn why_nothing_comes(&self) -> Option<&'static str> {
        if self.last.is_some() || !self.probe.is_enabled() {
            return None;
        }
        // Metrics learn of an item a little after its step.
        let items = self.probe.run().journal.feed.items;
        if self.tick >= ITEMS_TO_WAIT && items == 0 {
            return Some(NEVER_ATTACHED);
        }
        let is_without_rate = !self.has_rate && self.items_without_rate >= ITEMS_TO_WAIT;
        (is_without_rate && items >= ITEMS_TO_WAIT).then_some(
            // The last few items of an epoch may come late.
            if 2 * self.items_of_validation > self.items_without_rate {
                OF_VALIDATION
            } else {
                NO_RATE
            },
        )
    }

    fn epoch_mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

fn largest_power_of_two_divisor(interval: u64) -> u64 {
    1 << interval.max(1).trailing_zeros()
}

fn why_unknown(quantity: Quantity, measurement: &Measurement) -> &'static str {
    use Quantity::{GradientSignal, GradientVariance, NoiseScale};
    match quantity {
        GradientSignal | GradientVariance | NoiseScale => {
            "it needs the panel, and an update of several micro-batches whose gradients agree beyond their noise"
        }
        _ if !Quantity::PANEL.contains(&quantity) => "no learning rate",
        _ if measurement.weight_norm.is_none() => {
            "not measured: add `.with_panel(true)` to the configuration of the probe"
        }
        Quantity::Agreement => {
            "the search has not evaluated the loss at the learning rate, or does not know its slope"
        }
        _ => "not known of this update",
    }
}

pub(crate) fn describe(
    quantity: Quantity,
    measurement: Option<&Measurement>,
    step: u64,
    since: &mut Option<u64>,
) -> String {
    let value = measurement.and_then(|measurement| quantity.of(measurement));
    if let (Some(value), Some(measurement)) = (value, measurement) {
        *since = None;
        let text = format!("{} at step {step}", format_float(value, 3));
        return match measurement.at_edge() {
            Some(at_edge) if is_of_edge(quantity) => format!("{text}, {at_edge}"),
            _ => text,
        };
    }
    let why = match measurement.map(|measurement| (quantity.curvature(measurement), measurement)) {
        Some((Some(curvature), _)) => format!("{:?}", curvature.outcome),
        Some((None, measurement)) => {
            let why = measurement.no_number();
            why.unwrap_or_else(|| why_unknown(quantity, measurement).to_string())
        }
        None => "not measured".to_string(),
    };
    format!("none since step {}: {why}", since.get_or_insert(step))
}

impl Metric for SharpnessMetric {
    type Input = ();

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn description(&self) -> Option<String> {
        let description = self.quantity.about().words;
        Some(if *self.task == *TRAIN_TASK {
            description.to_string()
        } else {
            format!("{description}, for the loss of task {}", self.task)
        })
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes {
            unit: None,
            higher_is_better: false,
        }
        .into()
    }

    fn update(
        &mut self,
        _item: &(),
        metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        // Only training items come with a learning rate.
        if metadata.lr.is_some() {
            self.has_rate = true;
            self.read_item();
        } else {
            self.point = None;
            self.items_without_rate += 1;
            self.items_of_validation += u64::from(self.probe.run().is_validating);
        }
        if let Some(hint) = self.why_nothing_comes()
            && self.text != hint
        {
            self.text = hint.to_string();
            self.probe.tell(self.text.clone());
        }
        let value = self.point.map(NumericEntry::Value);
        Ok(entry(self.text.clone(), value.as_ref()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        let mean = self.epoch_mean();
        let text = match mean {
            Some(mean) => format!("epoch mean {}; {}", format_float(mean, 3), self.text),
            None => self.text.clone(),
        };
        Ok(entry(text, mean.map(NumericEntry::Final).as_ref()))
    }

    fn clear(&mut self) {
        if self.last.is_none() {
            // At the end of an epoch, the dashboard counts a value without a point as a tick.
            self.tick += 1;
        }
        self.sum = 0.0;
        self.count = 0;
    }
}

pub(crate) fn entry(text: String, value: Option<&NumericEntry>) -> SerializedEntry {
    let serialized = value.map(NumericEntry::serialize);
    let serialized = serialized.unwrap_or_else(|| SerializedEntry::NOT_AVAILABLE.to_string());
    SerializedEntry::new(text, serialized)
}

impl Numeric for SharpnessMetric {
    fn value(&self) -> Option<NumericEntry> {
        self.point.map(NumericEntry::Value)
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.epoch_mean().map(NumericEntry::Value)
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Final(self.epoch_mean().or(self.last).unwrap_or(f64::NAN))
    }
}
