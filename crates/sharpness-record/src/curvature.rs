use serde::{Deserialize, Serialize};

/// How the measurement of a curvature ended. Its serialized form is the name in snake case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CurvatureOutcome {
    /// It is known.
    Measured,
    /// The iteration ended before its residual was small.
    NotConverged,
    /// The gradients' rounding, or the curvature's own change, hides it at every step tried.
    BelowResolution,
    /// The loss does not fall along the update, so that the curvature along it has no ratio to it.
    NotDescent,
    /// Something is NaN or infinite.
    NonFinite,
    /// Something else went wrong, said in `reason`.
    Failed,
    /// An outcome that a later version of the record has added, by its name. It is only read, never
    /// written anew.
    #[serde(untagged)]
    Other(String),
}

/// A curvature, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvatureValue {
    /// How it ended.
    pub outcome: CurvatureOutcome,
    /// The value, if it was measured.
    #[serde(default)]
    pub value: Option<f64>,
    /// Its relative error, by the difference quotients at neighbouring steps.
    #[serde(default)]
    pub relative_error: Option<f64>,
    /// ‖Hu − λu‖ / |λ|, of an eigenvalue.
    #[serde(default)]
    pub residual: Option<f64>,
    /// Why it failed, where it did.
    #[serde(default)]
    pub reason: Option<String>,
    /// The gradients that it took, each about three forward passes.
    #[serde(default)]
    pub gradients: usize,
    /// The wall-clock time, in seconds.
    #[serde(default)]
    pub seconds: f64,
}

impl CurvatureValue {
    /// A curvature that ended this way, with no value and no cost: whoever measured it sets the fields
    /// that are known.
    #[must_use]
    pub fn new(outcome: CurvatureOutcome) -> Self {
        Self {
            outcome,
            value: None,
            relative_error: None,
            residual: None,
            reason: None,
            gradients: 0,
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
    /// The preconditioned sharpness λ_max(P^(−1/2) H P^(−1/2)), where it is asked for.
    #[serde(default)]
    pub preconditioned_sharpness: Option<CurvatureValue>,
}

impl CurvatureMeasurement {
    /// The curvatures of one step; the preconditioned one is set where it was asked for.
    #[must_use]
    pub fn new(directional_sharpness: CurvatureValue, hessian_sharpness: CurvatureValue) -> Self {
        Self {
            directional_sharpness,
            hessian_sharpness,
            preconditioned_sharpness: None,
        }
    }
}
