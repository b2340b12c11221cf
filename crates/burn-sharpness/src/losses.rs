//! Defines the subject of a measurement: the losses of a model on batches.

use crate::failure::Failure;
use crate::loss::BatchLosses;
use burn::module::ParamGroup;
use burn::optim::GradientsParams;
use sharpness_record::WorkerShare;
use std::sync::Arc;

/// Computes the gradient of the losses of a model, summed over the batches.
pub(crate) type Gradient<'a, M> = Box<dyn FnMut(&M) -> Result<GradientsParams, Failure> + 'a>;

/// A point along an update. Other workers move replicas of their own there.
#[derive(Clone, Default)]
pub(crate) struct Point {
    /// The learning rate; 0 at θ.
    pub(crate) learning_rate: f64,
    /// Whether the optimizer's step is linear in the learning rate.
    pub(crate) is_linear: bool,
    /// The parameters that move, if not all.
    pub(crate) group: Option<Arc<ParamGroup>>,
}

/// The batches and workers of an update that the losses of a measurement cover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coverage {
    /// The measured fraction of the update's batches.
    pub(crate) share: f64,
    /// The workers, if several make the update.
    pub(crate) workers: Option<WorkerShare>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            share: 1.0,
            workers: None,
        }
    }
}

impl Coverage {
    pub(crate) fn is_whole(&self) -> bool {
        self.share == 1.0
    }
}

/// Computes the losses of a model on the batches of a measurement, at any weights.
///
/// The caller passes the model in the mode of the measurement.
pub(crate) trait Losses<M> {
    /// Computes one loss per batch, of a model at this point.
    fn losses(&mut self, model: &M, at: &Point) -> Result<BatchLosses, Failure>;

    /// Computes the loss on the last batch that the model trained on.
    fn last(&mut self, model: &M) -> Result<f64, Failure> {
        let losses = self.losses(model, &Point::default());
        losses.map(|losses| losses.value())
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        None
    }

    /// Goes on without a worker that has [left](Failure::WorkerLeft), and returns the coverage of the losses from now
    /// on.
    fn go_on(&mut self) -> Option<Coverage> {
        None
    }

    /// Ends the evaluations, and frees the workers that help with them.
    fn end(&mut self) {}
}
