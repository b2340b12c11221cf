use crate::batches::TaskBatches;
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::loss::{Loss, LossError};
use burn::module::ParamGroup;
use burn::tensor::{Device, Tensor};
use sharpness_record::TRAIN_TASK;
use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

pub(crate) struct Task {
    pub(crate) name: Arc<str>,
    pub(crate) kind: TaskKind,
}

impl Task {
    pub(crate) fn is_group(&self) -> bool {
        matches!(self.kind, TaskKind::Group(_))
    }
}

pub(crate) enum TaskKind {
    Loss(Box<TaskLoss>),
    Training,
    Group(Arc<ParamGroup>),
}

pub(crate) type TaskLoss = dyn OnBatches<Result<Loss, LossError>>;
/// The loss of batch sharpness, to be differentiated.
pub(crate) type BatchLoss = dyn OnBatches<Tensor<1>>;

/// A loss on batches of its own, for a model of a type that only the caller knows.
pub(crate) trait OnBatches<L>: Send {
    /// Takes the batches of a measurement, and returns their number.
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<usize, Failure>;
    fn loss_of(&self, batch: usize, model: &dyn Any) -> Result<L, Failure>;
}

pub(crate) fn on_batches<M, B, L>(
    batches: TaskBatches<B>,
    loss: impl Fn(&M, B) -> L + Send + 'static,
) -> Box<dyn OnBatches<L>>
where
    M: 'static,
    B: Clone + Send + 'static,
{
    Box::new(LossOnBatches {
        batches,
        selected: Vec::new(),
        loss,
        model: PhantomData,
    })
}

struct LossOnBatches<M, B, F> {
    batches: TaskBatches<B>,
    selected: Vec<B>,
    loss: F,
    model: PhantomData<fn(&M)>,
}

impl<M, B, F, L> OnBatches<L> for LossOnBatches<M, B, F>
where
    M: 'static,
    B: Clone + Send + 'static,
    F: Fn(&M, B) -> L + Send,
{
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<usize, Failure> {
        self.selected = self.batches.take(index, count, device)?;
        Ok(self.selected.len())
    }

    fn loss_of(&self, batch: usize, model: &dyn Any) -> Result<L, Failure> {
        let model = model.downcast_ref::<M>();
        let model = model.ok_or(Failure::OtherModel(std::any::type_name::<M>()))?;
        Ok((self.loss)(model, self.selected[batch].clone()))
    }
}

pub(crate) fn validate_name(name: &str, others: &[Task]) -> Result<(), ConfigError> {
    let refuse = |why: &'static str| {
        Err(ConfigError::TaskName {
            name: name.to_string(),
            why,
        })
    };
    // Burn makes a file name of a metric's name.
    let is_part_of_file_name = |c: char| c.is_alphanumeric() || " -_.+".contains(c);
    if name.trim().is_empty() {
        refuse("it is empty")
    } else if name == TRAIN_TASK {
        refuse("the training loss has this name")
    } else if !name.chars().all(is_part_of_file_name) {
        refuse("it becomes a file name, so use only letters, digits, spaces and - _ . +")
    } else if others.iter().any(|task| *task.name == *name) {
        refuse("another task has this name")
    } else {
        Ok(())
    }
}
