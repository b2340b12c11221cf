use burn::tensor::Tensor;
use std::fmt::Display;

/// One value of a loss, with the precision of the type that it was computed in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    value: f64,
    epsilon: f64,
}

impl Loss {
    /// A loss computed in a floating-point type with this machine epsilon.
    pub fn new(value: f64, epsilon: f64) -> Self {
        Self { value, epsilon }
    }

    /// The loss.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The machine epsilon of the type that the loss was computed in.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// The mean over micro-batches; as precise as the least precise of them.
    pub(crate) fn mean(losses: &[Loss]) -> Option<Self> {
        let sum: f64 = losses.iter().map(|loss| loss.value).sum();
        let epsilon = losses.iter().map(|loss| loss.epsilon).reduce(f64::max)?;
        Some(Self::new(sum / losses.len() as f64, epsilon))
    }
}

/// What a closure that computes a loss may return.
///
/// A tensor counts as its mean over all elements, so that a scalar loss and a vector of per-example
/// losses both work. A number is taken to have been computed in 32-bit floats.
pub trait IntoLoss {
    /// Reads the loss.
    ///
    /// # Errors
    ///
    /// Says why the loss could not be read from the device.
    fn into_loss(self) -> Result<Loss, String>;
}

impl IntoLoss for Loss {
    fn into_loss(self) -> Result<Loss, String> {
        Ok(self)
    }
}

impl IntoLoss for f64 {
    fn into_loss(self) -> Result<Loss, String> {
        Ok(Loss::new(self, f64::from(f32::EPSILON)))
    }
}

impl IntoLoss for f32 {
    fn into_loss(self) -> Result<Loss, String> {
        f64::from(self).into_loss()
    }
}

impl<const D: usize> IntoLoss for Tensor<D> {
    fn into_loss(self) -> Result<Loss, String> {
        let precision = self.dtype().finfo();
        let epsilon = precision.map_or(f64::from(f32::EPSILON), |info| info.epsilon);
        let value = self.mean().try_into_scalar::<f64>();
        value
            .map(|value| Loss::new(value, epsilon))
            .map_err(|error| format!("the loss could not be read: {error}"))
    }
}

impl<T: IntoLoss, E: Display> IntoLoss for Result<T, E> {
    fn into_loss(self) -> Result<Loss, String> {
        self.map_err(|error| error.to_string())?.into_loss()
    }
}
