/// Names an optimizer, with its β, to give the thresholds of its curvature.
///
/// Without weight decay, the Edge of Stability at η is at these sharpnesses:
///
/// | optimizer | sharpness | threshold | source |
/// |---|---|---|---|
/// | heavy ball, large batches | λ_max | 2(1 + β)/η | arXiv 2103.00065, 2604.14108 |
/// | heavy ball, small batches | batch sharpness, above λ_max | 2(1 − β)/η | arXiv 2604.14108 |
/// | Adam, AdamW | λ_pre | (2 + 2β₁)/((1 − β₁)η) | arXiv 2207.14484 |
///
/// Nesterov momentum has other thresholds, so name no optimizer for it.
///
/// ```
/// use burn_sharpness::{SharpnessConfig, SharpnessProbe, Thresholds};
///
/// // The momentum of burn's `MomentumConfig::new()`.
/// let momentum = Thresholds::HeavyBall { momentum: 0.9, dampening: 0.1 };
/// SharpnessProbe::new(SharpnessConfig::new().with_thresholds(momentum))?;
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Thresholds {
    /// SGD with heavy-ball momentum, v ← βv + (1 − τ)g and θ ← θ − ηv; without momentum, both are 0.
    HeavyBall {
        /// The momentum β, in [0, 1).
        momentum: f64,
        /// The dampening τ, in [0, 1), which lowers η to (1 − τ)η in the thresholds. Burn's default is 0.1, PyTorch's
        /// is 0.
        dampening: f64,
    },
    /// Adam or AdamW.
    Adam {
        /// β₁, in [0, 1).
        beta_1: f64,
    },
}

impl Thresholds {
    pub(super) fn parts(&self) -> [(&'static str, f64); 2] {
        match *self {
            Self::HeavyBall {
                momentum,
                dampening,
            } => [("momentum", momentum), ("dampening", dampening)],
            Self::Adam { beta_1 } => [("β₁", beta_1); 2],
        }
    }
}
