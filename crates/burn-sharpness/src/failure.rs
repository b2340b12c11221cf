use crate::batches::BatchesError;
use crate::direction::DirectionError;
use crate::hessian::{GradientError, HessianError};
use crate::loss::LossError;
use critical_search::Interrupted;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;

pub(crate) const LEFT_OUT: &str = "measurements go on without it until it makes an update again; `with_worker_limit` sets how long a worker is waited for";

#[derive(Clone, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Loss(#[from] LossError),
    #[error(transparent)]
    Gradient(#[from] GradientError),
    #[error(transparent)]
    Direction(#[from] DirectionError),
    #[error(transparent)]
    Hessian(#[from] HessianError),
    #[error(transparent)]
    Batches(#[from] BatchesError),
    #[error(transparent)]
    Search(Box<Interrupted<Failure>>),
    #[error(
        "the loss is not repeatable, so that it is measured no more: two passes over the same weights and batch gave {first} and {second}; it must not draw random numbers in validation mode"
    )]
    NotRepeatable { first: f64, second: f64 },
    #[error("its loss is for a model of another type: {0}")]
    OtherModel(&'static str),
    #[error(
        "the update is so much smaller than the last one that was measured that the weights after the step do not show it; the next measurement comes before the step"
    )]
    Hidden,
    #[error(
        "the loss cannot be computed with batch statistics: a batch norm of the model computes as in validation, since its input has no autodiff"
    )]
    NoBatchStatistics,
    #[error("the running statistics of batch norm could not be read: {0}")]
    RunningStatistics(String),
    #[error("a worker ended, or gave no loss within {0:.1?}: {LEFT_OUT}")]
    WorkerLeft(Duration),
    /// The probe could not find out how to compute the loss.
    #[error(transparent)]
    Mode(Box<Failure>),
    #[error("the training's own measurement failed: {0}")]
    OfTraining(Box<Failure>),
    #[error("it was not measured")]
    NotMeasured,
    #[error(
        "{0} panicked: whatever needs it is measured no more in this run; see the panic's own message"
    )]
    Panicked(&'static str),
}

debug_is_the_sentence!(Failure);

impl Failure {
    fn cause(&self) -> &Self {
        match self {
            Self::Search(interrupted) => interrupted.error.cause(),
            cause => cause,
        }
    }

    pub(crate) fn is_of_lost_worker(&self) -> bool {
        matches!(self.cause(), Self::WorkerLeft(_))
    }

    /// Whether the next measurement would fail in the same way, or change the run.
    pub(crate) fn is_for_good(&self) -> bool {
        use Failure::{Direction, Mode, NotRepeatable, Panicked};
        matches!(
            self.cause(),
            Panicked(_) | Mode(_) | NotRepeatable { .. } | Direction(DirectionError::NotRepeatable)
        )
    }
}

pub(crate) fn guarded<T>(
    what: &'static str,
    call: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(Failure::Panicked(what)))
}

/// Ignores poison: every holder leaves the value valid wherever it could panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
