//! Measures the curvature behind critical sharpness, and gives the thresholds of the Edge of Stability.
//!
//! ```text
//! λ_max = max eigenvalue of H = ∇²L(θ)                Hessian sharpness
//! λ_dir = ΔθᵀHΔθ / (Δθᵀg)                             directional sharpness
//! λ_pre = max eigenvalue of P^(−1/2) H P^(−1/2)       preconditioned sharpness
//! λ_batch = E[gᵀHg/‖g‖²], with g and H of a batch     batch sharpness
//! ```
//!
//! If the loss along Δθ is quadratic, λ_dir = λ_c; for gradient descent λ_dir ≤ λ_max (Kalra et al., arXiv 2601.16979,
//! section 2). The first three cost tens to hundreds of gradients each, batch sharpness a gradient and about six
//! forward passes a batch. All use the loss in validation mode, over the parameters with a gradient.

mod batches;
mod error;
mod lanczos;
mod layout;
mod preconditioner;
mod product;
mod sharpness;
mod threshold;

pub(crate) use batches::{Batches, of_batches};
pub(crate) use product::Hessian;
pub(crate) use sharpness::{AlongUpdate, CurvatureMemory, failed, measure};

pub use crate::config::{
    AdamPreconditioner, BatchSharpnessConfig, CurvatureConfig, SpectrumConfig,
};
pub use error::{GradientError, HessianError};
pub use sharpness_record::{CurvatureMeasurement, CurvatureOutcome, CurvatureValue};
pub use threshold::{
    adam_threshold, gradient_descent_threshold, heavy_ball_small_batch_threshold,
    heavy_ball_threshold,
};
