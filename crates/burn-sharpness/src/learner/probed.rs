use super::due::DueUpdate;
use super::hook::Hook;
use super::objective::Batch;
use crate::params::{copy_gradients, home_of, sum_gradients};
use crate::session::{Underway, is_underway};
use crate::workers::Replica;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleMapper, ModuleVisitor};
use burn::optim::{GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::Device;
use burn::train::{InferenceStep, LearnerModel, TrainOutput, TrainStep};
use std::fmt::{Debug, Display, Formatter};
use std::ops::Deref;
use std::sync::Arc;

/// Wraps a model with a [`SharpnessProbe`](crate::SharpnessProbe), for burn's `Learner`.
///
/// It has the model's parameters under the same paths, the same display, and checkpoints that load into the bare model
/// and vice versa. [`TrainStep::optimize`] also takes due measurements, after or before the model's own step
/// ([`with_step_first`](crate::SharpnessConfig::with_step_first)).
pub struct Probed<M: TrainStep> {
    model: M,
    hook: Arc<Hook<M>>,
    replica: Replica,
}

impl<M: TrainStep> Probed<M> {
    pub(super) fn new(model: M, hook: Hook<M>) -> Self {
        Self {
            model,
            hook: Arc::new(hook),
            replica: Replica::default(),
        }
    }

    /// Returns the model.
    pub fn into_inner(self) -> M {
        self.model
    }

    fn with_model(&self, model: M) -> Self {
        Self {
            model,
            hook: self.hook.clone(),
            replica: self.replica.clone(),
        }
    }

    fn map_model(self, change: impl FnOnce(M) -> M) -> Self {
        Self {
            model: change(self.model),
            ..self
        }
    }

    fn map_fork(self, change: impl FnOnce(M) -> M) -> Self {
        let replica = self.replica.fork();
        Self {
            replica,
            ..self.map_model(change)
        }
    }
}

impl<M: TrainStep> Deref for Probed<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.model
    }
}

impl<M: TrainStep + Clone> Clone for Probed<M> {
    fn clone(&self) -> Self {
        self.with_model(self.model.clone())
    }
}

impl<M: TrainStep + Debug> Debug for Probed<M> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Debug::fmt(&self.model, f)
    }
}

impl<M: TrainStep + Display> Display for Probed<M> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(&self.model, f)
    }
}

impl<M: LearnerModel> Module for Probed<M> {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.model.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.map_fork(|model| model.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.map_fork(|model| model.to_device(device))
    }

    fn train(self) -> Self {
        self.map_model(|model| model.train())
    }

    fn valid(&self) -> Self {
        // Burn validates after each epoch, and gives a model no other sign that an epoch is over.
        if !is_underway() && self.hook.is_live() {
            self.hook.note_validation();
        }
        self.with_model(self.model.valid())
    }

    fn materialize(self) -> Self {
        self.map_model(|model| model.materialize())
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        self.model.visit(visitor);
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        self.map_model(|model| model.map(mapper))
    }

    fn into_record(self) -> ModuleRecord {
        // A record made during a measurement is no checkpoint.
        if !is_underway() {
            self.hook.note_checkpoint(&self.model);
        }
        self.model.into_record()
    }

    fn try_load_record(self, record: ModuleRecord) -> Result<Self, RecordError> {
        let model = self.model.try_load_record(record)?;
        if !is_underway() {
            self.hook.resume(&model);
        }
        Ok(Self {
            model,
            hook: self.hook,
            replica: Replica::default(),
        })
    }
}

impl<M: LearnerModel> InferenceStep for Probed<M> {
    type Input = <M as InferenceStep>::Input;
    type Output = <M as InferenceStep>::Output;

    fn step(&self, item: Self::Input) -> Self::Output {
        InferenceStep::step(&self.model, item)
    }
}

impl<M> TrainStep for Probed<M>
where
    M: LearnerModel,
    Batch<M>: Clone,
{
    type Input = Batch<M>;
    type Output = <M as TrainStep>::Output;

    fn step(&self, item: Self::Input) -> TrainOutput<Self::Output> {
        if is_underway() {
            return TrainStep::step(&self.model, item);
        }
        if !self.hook.is_live() {
            self.hook.note_unmeasured_item();
            return TrainStep::step(&self.model, item);
        }
        let kept = (self.hook).begin_item(&self.replica, home_of(&self.model), &item);
        let output = TrainStep::step(&self.model, item);
        if let Some(number) = kept {
            self.hook.note_step(number, &self.model, &output);
        }
        output
    }

    fn optimize(
        mut self,
        optim: &mut ModuleOptimizer,
        lr_module: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Self {
        let Some(mut due) = self.begin_update(&lr_module) else {
            return self.map_model(|model| model.optimize(optim, lr_module, grads));
        };
        let (hook, model) = (self.hook.clone(), &self.model);
        let kept = copy_gradients(model, &grads, |_| true);
        let session = hook.session(&mut due, (model, None), &self.replica, lr_module, kept);
        let make = |model: M, optim: &mut _, rate| model.optimize(optim, rate, grads);
        self.map_model(|model| session.step(model, optim, make))
    }

    fn optimize_multi(
        mut self,
        optim: &mut ModuleOptimizer,
        lr_module: ModuleLearningRate,
        grads: MultiGradientsParams,
    ) -> Self {
        let due = self.begin_update(&lr_module);
        let (Some(mut due), Some((_, device))) = (due, grads.grads.first()) else {
            return self.map_model(|model| model.optimize_multi(optim, lr_module, grads));
        };
        let (hook, model) = (self.hook.clone(), &self.model);
        // The parameters may be spread over the devices, so measure on one.
        let device = device.clone().inner();
        let copy = {
            let _underway = Underway::begin();
            model.valid().to_device(&device)
        };
        let sum = sum_gradients(&copy, &grads, &device);
        let session = hook.session(&mut due, (model, Some(copy)), &self.replica, lr_module, sum);
        let make = |model: M, optim: &mut _, rate| model.optimize_multi(optim, rate, grads);
        self.map_model(|model| session.step(model, optim, make))
    }
}

impl<M: LearnerModel> Probed<M>
where
    Batch<M>: Clone,
{
    fn begin_update(&mut self, rate: &ModuleLearningRate) -> Option<DueUpdate<M>> {
        if !self.hook.is_live() {
            return None;
        }
        let home = home_of(&self.model);
        let (next_step, due) = self.hook.begin_update(&self.replica, &home, rate);
        self.replica.next_step = Some(next_step);
        due
    }
}
