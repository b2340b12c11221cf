use crate::loss::LossError;
use std::fmt::Display;
use thiserror::Error;

/// Explains why there is no gradient.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GradientError {
    /// The loss to differentiate failed.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The closure that computes the gradient failed, with this text.
    #[error("{0}")]
    Objective(String),
    /// The batches are on several devices or of several workers, so their gradients cannot be added.
    #[error("the batches of the update are on several devices, or of several workers")]
    SeveralDevices,
}

debug_is_the_sentence!(GradientError);

impl GradientError {
    /// Creates the error of a closure that computes the gradient.
    pub fn objective(error: impl Display) -> Self {
        Self::Objective(error.to_string())
    }
}

/// Explains why there is no curvature.
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum HessianError {
    /// No parameter of the model has a gradient.
    #[error("no parameter of the model has a gradient: pass the gradients of this very model")]
    NoGradient,
    /// A batch has no direction to measure along.
    #[error("the gradient of a batch is 0, so that there is no curvature along it")]
    ZeroGradient,
    /// The gradient failed.
    #[error("the gradient could not be computed: {0}")]
    Gradient(#[from] GradientError),
    /// No step along a vector gave a finite difference of gradients.
    #[error("no step along the vector gives a finite difference of gradients")]
    NoStep,
    /// The device returned no number.
    #[error("the curvature could not be read from the device: {0}")]
    Read(String),
    /// The state of the optimizer does not suit the preconditioner.
    #[error("the preconditioner cannot be made: {0}")]
    Preconditioner(String),
}

debug_is_the_sentence!(HessianError);
