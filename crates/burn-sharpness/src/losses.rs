//! What is measured: the losses of a model on the batches of a measurement.

use crate::failure::Failure;
use crate::loss::BatchLosses;
use burn::optim::GradientsParams;

/// Computes the gradient of the losses of a model, summed over the batches.
pub(crate) type Gradient<'a, M> = Box<dyn FnMut(&M) -> Result<GradientsParams, Failure> + 'a>;

/// The losses of a model on the batches of a measurement, at whatever weights.
///
/// The model is given in the mode in which its loss is measured.
pub(crate) trait Losses<M> {
    /// One loss a batch.
    fn losses(&mut self, model: &M) -> Result<BatchLosses, Failure>;

    /// The loss on the last batch that the model has seen in training.
    fn last(&mut self, model: &M) -> Result<f64, Failure> {
        self.losses(model).map(|losses| losses.value())
    }

    /// Their gradient, if it can be computed.
    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        None
    }
}
