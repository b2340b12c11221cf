//! Emits events whose fields a layer such as `MetricsLayer` of `tracing-opentelemetry` makes metrics of, by their
//! prefixes.

use sharpness_record::{Measurement, Quantity};

pub(super) fn emit(measurement: &Measurement) {
    let of = |quantity: Quantity| quantity.of(measurement);
    let task = measurement.task.as_str();
    // Every other field, a message too, would be an attribute of each metric: the task tells their series apart.
    tracing::trace!(
        target: "burn_sharpness::metrics",
        task,
        gauge.sharpness.learning_rate = of(Quantity::LearningRate),
        gauge.sharpness.base_loss = of(Quantity::BaseLoss),
        gauge.sharpness.gradient_norm = of(Quantity::GradientNorm),
        gauge.sharpness.weight_norm = of(Quantity::WeightNorm),
        gauge.sharpness.relative_update = of(Quantity::RelativeUpdate),
        gauge.sharpness.gradient_cosine = of(Quantity::GradientCosine),
        gauge.sharpness.agreement = of(Quantity::Agreement),
        gauge.sharpness.noise_scale = of(Quantity::NoiseScale),
        gauge.sharpness.critical_lr = of(Quantity::CriticalLearningRate),
        gauge.sharpness.critical_sharpness = of(Quantity::CriticalSharpness),
        gauge.sharpness.edge_threshold = of(Quantity::EdgeThreshold),
        gauge.sharpness.edge_ratio = of(Quantity::EdgeRatio),
        gauge.sharpness.directional_sharpness = of(Quantity::DirectionalSharpness),
        gauge.sharpness.hessian_sharpness = of(Quantity::HessianSharpness),
        gauge.sharpness.preconditioned_sharpness = of(Quantity::PreconditionedSharpness),
        gauge.sharpness.batch_sharpness = of(Quantity::BatchSharpness),
        gauge.sharpness.interaction_aware_sharpness = of(Quantity::InteractionAwareSharpness),
        gauge.sharpness.large_batch_threshold = of(Quantity::LargeBatchThreshold),
        gauge.sharpness.small_batch_threshold = of(Quantity::SmallBatchThreshold),
        gauge.sharpness.adam_threshold = of(Quantity::AdamThreshold),
    );
    tracing::trace!(
        target: "burn_sharpness::metrics",
        task,
        outcome = measurement.outcome.name(),
        monotonic_counter.sharpness.measurements = 1_u64,
        monotonic_counter.sharpness.evaluations = measurement.evaluations as u64,
        histogram.sharpness.seconds = measurement.seconds,
    );
}
