use serde::{Deserialize, Serialize};

/// Names how a curvature's measurement ended; serialized in snake case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CurvatureOutcome {
    /// The curvature is known.
    Measured,
    /// The iteration ended with too large a residual.
    NotConverged,
    /// Rounding, or change of the curvature, hides it at every step size.
    BelowResolution,
    /// The loss does not fall along the update, so curvature over slope is undefined.
    NotDescent,
    /// A value is NaN or infinite.
    NonFinite,
    /// Another failure, explained in `reason`.
    Failed,
    /// An outcome from a later version of the record, by its name.
    #[serde(untagged)]
    Other(String),
}

/// A curvature, or the reason why it is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvatureValue {
    /// How the measurement ended.
    pub outcome: CurvatureOutcome,
    /// The value, if measured.
    pub value: Option<f64>,
    /// Its relative error, from neighbouring difference quotients.
    pub relative_error: Option<f64>,
    /// The standard error of a mean over several batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// ‖Hu − λu‖ / |λ|, for an eigenvalue.
    pub residual: Option<f64>,
    /// The reason of a failure.
    pub reason: Option<String>,
    /// The computed gradients; each costs about three forward passes.
    #[serde(default)]
    pub gradients: usize,
    /// The evaluations of the loss besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub evaluations: usize,
    /// The wall-clock time, in seconds.
    #[serde(default)]
    pub seconds: f64,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl CurvatureValue {
    /// Creates a curvature with this outcome, without value and cost.
    #[must_use]
    pub fn new(outcome: CurvatureOutcome) -> Self {
        Self {
            outcome,
            value: None,
            relative_error: None,
            standard_error: None,
            residual: None,
            reason: None,
            gradients: 0,
            evaluations: 0,
            seconds: 0.0,
        }
    }
}

/// The curvatures at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvatureMeasurement {
    /// The directional sharpness λ_dir = ΔθᵀHΔθ / (Δθᵀg).
    pub directional_sharpness: CurvatureValue,
    /// The Hessian sharpness λ_max(H).
    pub hessian_sharpness: CurvatureValue,
    /// The preconditioned sharpness λ_max(P^(−1/2) H P^(−1/2)), if measured.
    pub preconditioned_sharpness: Option<CurvatureValue>,
}

impl CurvatureMeasurement {
    /// Creates the curvatures of one step, without the preconditioned sharpness.
    #[must_use]
    pub fn new(directional_sharpness: CurvatureValue, hessian_sharpness: CurvatureValue) -> Self {
        Self {
            directional_sharpness,
            hessian_sharpness,
            preconditioned_sharpness: None,
        }
    }
}
