//! Defines the subject of a measurement: the losses of a model on batches.

use crate::failure::Failure;
use crate::loss::BatchLosses;
use burn::optim::GradientsParams;

/// Computes the gradient of the losses of a model, summed over the batches.
pub(crate) type Gradient<'a, M> = Box<dyn FnMut(&M) -> Result<GradientsParams, Failure> + 'a>;

/// Computes the losses of a model on the batches of a measurement, at any weights.
///
/// The caller passes the model in the mode of the measurement.
pub(crate) trait Losses<M> {
    /// Computes one loss a batch.
    fn losses(&mut self, model: &M) -> Result<BatchLosses, Failure>;

    /// Computes the loss on the last batch that the model has seen in training.
    fn last(&mut self, model: &M) -> Result<f64, Failure> {
        self.losses(model).map(|losses| losses.value())
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        None
    }
}
