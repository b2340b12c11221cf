use crate::batches::TaskBatches;
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::loss::{BatchLosses, IntoLoss, Loss};
use crate::losses::{Losses, Point};
use crate::params::on_device;
use burn::module::{Module, ParamGroup};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
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
    Group(Arc<ParamGroup>),
}

pub(crate) trait TaskLoss: Send {
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<(), Failure>;
    fn losses_of(&self, model: &dyn Any) -> Result<BatchLosses, Failure>;
}

pub(crate) trait BatchGradients: Send {
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<usize, Failure>;
    fn loss_of(&self, batch: usize, model: &dyn Any) -> Result<Loss, Failure>;
    fn gradient_of(&self, batch: usize, model: &dyn Any) -> Result<GradientsParams, Failure>;
}

/// The batches stay on one device, on whichever device the measuring worker has its replica.
pub(crate) struct AtHome<'a> {
    pub(crate) task: &'a mut dyn TaskLoss,
    pub(crate) home: Device,
}

impl<M: Module + 'static> Losses<M> for AtHome<'_> {
    fn losses(&mut self, model: &M, _at: &Point) -> Result<BatchLosses, Failure> {
        on_device(model, &self.home, |model| self.task.losses_of(model))
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
        Self::new(
            name,
            TaskKind::Loss(Box::new(LossOnBatches::new(batches, loss))),
        )
    }

    pub(crate) fn new(name: &str, kind: TaskKind) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }
}

pub(crate) fn batch_gradients<M, B, F>(batches: TaskBatches<B>, loss: F) -> Box<dyn BatchGradients>
where
    M: Module + 'static,
    B: Clone + Send + 'static,
    F: Fn(&M, B) -> Tensor<1> + Send + 'static,
{
    Box::new(LossOnBatches::new(batches, loss))
}

struct LossOnBatches<M, B, F> {
    batches: TaskBatches<B>,
    selected: Vec<B>,
    loss: F,
    model: PhantomData<fn(&M)>,
}

impl<M: 'static, B: Clone + Send + 'static, F> LossOnBatches<M, B, F> {
    fn new(batches: TaskBatches<B>, loss: F) -> Self {
        Self {
            batches,
            selected: Vec::new(),
            loss,
            model: PhantomData,
        }
    }

    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<usize, Failure> {
        self.selected = self.batches.take(index, count, device)?;
        Ok(self.selected.len())
    }

    fn known(model: &dyn Any) -> Result<&M, Failure> {
        let model = model.downcast_ref::<M>();
        model.ok_or(Failure::OtherModel(std::any::type_name::<M>()))
    }
}

impl<M, B, F, L> TaskLoss for LossOnBatches<M, B, F>
where
    M: Module + 'static,
    B: Clone + Send + 'static,
    F: Fn(&M, B) -> L + Send,
    L: IntoLoss,
{
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<(), Failure> {
        Self::select(self, index, count, device)?;
        Ok(())
    }

    fn losses_of(&self, model: &dyn Any) -> Result<BatchLosses, Failure> {
        let model = Self::known(model)?;
        let batches = self.selected.iter();
        let losses = batches.map(|batch| (self.loss)(model, batch.clone()).into_loss());
        Ok(BatchLosses::new(losses.collect::<Result<_, _>>()?)?)
    }
}

impl<M, B, F> BatchGradients for LossOnBatches<M, B, F>
where
    M: Module + 'static,
    B: Clone + Send + 'static,
    F: Fn(&M, B) -> Tensor<1> + Send,
{
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<usize, Failure> {
        Self::select(self, index, count, device)
    }

    fn loss_of(&self, batch: usize, model: &dyn Any) -> Result<Loss, Failure> {
        let loss = (self.loss)(Self::known(model)?, self.selected[batch].clone());
        Ok(loss.mean().into_loss()?)
    }

    fn gradient_of(&self, batch: usize, model: &dyn Any) -> Result<GradientsParams, Failure> {
        let model = Self::known(model)?;
        let loss = (self.loss)(model, self.selected[batch].clone());
        Ok(GradientsParams::from_grads(loss.mean().backward(), model))
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
