use crate::loss::{Loss, LossError};
use burn::train::TrainStep;
use std::sync::Arc;

pub(super) type Batch<M> = <M as TrainStep>::Input;
pub(super) type Objective<M> = Arc<dyn Fn(&M, Batch<M>) -> Result<Loss, LossError> + Send + Sync>;
pub(super) type TrainingLoss<M> =
    Arc<dyn Fn(&M, &<M as TrainStep>::Output) -> Result<Loss, LossError> + Send + Sync>;
