//! Measurements as OpenTelemetry metrics: the layer that a program adds, and a test of its exports with the library's
//! own source, without burn.

#[cfg(test)]
#[path = "../../../crates/burn-sharpness/src/journal/metrics.rs"]
mod metrics;

// ANCHOR: layer
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tracing_opentelemetry::MetricsLayer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// Lines of text, and metrics for a provider.
pub fn subscriber(provider: SdkMeterProvider) -> impl tracing::Subscriber {
    let text = tracing_subscriber::fmt::layer().with_filter(LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(text)
        .with(MetricsLayer::new(provider))
}
// ANCHOR_END: layer

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader};
    use sharpness_record::{Measurement, MeasurementOutcome, Quantity, TRAIN_TASK};
    use std::collections::BTreeMap;

    fn measurement(step: u64, critical_lr: Option<f64>) -> Measurement {
        let outcome = critical_lr.map_or(MeasurementOutcome::NoIncrease, |_| {
            MeasurementOutcome::Bracketed
        });
        let mut measurement = Measurement::new(step, None, TRAIN_TASK, outcome);
        measurement.learning_rate = Some(0.25);
        measurement.critical_lr = critical_lr;
        measurement.critical_sharpness = critical_lr.map(|rate| 2.0 / rate);
        measurement.evaluations = 3;
        measurement
    }

    fn gauges(exported: &[ResourceMetrics]) -> BTreeMap<String, f64> {
        let mut gauges = BTreeMap::new();
        let scopes = exported.iter().flat_map(ResourceMetrics::scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics()) {
            if let AggregatedMetrics::F64(MetricData::Gauge(gauge)) = metric.data() {
                for point in gauge.data_points() {
                    let attributes = point.attributes();
                    let attributes = attributes.map(|of| format!("{}={}", of.key, of.value));
                    let attributes: Vec<String> = attributes.collect();
                    assert_eq!(attributes, ["task=train"], "one series for each task");
                    gauges.insert(metric.name().to_string(), point.value());
                }
            }
        }
        gauges
    }

    fn counted(exported: &[ResourceMetrics], name: &str) -> u64 {
        let last = exported.last().unwrap();
        let metrics = last.scope_metrics().flat_map(|scope| scope.metrics());
        let points = metrics.filter(|metric| metric.name() == name);
        let points = points.map(|metric| match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                sum.data_points().map(|point| point.value()).sum::<u64>()
            }
            other => panic!("{other:?}"),
        });
        points.sum()
    }

    #[test]
    fn measurements_become_gauges_and_counters() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let all = [(0, Some(0.5)), (10, Some(0.125)), (20, None)];
        let all = all.map(|(step, critical_lr)| measurement(step, critical_lr));
        tracing::subscriber::with_default(subscriber(provider.clone()), || {
            all.iter().for_each(metrics::emit);
        });
        provider.force_flush().unwrap();

        let exported = exporter.get_finished_metrics().unwrap();
        let gauges = gauges(&exported);
        let expected = [
            ("critical_lr", 0.125),
            ("critical_sharpness", 16.0),
            ("edge_ratio", 2.0),
            ("edge_threshold", 8.0),
            ("learning_rate", 0.25),
        ];
        let expected = expected.map(|(name, value)| (format!("sharpness.{name}"), value));
        // A missing measurement draws no point, and never a 0.
        assert_eq!(gauges, BTreeMap::from(expected));
        assert_eq!(counted(&exported, "sharpness.measurements"), 3);
        assert_eq!(counted(&exported, "sharpness.evaluations"), 9);
    }

    #[test]
    fn the_gauges_are_those_of_the_table() {
        let source = include_str!("../../../crates/burn-sharpness/src/journal/metrics.rs");
        let drawn = Quantity::TABLE.iter().filter(|q| q.about().scale.is_some());
        for quantity in drawn.clone() {
            let field = quantity.about().field;
            let gauge = format!("gauge.sharpness.{field} = of(Quantity::{quantity:?})");
            assert!(source.contains(&gauge), "{gauge} is not emitted");
        }
        assert_eq!(source.matches("gauge.sharpness.").count(), drawn.count());
    }
}
