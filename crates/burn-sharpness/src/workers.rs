//! The workers of one process that train replicas of a model: each worker's next update, and the makers of each update.

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;

/// A place for a replica's data between measurements, of a type that only its user knows.
pub(crate) type Kept = Mutex<Option<Box<dyn Any + Send>>>;

/// A copy of the trained model. Its clones are the same copy at other times; a fork is another copy.
#[derive(Clone, Default)]
pub(crate) struct Replica {
    life: Arc<Kept>,
    /// The run-wide step of the replica's next update, once it has made an update.
    next_step: Option<u64>,
}

impl Replica {
    pub(crate) fn fork(&self) -> Self {
        Self {
            life: Arc::default(),
            next_step: self.next_step,
        }
    }

    pub(crate) fn set_next_step(&mut self, step: u64) {
        self.next_step = Some(step);
    }

    pub(crate) fn kept(&self) -> Arc<Kept> {
        self.life.clone()
    }

    /// This replica on the current thread.
    pub(crate) fn worker(&self) -> Worker {
        Worker {
            thread: std::thread::current().id(),
            replica: Arc::downgrade(&self.life),
        }
    }
}

/// A replica on a thread: the maker of gradients or updates.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) thread: ThreadId,
    replica: Weak<Kept>,
}

impl PartialEq for Worker {
    fn eq(&self, other: &Self) -> bool {
        self.thread == other.thread && self.has_replica_of(other)
    }
}

impl Worker {
    pub(crate) fn has_replica_of(&self, other: &Self) -> bool {
        self.replica.ptr_eq(&other.replica)
    }

    /// Whether its replica still exists.
    pub(crate) fn is_alive(&self) -> bool {
        self.replica.strong_count() > 0
    }
}

/// The progress of all workers.
#[derive(Default)]
pub(crate) struct Workers {
    /// The run-wide step at which the run began or resumed.
    first_step: Option<u64>,
    /// The step of the last update that a worker has claimed, as the first to make it.
    claimed: Option<u64>,
    /// The workers that have made the update of that step so far.
    makers: Vec<Worker>,
    /// The workers that made the update before.
    makers_before: Vec<Worker>,
    /// The workers that nobody waits for until they make an update again.
    absent: Vec<Worker>,
}

impl Workers {
    /// The run-wide step of a replica's next update. `run_step` is the step of the run's next update.
    pub(crate) fn step_of(&mut self, replica: &Replica, run_step: u64) -> u64 {
        let first = *self.first_step.get_or_insert(run_step);
        let Some(claimed) = self.claimed else {
            return first;
        };
        if self.makers.contains(&replica.worker()) {
            return claimed + 1;
        }
        match replica.next_step {
            Some(next) if next >= claimed || self.makers_before.len() > 1 => next,
            None if claimed == first => first,
            // The replica's training goes on from earlier weights.
            _ => claimed + 1,
        }
    }

    /// Begins a replica's next update. Returns its step, and whether this replica is the first to make it.
    pub(crate) fn begin_update(&mut self, replica: &Replica, run_step: u64) -> (u64, bool) {
        let step = self.step_of(replica, run_step);
        let worker = replica.worker();
        self.absent
            .retain(|absent| *absent != worker && absent.is_alive());
        let is_first = self.claimed.is_none_or(|claimed| step > claimed);
        if is_first {
            self.claimed = Some(step);
            self.makers_before = std::mem::take(&mut self.makers);
        }
        if is_first || self.claimed == Some(step) {
            self.makers.push(worker);
        }
        (step, is_first)
    }

    /// The workers that made the update before the last claimed one.
    pub(crate) fn makers_before(&self) -> &[Worker] {
        &self.makers_before
    }

    pub(crate) fn note_absent(&mut self, worker: &Worker) {
        if !self.absent.contains(worker) {
            self.absent.push(worker.clone());
        }
    }

    pub(crate) fn is_absent(&self, worker: &Worker) -> bool {
        self.absent.contains(worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Makes so many updates of a replica. Returns their steps, and whether this replica was the first to make each.
    fn updates(workers: &mut Workers, replica: &mut Replica, count: usize) -> Vec<(u64, bool)> {
        let one = |_| {
            let run_step = workers.claimed.map_or(5, |claimed| claimed + 1);
            let update = workers.begin_update(replica, run_step);
            replica.set_next_step(update.0 + 1);
            update
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn workers_make_the_same_updates() {
        let mut workers = Workers::default();
        let mut first = Replica::default();
        // A fork on this thread, and a clone on another thread.
        let (mut second, mut third) = (first.fork(), first.clone());
        for step in 5..8 {
            assert_eq!(updates(&mut workers, &mut first, 1), [(step, true)]);
            assert_eq!(updates(&mut workers, &mut second, 1), [(step, false)]);
            thread::scope(|scope| {
                let of_third = scope.spawn(|| updates(&mut workers, &mut third, 1));
                let of_third = of_third.join().unwrap();
                assert_eq!(of_third, [(step, false)]);
            });
            assert_eq!(workers.makers.len(), 3);
        }
        assert_eq!(workers.makers_before.len(), 3);
    }

    #[test]
    fn a_training_that_begins_anew_or_goes_back_makes_updates_of_its_own() {
        let mut workers = Workers::default();
        let start = Replica::default();
        let mut trained = start.clone();
        updates(&mut workers, &mut trained, 3);
        let kept = trained.clone();
        assert_eq!(updates(&mut workers, &mut trained, 1), [(8, true)]);
        // Burn's strategies fork the model that the user passes.
        for from in [start.fork(), kept.fork(), kept, start] {
            let before = workers.claimed.unwrap();
            let again = updates(&mut workers, &mut from.clone(), 2);
            assert_eq!(again, [(before + 1, true), (before + 2, true)]);
        }
    }

    #[test]
    fn a_replica_lives_as_long_as_its_clones() {
        let replica = Replica::default();
        let worker = replica.worker();
        let clone = replica.clone();
        drop(replica);
        assert!(worker.is_alive() && worker == clone.worker());
        assert!(worker != clone.fork().worker());
        drop(clone);
        assert!(!worker.is_alive());
    }
}
