use crate::loss::LossError;
use std::fmt::Display;
use thiserror::Error;

/// Why there is no gradient.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GradientError {
    /// The loss to differentiate could not be computed.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The closure that computes the gradient failed, and this is what it said.
    #[error("{0}")]
    Objective(String),
    /// The batches whose gradients are added up are on several devices.
    #[error("the batches of the update are on several devices")]
    SeveralDevices,
}

debug_is_the_sentence!(GradientError);

impl GradientError {
    /// What a closure that computes the gradient says of its own failure.
    pub fn objective(error: impl Display) -> Self {
        Self::Objective(error.to_string())
    }
}

/// Why there is no curvature.
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum HessianError {
    /// No parameter of the model has a gradient.
    #[error("no parameter of the model has a gradient: pass the gradients of this very model")]
    NoGradient,
    /// A gradient could not be computed.
    #[error("the gradient could not be computed: {0}")]
    Gradient(#[from] GradientError),
    /// No step along a vector gave a difference of gradients that is a number.
    #[error("no step along the vector gives a difference of gradients that is a number")]
    NoStep,
    /// A number could not be read from the device.
    #[error("the curvature could not be read from the device: {0}")]
    Read(String),
    /// The state of the optimizer is not what the preconditioner needs.
    #[error("the preconditioner cannot be made: {0}")]
    Preconditioner(String),
}

debug_is_the_sentence!(HessianError);
