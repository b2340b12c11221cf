use burn::tensor::Tensor;
use critical_search::{LossLine, Rise};
use std::fmt::Display;
use thiserror::Error;

/// Holds a loss, the precision of its type, and the losses of the examples if they are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    value: f64,
    epsilon: f64,
    examples: Vec<f64>,
    batch_fraction: f64,
}

impl Loss {
    /// Creates a loss computed in a type with this machine epsilon.
    pub fn new(value: f64, epsilon: f64) -> Self {
        Self {
            value,
            epsilon,
            examples: Vec::new(),
            batch_fraction: 1.0,
        }
    }

    /// Creates the mean of the losses of examples.
    ///
    /// The probe takes the rise of such a loss example by example, which keeps more digits than a difference of two
    /// means, and gives a standard error.
    pub fn of_examples(examples: Vec<f64>, epsilon: f64) -> Self {
        let value = examples.iter().sum::<f64>() / examples.len() as f64;
        Self {
            examples,
            ..Self::new(value, epsilon)
        }
    }

    /// States that the loss covers only this fraction of the batch, in (0, 1], for the record.
    #[must_use]
    pub fn with_batch_fraction(mut self, fraction: f64) -> Self {
        self.batch_fraction = fraction;
        self
    }

    /// Returns the loss.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Returns the machine epsilon of the loss's type.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// Returns the losses of the examples; empty if only their mean is known.
    pub fn examples(&self) -> &[f64] {
        &self.examples
    }

    /// Returns the fraction of the batch behind the loss.
    pub fn batch_fraction(&self) -> f64 {
        self.batch_fraction
    }

    fn resolution(&self) -> f64 {
        let unit = LossLine::ROUNDING_UNITS * self.epsilon;
        if self.examples.is_empty() {
            return unit * self.value.abs();
        }
        // The roundings of examples are independent.
        let squares: f64 = self.examples.iter().map(|loss| loss * loss).sum();
        unit * squares.sqrt() / self.examples.len() as f64
    }

    fn rise_from(&self, base: &Self) -> Rise {
        let count = self.examples.len();
        if count < 2 || count != base.examples.len() {
            return Rise::from(self.value - base.value);
        }
        let pairs = self.examples.iter().zip(&base.examples);
        let rises: Vec<f64> = pairs.map(|(loss, base)| loss - base).collect();
        mean(&rises)
    }
}

fn mean(rises: &[f64]) -> Rise {
    let count = rises.len() as f64;
    let mean = rises.iter().sum::<f64>() / count;
    let squares: f64 = rises.iter().map(|rise| (rise - mean).powi(2)).sum();
    let standard_error = (squares / (count - 1.0) / count).sqrt();
    Rise {
        value: mean,
        standard_error: Some(standard_error).filter(|error| error.is_finite()),
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchLosses(Vec<Loss>);

impl BatchLosses {
    pub(crate) fn new(batches: Vec<Loss>) -> Result<Self, LossError> {
        if batches.is_empty() {
            return Err(LossError::NoBatch);
        }
        Ok(Self(batches))
    }

    pub(crate) fn into_batches(self) -> Vec<Loss> {
        self.0
    }

    fn mean(&self, of: impl Fn(&Loss) -> f64) -> f64 {
        self.0.iter().map(of).sum::<f64>() / self.0.len() as f64
    }

    pub(crate) fn value(&self) -> f64 {
        self.mean(Loss::value)
    }

    pub(crate) fn resolution(&self) -> f64 {
        self.mean(Loss::resolution)
    }

    pub(crate) fn has_16_bits(&self) -> bool {
        let mut losses = self.0.iter();
        losses.any(|loss| loss.epsilon() > f64::from(f32::EPSILON))
    }

    pub(crate) fn batch_fraction(&self) -> f64 {
        self.mean(Loss::batch_fraction)
    }

    pub(crate) fn is_scalar(&self) -> bool {
        self.0.iter().all(|loss| loss.examples.is_empty())
    }

    pub(crate) fn rise_from(&self, base: &Self) -> Rise {
        let pairs = self.0.iter().zip(&base.0);
        let rises: Vec<Rise> = pairs.map(|(loss, base)| loss.rise_from(base)).collect();
        let count = rises.len() as f64;
        let variance = |rise: &Rise| rise.standard_error.map(|error| error * error);
        let variances: Option<f64> = rises.iter().map(variance).sum();
        Rise {
            value: rises.iter().map(|rise| rise.value).sum::<f64>() / count,
            standard_error: variances.map(|sum| sum.sqrt() / count),
        }
    }

    pub(crate) fn rise_over_batches(&self, base: &Self) -> Rise {
        if self.batches() == 1 {
            return self.rise_from(base);
        }
        let pairs = self.0.iter().zip(&base.0);
        let rises: Vec<f64> = pairs
            .map(|(loss, base)| loss.rise_from(base).value)
            .collect();
        mean(&rises)
    }

    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        (other.value() - self.value()).abs() <= self.resolution()
    }

    pub(crate) fn batches(&self) -> usize {
        self.0.len()
    }
}

/// Converts the result of a closure that computes a loss: one element is the loss, several elements are the losses of
/// the examples. A number counts as computed in 32-bit floats.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_sharpness::IntoLoss;
///
/// let losses = Tensor::<1>::from_floats([1.0, 3.0], &Device::flex());
/// let loss = losses.into_loss()?;
/// assert_eq!(loss.value(), 2.0);
/// assert_eq!(loss.examples(), [1.0, 3.0]);
/// assert_eq!(0.5_f64.into_loss()?.value(), 0.5);
/// # Ok::<(), burn_sharpness::LossError>(())
/// ```
pub trait IntoLoss {
    /// Reads the loss.
    ///
    /// # Errors
    ///
    /// Returns an error if the loss could not be computed or read from its device.
    fn into_loss(self) -> Result<Loss, LossError>;
}

/// Explains why there is no loss.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// The device did not return the loss.
    #[error("the loss could not be read: {0}")]
    Read(String),
    /// The tensor has no element.
    #[error("the loss is a tensor without elements: return one element, or one for each example")]
    Empty,
    /// The closure that computes the loss returned this error.
    #[error("{0}")]
    Objective(String),
    /// The model reports no loss to burn's `LossMetric`.
    #[error("the model reported no loss: use `attach_with` and return the loss")]
    NotReported,
    /// There is no batch to compute a loss on.
    #[error("there is no batch to measure on")]
    NoBatch,
}

debug_is_the_sentence!(LossError);

impl IntoLoss for Loss {
    fn into_loss(self) -> Result<Loss, LossError> {
        Ok(self)
    }
}

impl IntoLoss for f64 {
    fn into_loss(self) -> Result<Loss, LossError> {
        Ok(Loss::new(self, f64::from(f32::EPSILON)))
    }
}

impl IntoLoss for f32 {
    fn into_loss(self) -> Result<Loss, LossError> {
        f64::from(self).into_loss()
    }
}

impl<const D: usize> IntoLoss for Tensor<D> {
    fn into_loss(self) -> Result<Loss, LossError> {
        let precision = self.dtype().finfo();
        let epsilon = precision.map_or(f64::from(f32::EPSILON), |info| info.epsilon);
        let data = self
            .try_into_data()
            .map_err(|error| LossError::Read(error.to_string()))?;
        let values: Vec<f64> = data.iter().collect();
        match values.as_slice() {
            [] => Err(LossError::Empty),
            [value] => Ok(Loss::new(*value, epsilon)),
            _ => Ok(Loss::of_examples(values, epsilon)),
        }
    }
}

impl<T: IntoLoss, E: Display> IntoLoss for Result<T, E> {
    fn into_loss(self) -> Result<Loss, LossError> {
        self.map_err(|error| LossError::Objective(error.to_string()))?
            .into_loss()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(losses: &[f64]) -> Loss {
        Loss::of_examples(losses.to_vec(), f64::from(f32::EPSILON))
    }

    #[test]
    fn a_rise_is_taken_example_by_example() {
        let base = examples(&[1.0, 2.0, 6.0]);
        let rise = examples(&[1.5, 2.0, 5.5]).rise_from(&base);
        assert_eq!(rise.value, 0.0);
        let error = rise.standard_error.unwrap();
        assert!((error - 0.5 / 3f64.sqrt()).abs() < 1e-12);

        let scalar = Loss::new(2.0, 1e-7);
        assert_eq!(scalar.rise_from(&base), Rise::from(-1.0));
    }

    #[test]
    fn micro_batches_add_up() {
        let loss = |a: &[f64], b: &[f64]| BatchLosses::new(vec![examples(a), examples(b)]).unwrap();
        let base = loss(&[1.0, 1.0], &[3.0, 3.0]);
        assert_eq!(base.value(), 2.0);
        let rise = loss(&[1.0, 2.0], &[3.0, 4.0]).rise_from(&base);
        assert_eq!(rise.value, 0.5);
        assert!((rise.standard_error.unwrap() - 0.5 / 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(BatchLosses::new(Vec::new()), Err(LossError::NoBatch));
    }

    #[test]
    fn examples_resolve_more_than_their_mean_alone() {
        let losses = vec![2.0; 100];
        let scalar = Loss::new(2.0, 1e-7).resolution();
        let resolved = Loss::of_examples(losses, 1e-7).resolution();
        assert!((resolved - scalar / 10.0).abs() < 1e-12);
    }
}
