use crate::shown::number;
use crate::{
    CurvatureMeasurement, CurvatureValue, Edge, LinePoint, MeasurementOutcome, edge_ratio,
    edge_threshold,
};
use serde::{Deserialize, Deserializer, Serialize};

/// The version of the record that this crate writes, and the newest that it reads.
pub const RECORD_VERSION: u32 = 1;

/// The task of the training loss.
pub const TRAIN_TASK: &str = "train";

/// The source of L(θ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BaseLossSource {
    /// The training step, whose loss agreed with the probe's.
    Training,
    /// One more forward pass.
    Evaluated,
    /// A source from a later version of the record.
    #[serde(other)]
    Other,
}

/// The source of the slope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SlopeSource {
    /// The gradient of the measured loss: the slope is exact.
    Known,
    /// The gradient in training mode, for example with dropout. It guides the search and proves nothing.
    Hint,
    /// A source from a later version of the record.
    #[serde(other)]
    Other,
}

/// Counts the workers of a data-parallel update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerShare {
    /// The workers that took part in the measurement.
    pub measured: usize,
    /// The workers that make the update.
    pub of: usize,
}

impl WorkerShare {
    /// Creates the count.
    pub fn new(measured: usize, of: usize) -> Self {
        Self { measured, of }
    }

    /// Whether all workers took part.
    pub fn is_whole(&self) -> bool {
        self.measured == self.of
    }
}

/// One measurement of critical sharpness.
///
/// A field that was not measured is `None` (`null` in JSON), never a substitute number. Only the panel measures the
/// fields marked "panel".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measurement {
    /// The version of the record, [`RECORD_VERSION`].
    pub version: u32,
    /// The run-wide step, from 0.
    pub step: u64,
    /// The epoch, from 1, if known.
    pub epoch: Option<u64>,
    /// The task of the measured loss: [`TRAIN_TASK`] for the batch of the update.
    #[serde(default = "train_task")]
    pub task: String,
    /// The task with the smallest critical learning rate, training included; a task that the update hurts at any rate
    /// comes first. `None` without other tasks, or if no task has a limit.
    pub limiting_task: Option<String>,
    /// The scheduler's learning rate η for this step.
    pub learning_rate: Option<f64>,
    /// The learning rate used, if an edge cap lowered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate_used: Option<f64>,
    /// The loss L(θ).
    pub base_loss: Option<f64>,
    /// The source of L(θ).
    pub base_loss_source: Option<BaseLossSource>,
    /// The fraction of the batch behind the loss, in (0, 1].
    #[serde(default = "whole_batch")]
    pub batch_fraction: f64,
    /// The workers that took part, if several make the same update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkerShare>,
    /// The slope g·Δθ of the fall along the update.
    pub slope: Option<f64>,
    /// The source of the slope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slope_source: Option<SlopeSource>,
    /// The norm ‖Δθ‖ of the update direction.
    pub update_norm: Option<f64>,
    /// The norm ‖g‖ of the gradient, before any clipping (panel).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// The norm ‖θ‖ of the weights that have a gradient (panel).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_norm: Option<f64>,
    /// The cosine g·Δθ/(‖g‖‖Δθ‖) between gradient and update, in [−1, 1] (panel).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_cosine: Option<f64>,
    /// The agreement of the step with its linear prediction (panel), (L(θ) − L(θ − ηΔθ))/(η g·Δθ), at `learning_rate`.
    ///
    /// 1 if the loss falls as predicted, 0 at η_c, negative beyond. `None` if the search did not evaluate this point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// The absolute rounding error of the agreement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement_error: Option<f64>,
    /// The trace tr Σ of the covariance of a micro-batch's gradient, estimated from accumulated micro-batches (panel).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_variance: Option<f64>,
    /// The squared norm ‖G‖² of the gradient over all data, estimated likewise; may be negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_signal: Option<f64>,
    /// The edge of λ_max for the named optimizer at large batches, 2(1+β)/η.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub large_batch_threshold: Option<f64>,
    /// The level of batch sharpness for the named optimizer at small batches, 2(1−β)/η.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small_batch_threshold: Option<f64>,
    /// The edge of preconditioned sharpness for the named Adam, (2+2β₁)/((1−β₁)η).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adam_threshold: Option<f64>,
    /// How the measurement ended.
    pub outcome: MeasurementOutcome,
    /// The reason of a failure.
    pub reason: Option<String>,
    /// The largest evaluated learning rate below `upper` without a rise of the loss.
    pub lower: Option<f64>,
    /// The smallest evaluated learning rate with a rise of the loss.
    pub upper: Option<f64>,
    /// The critical learning rate η_c, inside a certified bracket.
    pub critical_lr: Option<f64>,
    /// The estimated relative error of η_c, not a bound: 95 of 100 true values lie within it, nearly all within three
    /// times it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_lr_error: Option<f64>,
    /// The critical sharpness λ_c = 2/η_c.
    pub critical_sharpness: Option<f64>,
    /// The 95% interval of η_c from the spread of the examples' losses, if these are known.
    #[serde(default, deserialize_with = "closed_interval")]
    pub critical_lr_interval: Option<(f64, f64)>,
    /// The standard deviation of η_c over the task's batches, to first order.
    pub critical_lr_spread: Option<f64>,
    /// Whether the search looked for an earlier crossing and found none.
    pub first_crossing_verified: Option<bool>,
    /// The learning rate down to which the search looked for an earlier crossing, at ratios of 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_from: Option<f64>,
    /// Whether the loss at `upper` is NaN or infinite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_explodes: Option<bool>,
    /// Whether batch norm used the statistics of the batch, as in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_statistics: Option<bool>,
    /// The curvature, on steps that measure it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curvature: Option<CurvatureMeasurement>,
    /// The batch sharpness `E[gᵀHg/‖g‖²]`, a mean over batches, on steps that measure it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_sharpness: Option<CurvatureValue>,
    /// The interaction-aware form `E[gᵀHg]/E‖g‖²`; `batch_sharpness` counts its cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction_aware_sharpness: Option<CurvatureValue>,
    /// The points of the search, in order, if the run keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<Vec<LinePoint>>,
    /// The evaluations along the update, one forward pass each, without L(θ).
    #[serde(default)]
    pub evaluations: usize,
    /// The wall-clock time of the whole measurement, in seconds.
    #[serde(default)]
    pub seconds: f64,
}

fn train_task() -> String {
    TRAIN_TASK.to_string()
}

fn whole_batch() -> f64 {
    1.0
}

/// Reads an interval with an infinite end (`null` in JSON) as no interval.
fn closed_interval<'de, D: Deserializer<'de>>(data: D) -> Result<Option<(f64, f64)>, D::Error> {
    let ends: Option<(Option<f64>, Option<f64>)> = Deserialize::deserialize(data)?;
    Ok(ends.and_then(|(low, high)| Some((low?, high?))))
}

impl Measurement {
    /// Creates a measurement; the caller sets the other known fields.
    #[must_use]
    pub fn new(step: u64, epoch: Option<u64>, task: &str, outcome: MeasurementOutcome) -> Self {
        Self {
            version: RECORD_VERSION,
            step,
            epoch,
            task: task.to_string(),
            limiting_task: None,
            learning_rate: None,
            learning_rate_used: None,
            base_loss: None,
            base_loss_source: None,
            batch_fraction: whole_batch(),
            workers: None,
            slope: None,
            slope_source: None,
            update_norm: None,
            gradient_norm: None,
            weight_norm: None,
            gradient_cosine: None,
            agreement: None,
            agreement_error: None,
            gradient_variance: None,
            gradient_signal: None,
            large_batch_threshold: None,
            small_batch_threshold: None,
            adam_threshold: None,
            outcome,
            reason: None,
            lower: None,
            upper: None,
            critical_lr: None,
            critical_lr_error: None,
            critical_sharpness: None,
            critical_lr_interval: None,
            critical_lr_spread: None,
            first_crossing_verified: None,
            verified_from: None,
            loss_explodes: None,
            batch_statistics: None,
            curvature: None,
            batch_sharpness: None,
            interaction_aware_sharpness: None,
            line: None,
            evaluations: 0,
            seconds: 0.0,
        }
    }

    /// Copies the measurement for another task with the same loss, at no cost.
    #[must_use]
    pub fn of_other_task(&self, task: &str) -> Self {
        Self {
            task: task.to_string(),
            curvature: None,
            batch_sharpness: None,
            interaction_aware_sharpness: None,
            evaluations: 0,
            seconds: 0.0,
            ..self.clone()
        }
    }

    /// Whether the measured loss made the update.
    pub fn is_of_training(&self) -> bool {
        self.task == TRAIN_TASK
    }

    /// Returns the [edge threshold](edge_threshold) 2/η; `None` if η is 0 or unknown.
    pub fn edge_threshold(&self) -> Option<f64> {
        edge_threshold(self.learning_rate?)
    }

    /// Returns the [edge ratio](edge_ratio) η/η_c; `None` if η or η_c is unknown.
    pub fn edge_ratio(&self) -> Option<f64> {
        edge_ratio(self.learning_rate?, self.critical_lr?)
    }

    /// Returns the relative update η‖Δθ‖/‖θ‖ of the step; `None` if a value is unknown or ‖θ‖ is 0.
    pub fn relative_update(&self) -> Option<f64> {
        let rate = self.learning_rate_used.or(self.learning_rate)?;
        let relative = rate * self.update_norm? / self.weight_norm?;
        Some(relative).filter(|relative| relative.is_finite())
    }

    /// Returns the gradient-noise scale tr Σ/‖G‖²: the number of micro-batches in an update with as much noise as
    /// signal.
    ///
    /// `None` unless both are known and ‖G‖² is positive. The ratio scatters: average both values over many steps
    /// first.
    pub fn noise_scale(&self) -> Option<f64> {
        let signal = self.gradient_signal.filter(|signal| *signal > 0.0)?;
        Some(self.gradient_variance? / signal).filter(|scale| scale.is_finite())
    }

    /// Locates this step relative to the Edge of Stability; `None` if η or η_c is unknown.
    pub fn edge(&self) -> Option<Edge> {
        Edge::of(self.edge_ratio()?)
    }

    /// Returns the rate of an edge cap at this fraction of η_c, if it is below the scheduler's.
    pub fn capped(&self, fraction: f64) -> Option<f64> {
        let (asked, cap) = (self.learning_rate?, fraction * self.critical_lr?);
        (cap < asked).then_some(cap)
    }

    /// Describes a step near or past the edge, such as "past the edge, at 2.42 of it", or a capped step.
    pub fn at_edge(&self) -> Option<String> {
        let place = self.place_at_edge();
        let Some(used) = self.learning_rate_used else {
            return place;
        };
        let capped = format!("capped to {}", number(used));
        Some(place.map_or(capped.clone(), |place| format!("{place}, {capped}")))
    }

    fn place_at_edge(&self) -> Option<String> {
        let ratio = self.edge_ratio()?;
        match self.edge()? {
            Edge::Below => None,
            Edge::Near if ratio == 1.0 => Some("at the edge".to_string()),
            // Rounding must not carry a ratio over the edge.
            Edge::Near => Some(format!("at {:.2} of the edge", ratio.min(0.99))),
            Edge::Past => Some(format!("past the edge, at {:.2} of it", ratio.max(1.01))),
        }
    }

    /// Whether η is known to be above η_c.
    pub fn is_past_edge(&self) -> bool {
        self.edge() == Some(Edge::Past)
    }

    /// Explains a measurement without a critical sharpness; `None` if there is one.
    pub fn no_number(&self) -> Option<String> {
        if self.critical_sharpness.is_some() {
            return None;
        }
        let outcome = self.outcome.reason();
        Some(match &self.reason {
            Some(reason) => format!("{outcome}: {reason}"),
            None => outcome.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bracketed(learning_rate: f64, critical_lr: f64) -> Measurement {
        Measurement {
            learning_rate: Some(learning_rate),
            critical_lr: Some(critical_lr),
            critical_sharpness: Some(2.0 / critical_lr),
            ..Measurement::new(3, None, TRAIN_TASK, MeasurementOutcome::Bracketed)
        }
    }

    #[test]
    fn the_edge_is_that_of_its_learning_rates() {
        let near = bracketed(0.3, 0.5);
        assert_eq!(near.edge_threshold(), Some(2.0 / 0.3));
        assert_eq!(near.edge_ratio(), Some(0.6));
        assert_eq!(near.edge(), Some(Edge::Near));
        for (learning_rate, at_edge) in [
            (0.31, Some("at 0.62 of the edge")),
            (0.4999, Some("at 0.99 of the edge")),
            (0.5, Some("at the edge")),
            (0.5001, Some("past the edge, at 1.01 of it")),
            (1.21, Some("past the edge, at 2.42 of it")),
            (0.25, None),
        ] {
            assert_eq!(bracketed(learning_rate, 0.5).at_edge().as_deref(), at_edge);
        }
        assert!(bracketed(0.6, 0.5).is_past_edge());
        let unknown = Measurement::new(0, None, TRAIN_TASK, MeasurementOutcome::NoIncrease);
        assert_eq!((unknown.edge_ratio(), unknown.edge()), (None, None));
        assert!(!unknown.is_past_edge());
    }

    #[test]
    fn the_relative_update_is_that_of_the_step_that_was_made() {
        let mut measured = bracketed(0.3, 0.5);
        measured.update_norm = Some(4.0);
        assert_eq!(measured.relative_update(), None);
        measured.weight_norm = Some(2.0);
        assert_eq!(measured.relative_update(), Some(0.6));
        measured.learning_rate_used = Some(0.15);
        assert_eq!(measured.relative_update(), Some(0.3));
        measured.weight_norm = Some(0.0);
        assert_eq!(measured.relative_update(), None);
    }

    #[test]
    fn a_noise_scale_needs_a_signal() {
        let mut measured = bracketed(0.3, 0.5);
        measured.gradient_variance = Some(6.0);
        for signal in [None, Some(-1.0), Some(0.0)] {
            measured.gradient_signal = signal;
            assert_eq!(measured.noise_scale(), None);
        }
        measured.gradient_signal = Some(1.5);
        assert_eq!(measured.noise_scale(), Some(4.0));
    }

    #[test]
    fn another_task_of_the_same_loss_costs_nothing() {
        let mut measured = bracketed(0.3, 0.5);
        measured.evaluations = 7;
        measured.seconds = 1.5;
        let other = measured.of_other_task("code");
        assert!(!other.is_of_training());
        assert_eq!((other.evaluations, other.seconds), (0, 0.0));
        assert_eq!(other.critical_sharpness, measured.critical_sharpness);
    }

    #[test]
    fn a_line_may_lack_all_but_version_step_and_outcome() {
        let line = r#"{"version":1,"step":3,"outcome":"failed","later":{"x":[1]}}"#;
        let read: Measurement = serde_json::from_str(line).unwrap();
        let expected = Measurement::new(3, None, TRAIN_TASK, MeasurementOutcome::Failed);
        assert_eq!(read, expected);
    }

    #[test]
    fn names_of_a_later_writer_do_not_lose_the_line() {
        let line = r#"{"version":1,"step":3,"outcome":"tired","base_loss_source":"dream","slope_source":"oracle","critical_lr_interval":[0.1,null]}"#;
        let read: Measurement = serde_json::from_str(line).unwrap();
        assert_eq!(read.outcome.name(), "tired");
        assert_eq!(read.base_loss_source, Some(BaseLossSource::Other));
        assert_eq!(read.slope_source, Some(SlopeSource::Other));
        assert_eq!(read.critical_lr_interval, None);
        assert_eq!(read.no_number(), Some("tired".to_string()));
    }

    #[test]
    fn new_fields_are_written_only_where_they_are_known() {
        let mut measurement = bracketed(0.3, 0.5);
        let text = serde_json::to_string(&measurement).unwrap();
        assert!(!text.contains("slope_source") && !text.contains("critical_lr_error"));
        assert!(text.contains("\"slope\":null") && text.contains("\"reason\":null"));
        measurement.slope_source = Some(SlopeSource::Hint);
        measurement.critical_lr_error = Some(0.01);
        let text = serde_json::to_string(&measurement).unwrap();
        assert!(text.contains("\"slope_source\":\"hint\""), "{text}");
        let read: Measurement = serde_json::from_str(&text).unwrap();
        assert_eq!(read, measurement);
    }
}
