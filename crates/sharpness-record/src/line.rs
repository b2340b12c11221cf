use serde::{Deserialize, Serialize};

/// One evaluation of the loss along an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinePoint {
    /// The learning rate η.
    pub learning_rate: f64,
    /// The rise of the loss, f(η) = L(θ − ηΔθ) − L(θ), if finite.
    pub rise: Option<f64>,
    /// The uncertainty of f(η): the standard error over the examples if known, otherwise the limit of rounding.
    pub error: Option<f64>,
}

impl LinePoint {
    /// Creates a point. A rise or error that is not finite becomes `None`.
    #[must_use]
    pub fn new(learning_rate: f64, rise: f64, error: f64) -> Self {
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        Self {
            learning_rate,
            rise: finite(rise),
            error: finite(error),
        }
    }
}
