//! The workers that measure an update together, seen from the searching worker.

use crate::failure::Failure;
use crate::loss::{BatchLosses, Loss};
use crate::losses::Point;
use crate::meeting::{self, Host};
use crate::session::Answer;
use crate::workers::Worker;
use std::time::Duration;

/// How many times longer than its own evaluation a worker waits for another worker's loss.
const SLOWER: u32 = 10;

/// The way into a measurement.
pub(super) type Door = meeting::Door<Card, Point, Answer>;

/// The facts that a worker reports when it comes.
pub(super) struct Card {
    pub(super) worker: Worker,
    pub(super) batches: usize,
    /// The losses of its training steps, one per batch, if they are known.
    pub(super) training_losses: Option<Vec<Loss>>,
    /// Whether its batches are on the device of its replica.
    pub(super) is_on_one_device: bool,
}

pub(super) struct Team {
    host: Host<Card, Point, Answer>,
    limit: Duration,
}

impl Team {
    pub(super) fn open(limit: Duration) -> (Door, Self) {
        let (door, host) = meeting::open();
        (door, Self { host, limit })
    }

    /// Waits for these workers, as long as they can come and the limit allows.
    pub(super) fn gather(&mut self, awaited: &[&Worker]) {
        self.host.gather(self.limit, |cards| {
            let has_come = |worker: &Worker| cards.iter().any(|card| card.worker == *worker);
            awaited
                .iter()
                .any(|worker| worker.is_alive() && !has_come(worker))
        });
    }

    /// The cards of the workers that have come, in the order of their losses.
    pub(super) fn cards(&self) -> Vec<&Card> {
        self.host.cards()
    }

    /// Asks all other workers for their losses at a point. They compute them from now on.
    pub(super) fn ask(&mut self, at: &Point) {
        self.host.ask(at);
    }

    /// Collects these losses, after this worker's own evaluation has taken so long.
    pub(super) fn answers(&mut self, own: Duration) -> Result<Vec<Loss>, Failure> {
        let limit = self.limit.saturating_add(own.saturating_mul(SLOWER));
        let answers = self.host.answers(limit);
        let answers = answers.map_err(|meeting::Left| Failure::WorkerLeft(limit))?;
        let losses: Vec<BatchLosses> = answers.into_iter().collect::<Result<_, _>>()?;
        Ok(losses
            .into_iter()
            .flat_map(BatchLosses::into_batches)
            .collect())
    }

    /// Parts from the workers that have left.
    pub(super) fn part(&mut self) -> Vec<Card> {
        self.host.part()
    }

    pub(super) fn dismiss(&mut self) {
        self.host.dismiss();
    }
}
