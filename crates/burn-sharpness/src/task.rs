use crate::batches::TaskBatches;
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::loss::{BatchLosses, IntoLoss};
use crate::losses::{Losses, Point};
use burn::module::{Module, ParamGroup};
use burn::tensor::Device;
use sharpness_record::TRAIN_TASK;
use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

pub(crate) struct Task {
    pub(crate) name: Arc<str>,
    pub(crate) kind: TaskKind,
}

pub(crate) enum TaskKind {
    Loss(Box<dyn TaskLoss>),
    Training,
    /// The training loss along the update of these parameters, while the others stay.
    Group(Arc<ParamGroup>),
}

/// The loss of a task on batches of its own, for a model whose type only the task knows.
pub(crate) trait TaskLoss: Send {
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<(), Failure>;
    fn losses_of(&self, model: &dyn Any) -> Result<BatchLosses, Failure>;
}

impl<M: 'static> Losses<M> for Box<dyn TaskLoss> {
    fn losses(&mut self, model: &M, _at: &Point) -> Result<BatchLosses, Failure> {
        self.losses_of(model)
    }
}

impl Task {
    pub(crate) fn of_loss<M, B, F, L>(name: &str, batches: TaskBatches<B>, loss: F) -> Self
    where
        M: Module + 'static,
        B: Clone + Send + 'static,
        F: Fn(&M, B) -> L + Send + 'static,
        L: IntoLoss + 'static,
    {
        let loss = LossOnBatches {
            batches,
            selected: Vec::new(),
            loss,
            model: PhantomData,
        };
        Self::new(name, TaskKind::Loss(Box::new(loss)))
    }

    pub(crate) fn new(name: &str, kind: TaskKind) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }
}

struct LossOnBatches<M, B, F> {
    batches: TaskBatches<B>,
    selected: Vec<B>,
    loss: F,
    model: PhantomData<fn(&M)>,
}

impl<M, B, F, L> TaskLoss for LossOnBatches<M, B, F>
where
    M: Module + 'static,
    B: Clone + Send + 'static,
    F: Fn(&M, B) -> L + Send,
    L: IntoLoss,
{
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<(), Failure> {
        self.selected = self.batches.take(index, count, device)?;
        Ok(())
    }

    fn losses_of(&self, model: &dyn Any) -> Result<BatchLosses, Failure> {
        let model = model.downcast_ref::<M>();
        let model = model.ok_or(Failure::OtherModel(std::any::type_name::<M>()))?;
        let batches = self.selected.iter();
        let losses = batches.map(|batch| (self.loss)(model, batch.clone()).into_loss());
        Ok(BatchLosses::new(losses.collect::<Result<_, _>>()?)?)
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
