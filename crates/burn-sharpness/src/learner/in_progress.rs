//! The batches of the updates in progress, and the worker that evaluates each.

use super::team::{Card, Door, Team};
use crate::loss::Loss;
use crate::meeting;
use crate::params::SquaredNorm;
use crate::session::Seat;
use crate::workers::{Worker, Workers};
use burn::tensor::Device;
use sharpness_record::WorkerShare;
use std::time::Duration;

pub(super) struct KeptBatch<B> {
    number: u64,
    step: u64,
    worker: Worker,
    pub(super) device: Device,
    pub(super) batch: B,
    pub(super) training_loss: Option<Loss>,
    pub(super) squared_gradient: Option<SquaredNorm>,
}

pub(super) struct InProgress<B> {
    batches: Vec<KeptBatch<B>>,
    kept: u64,
    door: Option<(u64, Door)>,
}

pub(super) struct Calling<B> {
    this: Worker,
    pub(super) batches: Vec<KeptBatch<B>>,
    pub(super) awaited: Vec<Awaited>,
    /// The number of batches that nobody evaluates.
    pub(super) left_out: usize,
    /// The number of workers that made the update before this one.
    before: usize,
    /// The numbers of workers whose batches are evaluated, and whose batches are not.
    pub(super) measured: usize,
    lost: usize,
    pub(super) is_alone: bool,
}

pub(super) struct Awaited {
    pub(super) worker: Worker,
    batches: usize,
    /// Whether it has made an update together with other workers.
    is_known: bool,
}

enum Fate {
    Own,
    /// The batch's own worker evaluates it, if it comes.
    Awaited,
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

    pub(super) fn kept(&mut self, number: u64) -> Option<&mut KeptBatch<B>> {
        let mut batches = self.batches.iter_mut();
        batches.find(|kept| kept.number == number)
    }

    /// The first worker to make an update leads; it may have no batch itself.
    pub(super) fn lead(
        &mut self,
        step: u64,
        this: &Worker,
        workers: &Workers,
    ) -> Option<Calling<B>> {
        self.door = None;
        // Any batches of earlier updates belong to workers that have not made those updates.
        self.batches.retain(|kept| kept.step >= step);
        let before = &workers.makers_before;
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
        let others = before.iter().filter(|maker| is_of(maker)).count();
        let mut batches = calling.batches.iter();
        let has_own = batches.any(|kept| kept.worker == *this || !before.contains(&kept.worker));
        calling.measured = others + usize::from(has_own);
        calling.lost = lost.len();
        let is_empty = calling.batches.is_empty() && calling.awaited.is_empty();
        (!is_empty).then_some(calling)
    }

    pub(super) fn open(&mut self, step: u64, limit: Duration) -> Team {
        let (door, host) = meeting::open();
        self.door = Some((step, door));
        Team { host, limit }
    }

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
    let is_known = workers.makers_before.contains(worker);
    // Before its first update, only a replica of its own tells a worker from a thread that makes gradients for this
    // worker.
    let may_come = is_known || !worker.has_replica_of(this);
    if may_come && worker.is_alive() && !workers.absent.contains(worker) {
        Fate::Awaited
    } else if is_known {
        Fate::LeftOut
    } else {
        Fate::Own
    }
}

impl<B> Calling<B> {
    pub(super) fn lose(&mut self, card: &Card) {
        self.measured -= 1;
        self.lost += 1;
        self.left_out += card.batches;
    }

    pub(super) fn workers(&self) -> Option<WorkerShare> {
        let of = self.before.max(self.measured + self.lost);
        (of > 1).then(|| WorkerShare::new(self.measured, of))
    }

    pub(super) fn is_of_this_thread(&self) -> bool {
        let mut batches = self.batches.iter();
        batches.all(|kept| kept.worker.thread == self.this.thread)
    }
}

pub(super) fn training_losses<B>(batches: &[KeptBatch<B>]) -> Option<Vec<Loss>> {
    let losses = batches.iter().map(|kept| kept.training_loss.clone());
    losses.collect()
}

pub(super) fn is_all_on<B>(batches: &[KeptBatch<B>], home: &Device) -> bool {
    batches.iter().all(|kept| kept.device == *home)
}
