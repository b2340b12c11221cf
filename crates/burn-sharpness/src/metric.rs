use crate::probe::NEVER_ATTACHED;
use crate::{Measurement, SharpnessProbe, TRAIN_TASK};
use burn::tensor::TensorReadError;
use burn::train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry, format_float,
};
use sharpness_record::Quantity;
use std::sync::Arc;

/// The number of items after which a metric reports that nothing comes: burn's metrics lag by fewer.
const ITEMS_TO_WAIT: u64 = 8;

const OF_VALIDATION: &str = "no measurement: this metric is registered for validation, but the probe measures training only; register it for training, by `metric_train_numeric` or `metrics_sharpness`";
const NO_RATE: &str = "no measurement: the training strategy tells metrics no learning rate, so they cannot recognize training items";

const EDGE_RATIO_OFF_THE_CHART: f64 = 1e-3;

/// Whether the value would flatten the rest of a linear chart: an edge threshold far above critical sharpness, as at
/// the start of a warmup.
fn is_off_the_chart(quantity: Quantity, measurement: &Measurement) -> bool {
    let ratio = measurement.edge_ratio();
    quantity == Quantity::EdgeThreshold
        && ratio.is_some_and(|ratio| ratio < EDGE_RATIO_OFF_THE_CHART)
}

fn is_of_edge(quantity: Quantity) -> bool {
    use Quantity::{CriticalSharpness, EdgeRatio, EdgeThreshold};
    matches!(quantity, CriticalSharpness | EdgeThreshold | EdgeRatio)
}

/// Shows one quantity of a probe's measurements as a burn metric.
///
/// It fits every model, since it reads the probe and not the model's output. It shows a point at each measurement and ticks
/// without a point in between; a measurement without a number shows no point, and a text that begins with `none` and says
/// since when. It does not count validation items.
///
/// The dashboard's plot of the full history drops the ticks that are not multiples of a growing power of two. With gradient
/// accumulation every measurement may fall on such a tick, so the metric draws its point at the next tick that survives as
/// long as any, less than one interval later.
///
/// Burn's axes are linear, so the chart of the edge threshold omits points above 1000 times λ_c, as when a schedule starts
/// at almost 0; the text beside the chart has them.
///
/// At the end of an epoch it reports the mean of the epoch's points, or repeats the last point if the epoch has none. Burn
/// asks for a number even if there was never a point: only then it gets NaN, which no log or summary contains.
///
/// [`metrics_sharpness`](crate::SharpnessMetrics::metrics_sharpness) registers all of them. To show one, give it to
/// `metric_train_numeric` of burn's training:
///
/// ```
/// use burn::data::dataloader::Progress;
/// use burn::module::{Module, Param};
/// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
/// use burn::tensor::{Device, Tensor};
/// use burn::train::metric::{Metric, MetricMetadata, Numeric};
/// use burn_sharpness::{Quantity, SharpnessConfig, SharpnessMetric, SharpnessProbe};
///
/// #[derive(Module, Debug)]
/// struct Point {
///     theta: Param<Tensor<1>>,
/// }
///
/// let probe = SharpnessProbe::new(SharpnessConfig::new())?;
/// let mut metric = SharpnessMetric::new(&probe, Quantity::EdgeRatio);
///
/// // L = 3θ²: λ_c = 6, of which the learning rate 0.1 is at 0.3 of the edge, 2/η = 20.
/// let loss = |point: &Point| (point.theta.val().square() * 3.0).sum();
/// let device = Device::flex().autodiff();
/// let point = Point { theta: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
/// let optim: ModuleOptimizer = SgdConfig::new().init();
/// let grads = GradientsParams::from_grads(loss(&point).backward(), &point);
/// probe.measure(&point, &optim, 0.1, &grads, loss);
///
/// // What burn does for each training item.
/// let metadata = MetricMetadata {
///     progress: Progress::new(1, 1, None),
///     iteration: Some(1),
///     lr: Some(0.1.into()),
/// };
/// let entry = metric.update(&(), &metadata).expect("it reads no tensor");
/// assert!((metric.value().expect("a point").current() - 0.3).abs() < 0.01);
/// assert!(entry.formatted.contains("at step 0"), "{}", entry.formatted);
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharpnessMetric {
    quantity: Quantity,
    task: Arc<str>,
    name: MetricName,
    probe: SharpnessProbe,
    item: u64,
    /// The position of the next item on the dashboard's horizontal axis.
    tick: u64,
    /// A point and the tick at which to draw it.
    waiting: Option<(u64, f64)>,
    /// Whether any item came with a learning rate.
    has_rate: bool,
    /// The items without a learning rate, and their number during a validation.
    items_without_rate: u64,
    items_of_validation: u64,
    point: Option<f64>,
    last: Option<f64>,
    /// The points of the epoch.
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
    /// name and the task's; critical sharpness is called `Relative Sharpness`.
    pub fn of_task(probe: &SharpnessProbe, quantity: Quantity, task: &str) -> Self {
        let quantity_name = match quantity {
            Quantity::CriticalSharpness => "Relative Sharpness",
            other => other.name(),
        };
        Self::named(probe, quantity, task, format!("{quantity_name} {task}"))
    }

    fn named(probe: &SharpnessProbe, quantity: Quantity, task: &str, name: String) -> Self {
        probe.note_metric();
        Self {
            quantity,
            task: task.into(),
            name: Arc::new(name),
            probe: probe.clone(),
            item: probe.items(),
            tick: 0,
            waiting: None,
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
        if let Some(entry) = self.probe.entry_at(self.item)
            && let Some(measurement) = entry.of_task(&self.task)
        {
            let value = self.quantity.of(measurement);
            if self.quantity.is_due(measurement) {
                let step = measurement.step;
                self.text = describe(self.quantity, Some(measurement), step, &mut self.none_since);
            }
            if let Some(value) = value.filter(|_| !is_off_the_chart(self.quantity, measurement)) {
                let stride = largest_power_of_two_divisor(entry.interval);
                self.waiting = Some((self.tick.next_multiple_of(stride), value));
            }
        }
        self.item += 1;

        self.point = match self.waiting {
            Some((due, value)) if due <= self.tick => {
                self.waiting = None;
                Some(value)
            }
            _ => None,
        };
        self.tick += 1;
        if let Some(point) = self.point {
            self.last = Some(point);
            self.sum += point;
            self.count += 1;
        }
    }

    fn why_nothing_comes(&self) -> Option<&'static str> {
        if self.last.is_some() || !self.probe.is_enabled() {
            return None;
        }
        // Metrics learn of an item a little after its step.
        if self.tick >= ITEMS_TO_WAIT && self.probe.items() == 0 {
            return Some(NEVER_ATTACHED);
        }
        let is_without_rate = !self.has_rate && self.items_without_rate >= ITEMS_TO_WAIT;
        (is_without_rate && self.probe.items() >= ITEMS_TO_WAIT).then_some(
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

/// Returns why a measurement with a critical sharpness has no value of this quantity.
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

/// Returns the text after the measurement at this step; `since` is the first step in a row without a number.
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
            self.items_of_validation += u64::from(self.probe.is_validating());
        }
        if let Some(hint) = self.why_nothing_comes()
            && self.text != hint
        {
            self.text = hint.to_string();
            self.probe.tell(self.text.clone());
        }
        let serialized = self
            .point
            .map(|point| NumericEntry::Value(point).serialize());
        Ok(entry(self.text.clone(), serialized))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        let mean = self.epoch_mean();
        let text = match mean {
            Some(mean) => format!("epoch mean {}; {}", format_float(mean, 3), self.text),
            None => self.text.clone(),
        };
        Ok(entry(
            text,
            mean.map(|mean| NumericEntry::Final(mean).serialize()),
        ))
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

/// Makes the entry of an item; burn's logs skip it if it has no value.
fn entry(text: String, serialized: Option<String>) -> SerializedEntry {
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
