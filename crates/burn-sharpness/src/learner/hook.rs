use super::due::DueUpdate;
use super::fingerprint::fingerprint;
use super::in_progress::{Awaited, InProgress};
use super::objective::{Batch, Objective, TrainingLoss};
use crate::failure::{guarded, lock};
use crate::measure::Facts;
use crate::params::{SquaredNorm, home_of, squared_norm};
use crate::probe::SharpnessProbe;
use crate::session::{Door, Session};
use crate::workers::{Replica, Worker};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn::train::{LearnerModel, TrainOutput, TrainStep};
use std::sync::Mutex;

const ATTACHED_AGAIN: &str = "the probe was attached again: it no longer measures this model; a second model takes a probe of its own";

const REPORTS_ANOTHER: &str = "the model reports another loss for inference, perhaps without a penalty; to measure the training loss, attach the probe by `attach_with` and return that loss";

pub(super) struct Hook<M: TrainStep> {
    probe: SharpnessProbe,
    attached: u64,
    /// The device of the model that the user attached.
    home: Device,
    objective: Objective<M>,
    training_loss: Option<TrainingLoss<M>>,
    /// Always lock this before the run.
    updates: Mutex<InProgress<Batch<M>>>,
}

impl<M: LearnerModel> Hook<M>
where
    Batch<M>: Clone,
{
    pub(super) fn begin_item(
        &self,
        replica: &Replica,
        device: Device,
        batch: &Batch<M>,
    ) -> Option<u64> {
        let mut updates = lock(&self.updates);
        let step = self.probe.run().begin_batch(replica, self.probe.config())?;
        Some(updates.keep(step, replica.worker(), device, batch.clone()))
    }

    pub(super) fn note_step(
        &self,
        number: u64,
        model: &M,
        output: &TrainOutput<<M as TrainStep>::Output>,
    ) {
        let training_loss = self.training_loss.as_ref();
        let training_loss = training_loss.and_then(|loss| loss(model, &output.item).ok());
        let squared_gradient = self.probe.config().panel.then(|| {
            let squared = guarded("the gradient", || Ok(squared_norm(model, &output.grads)));
            squared.ok()
        });
        if let Some(kept) = lock(&self.updates).kept(number) {
            kept.training_loss = training_loss;
            kept.squared_gradient = squared_gradient.flatten();
        }
    }

    /// The first of several workers measures the update, the others help.
    pub(super) fn begin_update(
        &self,
        replica: &Replica,
        home: &Device,
        learning_rate: &ModuleLearningRate,
    ) -> (u64, Option<DueUpdate<M>>) {
        let this = replica.worker();
        let mut updates = lock(&self.updates);
        let mut run = self.probe.run();
        let (place, is_first) = run.begin_update(replica, learning_rate.base());
        let step = place.step;
        let due = if run.is_stopped {
            // A worker may have kept a batch before another worker stopped the measuring.
            *updates = InProgress::default();
            None
        } else if is_first {
            let calling = updates.lead(step, &this, &run.workers);
            calling.map(|calling| {
                let limit = self.probe.config().worker_limit;
                let team = (!calling.awaited.is_empty()).then(|| updates.open(step, limit));
                (calling, team, None)
            })
        } else {
            let help = updates.help(step, &this, home);
            help.map(|(calling, seat)| (calling, None, Some(seat)))
        };
        let due = due.map(|(calling, team, seat)| DueUpdate {
            place,
            calling,
            team,
            seat,
            objective: self.objective.clone(),
        });
        (step + 1, due)
    }

    fn gather(&self, due: &mut DueUpdate<M>) {
        let Some(team) = &mut due.team else {
            return;
        };
        let awaited = std::mem::take(&mut due.calling.awaited);
        let workers: Vec<&Worker> = awaited.iter().map(|other| &other.worker).collect();
        team.gather(&workers);
        let cards = team.host.cards();
        let has_come = |other: &Awaited| cards.iter().any(|card| card.worker == other.worker);
        let (came, missing): (Vec<_>, Vec<_>) = awaited.into_iter().partition(has_come);
        if came.is_empty() {
            due.team = None;
        }
        let mut updates = lock(&self.updates);
        for other in &missing {
            self.probe.run().workers.note_absent(&other.worker);
            updates.do_without(due.place.step, other, &mut due.calling);
        }
        due.calling.measured += came.len();
    }

    pub(super) fn session<'a>(
        &'a self,
        due: &'a mut DueUpdate<M>,
        (model, copy): (&M, Option<M>),
        replica: &Replica,
        learning_rate: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Session<'a, M> {
        self.gather(due);
        let home = home_of(copy.as_ref().unwrap_or(model));
        let batches = due.calling.batches.iter_mut();
        let squared_gradients: Option<Vec<SquaredNorm>> =
            batches.map(|kept| kept.squared_gradient.take()).collect();
        let workers = due.calling.workers();
        Session {
            probe: &self.probe,
            door: Door::Learner,
            facts: Facts {
                place: due.place,
                learning_rate,
                batches: due.all_batches(),
                coverage: due.coverage(),
                squared_gradients: squared_gradients.unwrap_or_default(),
                training_loss: due.training_losses(),
                is_on_one_device: due.is_at_home(&home),
                batches_home: workers.is_some().then(|| self.home.clone()),
                advice: REPORTS_ANOTHER,
            },
            grads,
            copy,
            is_alone: workers.is_none() && due.calling.is_alone,
            is_of_this_thread: due.calling.is_of_this_thread(),
            may_step_first: self.probe.config().step_first,
            seat: due.seat.take(),
            kept: replica.life.clone(),
            losses: due,
        }
    }
}

impl<M: TrainStep> Hook<M> {
    pub(super) fn new(
        probe: &SharpnessProbe,
        model: &M,
        objective: Objective<M>,
        training_loss: Option<TrainingLoss<M>>,
    ) -> Self
    where
        M: Module,
    {
        Self {
            probe: probe.clone(),
            attached: probe.begin_run(),
            home: home_of(model).inner(),
            objective,
            training_loss,
            updates: Mutex::default(),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.probe.is_enabled() && self.probe.run().attached == self.attached
    }

    pub(super) fn note_unmeasured_item(&self) {
        if self.probe.is_enabled() {
            self.probe.tell(ATTACHED_AGAIN.to_string());
        }
    }

    pub(super) fn note_validation(&self) {
        self.probe.run().is_validating = true;
    }

    pub(super) fn note_checkpoint(&self, model: &M)
    where
        M: Module,
    {
        if self.keeps_steps() {
            let (fingerprint, state) = (fingerprint(model), self.probe.state());
            self.probe.run().note_checkpoint(fingerprint, state);
        }
    }

    pub(super) fn resume(&self, model: &M)
    where
        M: Module,
    {
        *lock(&self.updates) = InProgress::default();
        if self.is_live() {
            self.probe.run().forget_workers();
        }
        if self.keeps_steps() {
            let fingerprint = fingerprint(model);
            let state = self.probe.run().resume_from(fingerprint);
            if let Some(state) = state {
                self.probe.continue_from(&state);
            }
        }
    }

    fn keeps_steps(&self) -> bool {
        self.is_live() && self.probe.config().directory.is_some()
    }
}
