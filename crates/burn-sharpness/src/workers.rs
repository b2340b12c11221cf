use std::any::Any;
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;

pub(crate) type Kept = Mutex<Option<Box<dyn Any + Send>>>;

/// Clones are the same copy of the model at other times; a fork is another copy.
#[derive(Clone, Default)]
pub(crate) struct Replica {
    pub(crate) life: Arc<Kept>,
    pub(crate) next_step: Option<u64>,
}

impl Replica {
    pub(crate) fn fork(&self) -> Self {
        Self {
            life: Arc::default(),
            next_step: self.next_step,
        }
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker {
            thread: std::thread::current().id(),
            replica: Arc::downgrade(&self.life),
        }
    }
}

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

    pub(crate) fn is_alive(&self) -> bool {
        self.replica.strong_count() > 0
    }
}

#[derive(Default)]
pub(crate) struct Workers {
    first_step: Option<u64>,
    /// The step of the last update that any worker has begun.
    claimed: Option<u64>,
    /// The workers that have begun that update.
    makers: Vec<Worker>,
    pub(crate) makers_before: Vec<Worker>,
    /// Nobody waits for these until they make an update again.
    pub(crate) absent: Vec<Worker>,
}

impl Workers {
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

    pub(crate) fn note_absent(&mut self, worker: &Worker) {
        if !self.absent.contains(worker) {
            self.absent.push(worker.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn updates(workers: &mut Workers, replica: &mut Replica, count: usize) -> Vec<(u64, bool)> {
        let one = |_| {
            let run_step = workers.claimed.map_or(5, |claimed| claimed + 1);
            let update = workers.begin_update(replica, run_step);
            replica.next_step = Some(update.0 + 1);
            update
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn workers_make_the_same_updates() {
        let mut workers = Workers::default();
        let mut first = Replica::default();
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
