use super::due::{Awaited, DueUpdate, KeptBatch, is_all_on, training_losses};
use super::fingerprint::fingerprint;
use super::team::{Card, Door as TeamDoor, Team};
use crate::failure::{guarded, lock};
use crate::loss::{Loss, LossError};
use crate::measure::Facts;
use crate::params::{SquaredNorm, home_of, squared_norm};
use crate::probe::SharpnessProbe;
use crate::schedule::Place;
use crate::session::{Door, Session};
use crate::workers::{Replica, Worker, Workers};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn::train::{LearnerModel, TrainOutput, TrainStep};
use sharpness_record::WorkerShare;
use std::sync::{Arc, Mutex};

pub(super) type Batch<M> = <M as TrainStep>::Input;
pub(super) type Objective<M> = Arc<dyn Fn(&M, Batch<M>) -> Result<Loss, LossError> + Send + Sync>;
pub(super) type TrainingLoss<M> =
    Arc<dyn Fn(&M, &<M as TrainStep>::Output) -> Result<Loss, LossError> + Send + Sync>;

const ATTACHED_AGAIN: &str = "the probe was attached again: it no longer measures this model; a second model takes a probe of its own";

const REPORTS_ANOTHER: &str = "the model reports another loss for inference, perhaps without a penalty; to measure the training loss, attach the probe by `attach_with` and return that loss";

/// Tracks the steps of a probed model; all its clones and forks share it.
pub(super) struct Hook<M: TrainStep> {
    probe: SharpnessProbe,
    attached: u64,
    objective: Objective<M>,
    /// Reads the loss of a training step from its output, if the model reports it.
    training_loss: Option<TrainingLoss<M>>,
    /// Locked before the run.
    underway: Mutex<Underway<Batch<M>>>,
}

/// The updates that are being made.
struct Underway<B> {
    /// Their batches, if the update will be measured.
    batches: Vec<KeptBatch<B>>,
    /// The number of batches kept so far.
    kept: u64,
    /// The way into the measurement of the update of this step.
    door: Option<(u64, TeamDoor)>,
}

impl<B> Default for Underway<B> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            kept: 0,
            door: None,
        }
    }
}

impl<B> Underway<B> {
    fn take(&mut self, is_taken: impl Fn(&KeptBatch<B>) -> bool) -> Vec<KeptBatch<B>> {
        self.batches.extract_if(.., |kept| is_taken(kept)).collect()
    }
}

impl<M: LearnerModel> Hook<M>
where
    Batch<M>: Clone,
{
    /// Keeps a batch if its update will be measured, and returns its number.
    pub(super) fn begin_item(
        &self,
        replica: &Replica,
        device: Device,
        batch: &Batch<M>,
    ) -> Option<u64> {
        let mut underway = lock(&self.underway);
        let step = self.probe.run().begin_batch(replica, self.probe.config())?;
        underway.kept += 1;
        let number = underway.kept;
        underway.batches.push(KeptBatch {
            number,
            step,
            worker: replica.worker(),
            device,
            batch: batch.clone(),
            training_loss: None,
            squared_gradient: None,
        });
        Some(number)
    }

    pub(super) fn note_step(
        &self,
        number: u64,
        model: &M,
        output: &TrainOutput<<M as TrainStep>::Output>,
    ) {
        // If this loss cannot be read, the probe evaluates it.
        let training_loss = self.training_loss.as_ref();
        let training_loss = training_loss.and_then(|loss| loss(model, &output.item).ok());
        let squared_gradient = self.probe.config().panel.then(|| {
            let squared = guarded("the gradient", || Ok(squared_norm(model, &output.grads)));
            squared.ok()
        });
        let mut underway = lock(&self.underway);
        let mut batches = underway.batches.iter_mut();
        if let Some(kept) = batches.find(|kept| kept.number == number) {
            kept.training_loss = training_loss;
            kept.squared_gradient = squared_gradient.flatten();
        }
    }

    /// Begins an update of a replica. Returns the step of its next one, and its batches if it is to be measured: of several
    /// workers that make the same update, the first measures it, and the others help.
    pub(super) fn begin_update(
        &self,
        replica: &Replica,
        home: &Device,
        learning_rate: &ModuleLearningRate,
    ) -> (u64, Option<DueUpdate<M>>) {
        let mut underway = lock(&self.underway);
        let mut run = self.probe.run();
        let (place, is_first) = run.begin_update(replica, learning_rate.base());
        let due = if is_first {
            self.lead(&mut underway, &run.workers, replica, place)
        } else {
            drop(run);
            self.help(&mut underway, replica, home, place)
        };
        (place.step + 1, due)
    }

    /// The update of the worker that makes it first.
    fn lead(
        &self,
        underway: &mut Underway<Batch<M>>,
        workers: &Workers,
        replica: &Replica,
        place: Place,
    ) -> Option<DueUpdate<M>> {
        underway.door = None;
        // What is left of earlier updates belongs to workers that have not made them.
        underway.batches.retain(|kept| kept.step >= place.step);
        let this = replica.worker();
        let before = workers.makers_before();
        let mut awaited: Vec<Awaited> = Vec::new();
        let mut lost: Vec<Awaited> = Vec::new();
        for kept in &underway.batches {
            let worker = &kept.worker;
            let is_known = before.contains(worker);
            // A worker of this thread cannot come while it waits. A replica that has made no update may belong to one that
            // only makes gradients, for this worker.
            let can_come = worker.thread != this.thread
                && worker.is_alive()
                && !workers.is_absent(worker)
                && (is_known || !worker.has_replica_of(&this));
            let others = match can_come {
                true => &mut awaited,
                false if is_known && worker.thread != this.thread => &mut lost,
                false => continue,
            };
            if kept.step != place.step {
                continue;
            }
            match others.iter_mut().find(|other| other.worker == *worker) {
                Some(other) => other.batches += 1,
                None => others.push(Awaited {
                    worker: worker.clone(),
                    batches: 1,
                    is_known,
                }),
            }
        }
        let is_of_other = |kept: &KeptBatch<_>| {
            let mut others = awaited.iter().chain(&lost);
            others.any(|other| other.worker == kept.worker)
        };
        let batches = underway.take(|kept| kept.step == place.step && !is_of_other(kept));
        if batches.is_empty() {
            return None;
        }
        let is_here = |maker: &&Worker| {
            maker.thread == this.thread
                && **maker != this
                && batches.iter().any(|kept| kept.worker == **maker)
        };
        let measured = 1 + before.iter().filter(is_here).count();
        let team = (!awaited.is_empty()).then(|| {
            let (door, team) = Team::open(self.probe.config().worker_limit);
            underway.door = Some((place.step, door));
            team
        });
        let of = before.len().max(measured + lost.len());
        Some(DueUpdate {
            place,
            batches,
            left_out: lost.iter().map(|other| other.batches).sum(),
            workers: WorkerShare::new(measured, of),
            team,
            awaited,
            seat: None,
            objective: self.objective.clone(),
        })
    }

    /// The update of a worker whose replica makes it later.
    fn help(
        &self,
        underway: &mut Underway<Batch<M>>,
        replica: &Replica,
        home: &Device,
        place: Place,
    ) -> Option<DueUpdate<M>> {
        let worker = replica.worker();
        let batches = underway.take(|kept| kept.step == place.step && kept.worker == worker);
        let door = underway.door.as_ref();
        let (_, door) = door.filter(|(step, _)| *step == place.step && !batches.is_empty())?;
        let seat = door.enter(Card {
            worker,
            batches: batches.len(),
            training_losses: training_losses(&batches),
            is_on_one_device: is_all_on(&batches, home),
        })?;
        Some(DueUpdate {
            place,
            batches,
            left_out: 0,
            workers: WorkerShare::new(1, 2),
            team: None,
            awaited: Vec::new(),
            seat: Some(seat),
            objective: self.objective.clone(),
        })
    }

    /// Waits for the other workers of an update.
    fn gather(&self, due: &mut DueUpdate<M>) {
        let Some(team) = &mut due.team else {
            return;
        };
        let awaited: Vec<Worker> = due
            .awaited
            .iter()
            .map(|other| other.worker.clone())
            .collect();
        team.gather(&awaited);
        let came: Vec<Worker> = team
            .cards()
            .iter()
            .map(|card| card.worker.clone())
            .collect();
        due.workers.measured += came.len();
        let mut lost = 0;
        for other in std::mem::take(&mut due.awaited) {
            if came.contains(&other.worker) {
                continue;
            }
            let mut underway = lock(&self.underway);
            self.probe.run().workers.note_absent(&other.worker);
            let step = due.place.step;
            let batches = underway.take(|kept| kept.step == step && kept.worker == other.worker);
            if other.is_known || batches.is_empty() {
                lost += 1;
                due.left_out += other.batches;
            } else {
                // It has never made an update, so these gradients were made for this one.
                due.batches.extend(batches);
            }
        }
        due.workers.of = due.workers.of.max(due.workers.measured + lost);
        if came.is_empty() {
            due.team = None;
        }
    }

    /// Measures an update of a model, or of a copy on one device.
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
        let batches = due.batches.iter_mut();
        let squared_gradients: Option<Vec<SquaredNorm>> =
            batches.map(|kept| kept.squared_gradient.take()).collect();
        let here = replica.worker();
        let is_alone = due.workers.of == 1;
        Session {
            probe: &self.probe,
            door: Door::Learner,
            facts: Facts {
                place: due.place,
                learning_rate,
                batches: due.all_batches(),
                share: due.share(),
                workers: (!is_alone).then_some(due.workers),
                squared_gradients: squared_gradients.unwrap_or_default(),
                training_loss: due.training_losses(),
                is_on_one_device: due.is_at_home(&home),
                advice: REPORTS_ANOTHER,
            },
            grads,
            copy,
            is_alone,
            is_of_this_thread: due
                .batches
                .iter()
                .all(|kept| kept.worker.thread == here.thread),
            may_step_first: self.probe.config().step_first,
            seat: due.seat.take(),
            kept: replica.kept(),
            losses: due,
        }
    }
}

impl<M: TrainStep> Hook<M> {
    pub(super) fn new(
        probe: &SharpnessProbe,
        objective: Objective<M>,
        training_loss: Option<TrainingLoss<M>>,
    ) -> Self {
        Self {
            probe: probe.clone(),
            attached: probe.begin_run(),
            objective,
            training_loss,
            underway: Mutex::default(),
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
        *lock(&self.underway) = Underway::default();
        if self.is_live() {
            self.probe.run().forget_workers();
        }
        if self.keeps_steps() {
            let fingerprint = fingerprint(model);
            let state = self.probe.run().resume_from(fingerprint);
            state
                .into_iter()
                .for_each(|state| self.probe.continue_from(&state));
        }
    }

    fn keeps_steps(&self) -> bool {
        self.is_live() && self.probe.config().directory.is_some()
    }
}
