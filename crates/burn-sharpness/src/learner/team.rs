use crate::failure::Failure;
use crate::loss::{BatchLosses, Loss};
use crate::losses::Point;
use crate::meeting::{self, Host};
use crate::session::Answer;
use crate::workers::Worker;
use std::time::Duration;

const SLOWER: u32 = 10;

pub(super) type Door = meeting::Door<Card, Point, Answer>;

pub(super) struct Card {
    pub(super) worker: Worker,
    pub(super) batches: usize,
    pub(super) training_losses: Option<Vec<Loss>>,
    pub(super) is_on_one_device: bool,
}

pub(super) struct Team {
    pub(super) host: Host<Card, Point, Answer>,
    pub(super) limit: Duration,
}

impl Team {
    pub(super) fn gather(&mut self, awaited: &[&Worker]) {
        self.host.gather(self.limit, |cards| {
            let has_come = |worker: &Worker| cards.iter().any(|card| card.worker == *worker);
            awaited
                .iter()
                .any(|worker| worker.is_alive() && !has_come(worker))
        });
    }

    pub(super) fn answers(&mut self, own: Duration) -> Result<Vec<Loss>, Failure> {
        let limit = self.limit.saturating_add(own.saturating_mul(SLOWER));
        let answers = self.host.answers(limit);
        let answers = answers.map_err(|meeting::Left| Failure::WorkerLeft(limit))?;
        let losses: Vec<BatchLosses> = answers.into_iter().collect::<Result<_, _>>()?;
        let losses = losses.into_iter();
        Ok(losses.flat_map(BatchLosses::into_batches).collect())
    }
}
