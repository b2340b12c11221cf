use crate::failure::Failure;
use crate::loss::BatchLosses;
use burn::module::ParamGroup;
use burn::optim::GradientsParams;
use sharpness_record::WorkerShare;
use std::sync::Arc;

pub(crate) type Gradient<'a, M> = Box<dyn FnMut(&M) -> Result<GradientsParams, Failure> + 'a>;

/// A point along an update; other workers move replicas of their own there.
#[derive(Clone, Default)]
pub(crate) struct Point {
    /// The rate is 0 at θ.
    pub(crate) learning_rate: f64,
    pub(crate) is_linear: bool,
    pub(crate) group: Option<Arc<ParamGroup>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Coverage {
    pub(crate) share: f64,
    pub(crate) workers: Option<WorkerShare>,
}

impl Coverage {
    pub(crate) fn is_whole(&self) -> bool {
        self.share == 1.0
    }
}

/// The caller passes the model in the mode of the measurement.
pub(crate) trait Losses<M> {
    fn losses(&mut self, model: &M, at: &Point) -> Result<BatchLosses, Failure>;

    /// The loss on the last batch that the model trained on.
    fn last(&mut self, model: &M) -> Result<f64, Failure> {
        let losses = self.losses(model, &Point::default());
        losses.map(|losses| losses.value())
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        None
    }

    /// Goes on without a worker that has [left](Failure::WorkerLeft), and returns the coverage from now on.
    fn go_on(&mut self) -> Option<Coverage> {
        None
    }

    fn end(&mut self) {}
}
