//! The batches of the updates in progress, and the worker that evaluates each.

use super::team::{Card, Door, Team};
use crate::loss::Loss;
use crate::params::SquaredNorm;
use crate::session::Seat;
use crate::workers::{Worker, Workers};
use burn::tensor::Device;
use sharpness_record::WorkerShare;
use std::time::Duration;

pub(super) struct KeptBatch<B> {
    number: u64,
    /// The step of the batch's update.
    step: u64,
    /// The worker that made the batch's gradient.
    worker: Worker,
    pub(super) device: Device,
    pub(super) batch: B,
    /// The training step's loss on the batch.
    pub(super) training_loss: Option<Loss>,
    /// ‖g‖² of the batch's gradient, once the gradient exists and if the probe needs it. It is still on the device.
    pub(super) squared_gradient: Option<SquaredNorm>,
}

/// The batches of updates that the probe will measure, until it does.
pub(super) struct InProgress<B> {
    batches: Vec<KeptBatch<B>>,
    /// The number of batches kept so far.
    kept: u64,
    /// The step of the open measurement, and the way into it.
    door: Option<(u64, Door)>,
}

/// The batches of an update, from the side of one worker.
pub(super) struct Calling<B> {
    /// The worker.
    this: Worker,
    /// The batches that this worker evaluates.
    pub(super) batches: Vec<KeptBatch<B>>,
    /// The workers that it waits for.
    pub(super) awaited: Vec<Awaited>,
    /// The number of batches that nobody evaluates.
    pub(super) left_out: usize,
    /// The number of workers that made the update before this one.
    before: usize,
    /// The number of workers whose batches are evaluated, and of those whose batches are not.
    measured: usize,
    lost: usize,
    /// Whether no other living replica has made gradients of the update.
    pub(super) is_alone: bool,
}

/// Another worker that has made gradients of an update.
pub(super) struct Awaited {
    pub(super) worker: Worker,
    batches: usize,
    /// Whether it has made an update together with other workers.
    is_known: bool,
}

/// The worker that evaluates a batch, if any.
enum Fate {
    /// The measuring worker evaluates it.
    Own,
    /// The batch's own worker evaluates it, if it comes.
    Awaited,
    /// No worker evaluates it.
    LeftOut,
}

impl<B> Default for InProgress<B> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            kept: 0,
            door: None,
        }
    }
}

impl<B> InProgress<B> {
    /// Keeps a batch of the update of a step, and returns its number.
    pub(super) fn keep(&mut self, step: u64, worker: Worker, device: Device, batch: B) -> u64 {
        self.kept += 1;
        self.batches.push(KeptBatch {
            number: self.kept,
            step,
            worker,
            device,
            batch,
            training_loss: None,
            squared_gradient: None,
        });
        self.kept
    }

    /// Returns the kept batch with this number.
    pub(super) fn kept(&mut self, number: u64) -> Option<&mut KeptBatch<B>> {
        let mut batches = self.batches.iter_mut();
        batches.find(|kept| kept.number == number)
    }

    /// Begins an update that this worker is the first to make, unless no batch of the update is kept. The worker itself
    /// may have no batch.
    pub(super) fn lead(
        &mut self,
        step: u64,
        this: &Worker,
        workers: &Workers,
    ) -> Option<Calling<B>> {
        self.door = None;
        // Any batches of earlier updates belong to workers that have not made those updates.
        self.batches.retain(|kept| kept.step >= step);
        let before = workers.makers_before();
        let mut calling = Calling {
            this: this.clone(),
            batches: Vec::new(),
            awaited: Vec::new(),
            left_out: 0,
            before: before.len(),
            measured: 0,
            lost: 0,
            is_alone: true,
        };
        let mut lost: Vec<Worker> = Vec::new();
        for kept in self.take(|kept| kept.step == step) {
            let worker = &kept.worker;
            calling.is_alone &= worker == this || !worker.is_alive();
            match fate(worker, this, workers) {
                Fate::Own => calling.batches.push(kept),
                Fate::LeftOut => {
                    calling.left_out += 1;
                    if !lost.contains(worker) {
                        lost.push(worker.clone());
                    }
                }
                Fate::Awaited => {
                    let mut awaited = calling.awaited.iter_mut();
                    match awaited.find(|other| other.worker == *worker) {
                        Some(other) => other.batches += 1,
                        None => calling.awaited.push(Awaited {
                            worker: worker.clone(),
                            batches: 1,
                            is_known: before.contains(worker),
                        }),
                    }
                    self.batches.push(kept);
                }
            }
        }
        let is_of = |maker: &Worker| {
            let mut batches = calling.batches.iter();
            maker != this && batches.any(|kept| kept.worker == *maker)
        };
        // The other replicas of this thread, whose batches this worker evaluates, and itself.
        let others = before.iter().filter(|maker| is_of(maker)).count();
        let mut batches = calling.batches.iter();
        let has_own = batches.any(|kept| kept.worker == *this || !before.contains(&kept.worker));
        calling.measured = others + usize::from(has_own);
        calling.lost = lost.len();
        let is_empty = calling.batches.is_empty() && calling.awaited.is_empty();
        (!is_empty).then_some(calling)
    }

    /// Opens the measurement of this step to other workers.
    pub(super) fn open(&mut self, step: u64, limit: Duration) -> Team {
        let (door, team) = Team::open(limit);
        self.door = Some((step, door));
        team
    }

    /// Begins a worker's update after another worker has made it. Returns its batches and its seat in the measurement,
    /// if the measurement is open and this worker has a batch for it.
    pub(super) fn help(
        &mut self,
        step: u64,
        this: &Worker,
        home: &Device,
    ) -> Option<(Calling<B>, Seat)> {
        let batches = self.take(|kept| kept.step == step && kept.worker == *this);
        let door = self.door.as_ref();
        let (_, door) = door.filter(|(of, _)| *of == step && !batches.is_empty())?;
        let seat = door.enter(Card {
            worker: this.clone(),
            batches: batches.len(),
            training_losses: training_losses(&batches),
            is_on_one_device: is_all_on(&batches, home),
        })?;
        let calling = Calling {
            this: this.clone(),
            batches,
            awaited: Vec::new(),
            left_out: 0,
            before: 0,
            measured: 1,
            lost: 1,
            is_alone: false,
        };
        Some((calling, seat))
    }

    /// Measures without a worker that has not come.
    pub(super) fn do_without(&mut self, step: u64, other: &Awaited, calling: &mut Calling<B>) {
        let batches = self.take(|kept| kept.step == step && kept.worker == other.worker);
        if other.is_known || batches.is_empty() {
            calling.lost += 1;
            calling.left_out += other.batches;
        } else {
            // This worker has never made an update, so it may make gradients for the measuring worker's.
            calling.batches.extend(batches);
        }
    }

    fn take(&mut self, is_taken: impl Fn(&KeptBatch<B>) -> bool) -> Vec<KeptBatch<B>> {
        self.batches.extract_if(.., |kept| is_taken(kept)).collect()
    }
}

fn fate(worker: &Worker, this: &Worker, workers: &Workers) -> Fate {
    // A worker of this thread cannot come while the thread waits.
    if worker.thread == this.thread {
        return Fate::Own;
    }
    let is_known = workers.makers_before().contains(worker);
    // Before its first update, only a replica of its own tells a worker from a thread that makes gradients for this
    // worker.
    let may_come = is_known || !worker.has_replica_of(this);
    if may_come && worker.is_alive() && !workers.is_absent(worker) {
        Fate::Awaited
    } else if is_known {
        Fate::LeftOut
    } else {
        Fate::Own
    }
}

impl<B> Calling<B> {
    /// Counts so many workers that have come.
    pub(super) fn count(&mut self, came: usize) {
        self.measured += came;
    }

    /// Counts a worker that came and has left.
    pub(super) fn lose(&mut self, card: &Card) {
        self.measured -= 1;
        self.lost += 1;
        self.left_out += card.batches;
    }

    /// The number of workers in the measurement and in all, if several make the update.
    pub(super) fn workers(&self) -> Option<WorkerShare> {
        let of = self.before.max(self.measured + self.lost);
        (of > 1).then(|| WorkerShare::new(self.measured, of))
    }

    /// Whether this thread has made the gradients of all batches that it evaluates.
    pub(super) fn is_of_this_thread(&self) -> bool {
        let mut batches = self.batches.iter();
        batches.all(|kept| kept.worker.thread == self.this.thread)
    }
}

/// The losses of the training steps on these batches, if all are known.
pub(super) fn training_losses<B>(batches: &[KeptBatch<B>]) -> Option<Vec<Loss>> {
    let losses = batches.iter().map(|kept| kept.training_loss.clone());
    losses.collect()
}

/// Whether all batches are on this device.
pub(super) fn is_all_on<B>(batches: &[KeptBatch<B>], home: &Device) -> bool {
    batches.iter().all(|kept| kept.device == *home)
}
