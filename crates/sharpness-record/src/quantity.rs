//! The table of all quantities.

use crate::{CurvatureValue, Measurement};
use serde::Serialize;

/// The scale of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Linear in the value.
    #[default]
    Linear,
    /// Linear in the logarithm, without values that are not positive.
    Log,
}

/// The reference of a quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    /// Another quantity, drawn in the same chart.
    Quantity(Quantity),
    /// A named number, drawn as a line.
    Line(f64, &'static str),
}

/// Describes a quantity.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct About {
    /// Its name as a metric.
    pub name: &'static str,
    /// Its name in the record and in the CSV.
    pub field: &'static str,
    /// Its symbol.
    pub symbol: &'static str,
    /// Its unit, with η for the unit of the learning rate; empty for a plain number.
    pub unit: &'static str,
    /// The scale of its axis, if reports draw it.
    pub scale: Option<Scale>,
    /// Its reference.
    #[serde(skip)]
    pub against: Option<Against>,
    /// Its formula, in words.
    pub words: &'static str,
    #[serde(skip)]
    reads: Reads,
}

impl About {
    /// Returns the name, and the symbol if that is more than a word.
    pub fn title(&self) -> String {
        match self.symbol.is_ascii() {
            true => self.name.to_string(),
            false => format!("{} {}", self.name, self.symbol),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Reads {
    Number(fn(&Measurement) -> Option<f64>),
    Curvature(fn(&Measurement) -> Option<&CurvatureValue>),
}
use Reads::{Curvature, Number};
use Scale::{Linear, Log};

macro_rules! quantities {
    ($($quantity:ident: $name:literal, $field:literal, $symbol:literal, $unit:literal, $scale:expr, $against:expr,
        $words:literal, $reads:expr;)+) => {
        /// A quantity of the measurements; the table defines metrics, charts, CSV, reports and the book.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Quantity {
            $(#[doc = concat!($name, ": ", $words, ".")] $quantity,)+
        }

        impl Quantity {
            /// All quantities, in the order of the CSV's columns.
            pub const TABLE: &[Self] = &[$(Self::$quantity),+];

            /// Returns the entry of the table.
            pub fn about(&self) -> &'static About {
                match self {
                    $(Self::$quantity => {
                        const ABOUT: About = About {
                            name: $name,
                            field: $field,
                            symbol: $symbol,
                            unit: $unit,
                            scale: $scale,
                            against: $against,
                            words: $words,
                            reads: $reads,
                        };
                        &ABOUT
                    })+
                }
            }
        }
    };
}

const EDGE: Option<Against> = Some(Against::Quantity(Quantity::EdgeThreshold));

quantities! {
    LearningRate: "Learning Rate", "learning_rate", "η", "η", Some(Log), None,
        "the learning rate that the scheduler asks for at this step", Number(|m| m.learning_rate);
    LearningRateUsed: "Used Learning Rate", "learning_rate_used", "η used", "η", None, None,
        "the learning rate of the step, if an edge cap has lowered it", Number(|m| m.learning_rate_used);
    BaseLoss: "Base Loss", "base_loss", "loss", "loss", Some(Linear), None,
        "the loss L(θ) before the step", Number(|m| m.base_loss);
    BatchFraction: "Batch Fraction", "batch_fraction", "fraction", "", None, None,
        "the fraction of the batch behind the loss", Number(|m| Some(m.batch_fraction));
    WorkersMeasured: "Workers Measured", "workers_measured", "workers measured", "", None, None,
        "the workers on whose batches the loss was measured, if several make the same update",
        Number(|m| Some(m.workers?.measured as f64));
    WorkersOf: "Workers", "workers_of", "workers", "", None, None,
        "the workers that make the update, if there are several", Number(|m| Some(m.workers?.of as f64));
    Slope: "Slope", "slope", "g·Δθ", "loss/η", None, None,
        "gradient times update direction: the rate at which the loss starts to fall along the update", Number(|m| m.slope);
    UpdateNorm: "Update Norm", "update_norm", "‖Δθ‖", "θ/η", None, None,
        "the norm of the update direction", Number(|m| m.update_norm);
    GradientNorm: "Gradient Norm", "gradient_norm", "‖g‖", "loss/θ", Some(Log), None,
        "the norm of the gradient, before the optimizer clips it", Number(|m| m.gradient_norm);
    WeightNorm: "Weight Norm", "weight_norm", "‖θ‖", "θ", Some(Log), None,
        "the norm of the weights that have a gradient", Number(|m| m.weight_norm);
    RelativeUpdate: "Relative Update", "relative_update", "η‖Δθ‖/‖θ‖", "", Some(Log), None,
        "the length of the step, relative to the norm of the weights", Number(Measurement::relative_update);
    GradientCosine: "Gradient Cosine", "gradient_cosine", "cos(g, Δθ)", "", Some(Linear), None,
        "the cosine of the angle between the gradient and the update direction", Number(|m| m.gradient_cosine);
    Agreement: "Agreement", "agreement", "ΔL/(η g·Δθ)", "", Some(Linear), Some(Against::Line(1.0, "as the gradient says")),
        "the fall of the loss in a step at the learning rate, relative to the fall that the slope predicts: 0 at the critical learning rate, negative beyond",
        Number(|m| m.agreement);
    AgreementError: "Agreement Error", "agreement_error", "agreement error", "", None, None,
        "the absolute rounding error of the agreement", Number(|m| m.agreement_error);
    GradientVariance: "Gradient Variance", "gradient_variance", "tr Σ", "", None, None,
        "the trace of the covariance of one micro-batch's gradient, estimated from the micro-batches of an update",
        Number(|m| m.gradient_variance);
    GradientSignal: "Gradient Signal", "gradient_signal", "‖G‖²", "", None, None,
        "the squared norm of the gradient over all data, estimated from the micro-batches of an update, so that a small value may come out negative",
        Number(|m| m.gradient_signal);
    NoiseScale: "Noise Scale", "noise_scale", "tr Σ/‖G‖²", "", Some(Log), None,
        "the number of micro-batches that gives an update as much noise as signal, estimated from a single update",
        Number(Measurement::noise_scale);
    Lower: "Lower Learning Rate", "lower", "lower", "η", None, None,
        "the largest evaluated learning rate below the upper end without a rise of the loss", Number(|m| m.lower);
    Upper: "Upper Learning Rate", "upper", "upper", "η", None, None,
        "the smallest evaluated learning rate with a rise of the loss", Number(|m| m.upper);
    CriticalLearningRate: "Critical Learning Rate", "critical_lr", "η_c", "η", Some(Log),
        Some(Against::Quantity(Quantity::LearningRate)),
        "the smallest learning rate at which the loss along the optimizer's own update rises", Number(|m| m.critical_lr);
    CriticalLearningRateError: "Critical Learning Rate Error", "critical_lr_error", "error", "", None, None,
        "the estimated relative error of the critical learning rate, not a bound: 95 of 100 true values lie within it, and nearly all within three times it",
        Number(|m| m.critical_lr_error);
    IntervalLow: "Interval Low", "critical_lr_interval_low", "low", "η", None, None,
        "the lower end of the 95% interval of the critical learning rate by the spread over the examples, if their losses are known",
        Number(|m| Some(m.critical_lr_interval?.0));
    IntervalHigh: "Interval High", "critical_lr_interval_high", "high", "η", None, None,
        "the upper end of the 95% interval of the critical learning rate", Number(|m| Some(m.critical_lr_interval?.1));
    CriticalLearningRateSpread: "Critical Learning Rate Spread", "critical_lr_spread", "spread", "η", None, None,
        "the standard deviation of the critical learning rate over the batches of a task", Number(|m| m.critical_lr_spread);
    CriticalSharpness: "Critical Sharpness", "critical_sharpness", "λ_c", "1/η", Some(Log), EDGE,
        "2 / critical learning rate: the curvature along the optimizer's own update", Number(|m| m.critical_sharpness);
    EdgeThreshold: "Edge Threshold", "edge_threshold", "2/η", "1/η", Some(Log), None,
        "2 / learning rate: a critical sharpness above it means that this step raises the loss",
        Number(Measurement::edge_threshold);
    EdgeRatio: "Edge Ratio", "edge_ratio", "η/η_c", "", Some(Log), Some(Against::Line(1.0, "edge")),
        "learning rate / critical learning rate: above 1, this step raises the loss", Number(Measurement::edge_ratio);
    VerifiedFrom: "Verified From", "verified_from", "verified", "η", None, None,
        "the learning rate down to which the search looked for an earlier crossing, at ratios of 2", Number(|m| m.verified_from);
    ProbeEvaluations: "Probe Evaluations", "evaluations", "evaluations", "", None, None,
        "forward passes of the last measurement", Number(|m| Some(m.evaluations as f64));
    ProbeSeconds: "Probe Seconds", "seconds", "seconds", "s", None, None,
        "the time of the measurement, counted from the end of the training step on the device", Number(|m| Some(m.seconds));
    DirectionalSharpness: "Directional Sharpness", "directional_sharpness", "λ_dir", "1/η", Some(Log), EDGE,
        "the curvature along the update over the slope along it: equal to critical sharpness if the loss is quadratic",
        Curvature(|m| Some(&m.curvature.as_ref()?.directional_sharpness));
    HessianSharpness: "Hessian Sharpness", "hessian_sharpness", "λ_max", "1/η", Some(Log), EDGE,
        "the largest eigenvalue of the Hessian", Curvature(|m| Some(&m.curvature.as_ref()?.hessian_sharpness));
    PreconditionedSharpness: "Preconditioned Sharpness", "preconditioned_sharpness", "λ_pre", "1/η", Some(Log), EDGE,
        "the largest eigenvalue of the Hessian in the coordinates of Adam's preconditioner",
        Curvature(|m| m.curvature.as_ref()?.preconditioned_sharpness.as_ref());
    BatchSharpness: "Batch Sharpness", "batch_sharpness", "λ_batch", "1/η", Some(Log), EDGE,
        "the curvature of a batch's loss along its own gradient, as a mean over several batches: E(gᵀHg/‖g‖²)",
        Curvature(|m| m.batch_sharpness.as_ref());
    InteractionAwareSharpness: "Interaction-Aware Sharpness", "interaction_aware_sharpness", "λ_IA", "1/η", Some(Log), EDGE,
        "the same with each batch weighted by its squared gradient: E(gᵀHg)/E‖g‖²",
        Curvature(|m| m.interaction_aware_sharpness.as_ref());
    LargeBatchThreshold: "Large Batch Threshold", "large_batch_threshold", "2(1+β)/η", "1/η", Some(Log), None,
        "the edge of the largest eigenvalue of the Hessian under momentum β, at large batches",
        Number(|m| m.large_batch_threshold);
    SmallBatchThreshold: "Small Batch Threshold", "small_batch_threshold", "2(1−β)/η", "1/η", Some(Log), None,
        "the level of batch sharpness under momentum β, at small batches; the largest eigenvalue of the Hessian stays below it",
        Number(|m| m.small_batch_threshold);
    AdamThreshold: "Adam Threshold", "adam_threshold", "(2+2β₁)/((1−β₁)η)", "1/η", Some(Log), None,
        "the edge of the preconditioned sharpness under Adam", Number(|m| m.adam_threshold);
}

impl Quantity {
    /// The quantities from evaluations of the loss, in the order of the metrics.
    pub const ALL: [Self; 5] = [
        Self::CriticalSharpness,
        Self::EdgeThreshold,
        Self::EdgeRatio,
        Self::CriticalLearningRate,
        Self::ProbeEvaluations,
    ];

    /// The quantities of a [curvature](crate::CurvatureMeasurement).
    pub const CURVATURE: [Self; 3] = [
        Self::DirectionalSharpness,
        Self::HessianSharpness,
        Self::PreconditionedSharpness,
    ];

    /// The quantities from gradients of several batches.
    pub const BATCHES: [Self; 2] = [Self::BatchSharpness, Self::InteractionAwareSharpness];

    /// The quantities of the panel, in the order of the metrics.
    pub const PANEL: [Self; 5] = [
        Self::GradientNorm,
        Self::WeightNorm,
        Self::RelativeUpdate,
        Self::GradientCosine,
        Self::Agreement,
    ];

    /// Returns the thresholds of a named optimizer in this quantity's chart, besides its reference.
    pub fn thresholds(&self) -> &'static [Self] {
        match self {
            Self::HessianSharpness | Self::BatchSharpness | Self::InteractionAwareSharpness => {
                &[Self::LargeBatchThreshold, Self::SmallBatchThreshold]
            }
            Self::PreconditionedSharpness => &[Self::AdamThreshold],
            _ => &[],
        }
    }

    /// Returns the metric's name, from which burn makes a file name.
    pub fn name(&self) -> &'static str {
        self.about().name
    }

    /// Returns the value in a measurement, if measured. Never NaN or infinite.
    pub fn of(&self, measurement: &Measurement) -> Option<f64> {
        let value = match self.about().reads {
            Number(read) => read(measurement),
            Curvature(_) => self.curvature(measurement)?.value,
        };
        value.filter(|value| value.is_finite())
    }

    /// Returns the curvature, if the quantity is one and the measurement has it.
    pub fn curvature<'a>(&self, measurement: &'a Measurement) -> Option<&'a CurvatureValue> {
        match self.about().reads {
            Curvature(read) => read(measurement),
            Number(_) => None,
        }
    }

    /// Whether the quantity is a curvature, which has its own schedule.
    pub fn is_curvature(&self) -> bool {
        matches!(self.about().reads, Curvature(_))
    }

    /// Whether the measurement tried to measure it; all but curvatures are always due.
    pub fn is_due(&self, measurement: &Measurement) -> bool {
        !self.is_curvature() || self.curvature(measurement).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_name_stands_for_one_quantity_and_is_compared_with_one_of_its_unit() {
        let (mut names, mut fields) = (HashSet::new(), HashSet::new());
        for quantity in Quantity::TABLE {
            let about = quantity.about();
            let is_new = names.insert(about.name) && fields.insert(about.field);
            assert!(is_new, "{about:?}");
            let other = match &about.against {
                Some(Against::Quantity(other)) => Some(other),
                _ => None,
            };
            for other in quantity.thresholds().iter().chain(other) {
                assert_eq!(about.unit, other.about().unit, "{about:?}");
                assert_eq!(about.scale, other.about().scale, "{about:?}");
            }
        }
        let from_gradients = Quantity::CURVATURE.iter().chain(&Quantity::BATCHES);
        assert!(from_gradients.into_iter().all(Quantity::is_curvature));
    }
}
