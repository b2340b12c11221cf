//! An update that is due to be measured, with the batches behind its gradients.

use super::hook::{Batch, Objective};
use super::team::{Card, Team};
use crate::failure::Failure;
use crate::hessian::GradientError;
use crate::loss::{BatchLosses, Loss, LossError};
use crate::losses::{Gradient, Losses, Point};
use crate::params::{SquaredNorm, home_of};
use crate::schedule::Place;
use crate::session::Seat;
use crate::workers::Worker;
use burn::optim::GradientsAccumulator;
use burn::tensor::Device;
use burn::train::{LearnerModel, TrainStep};
use sharpness_record::WorkerShare;
use std::time::Instant;

pub(super) struct KeptBatch<B> {
    /// Tells it from all others of the run.
    pub(super) number: u64,
    /// The step of its update.
    pub(super) step: u64,
    /// Who made its gradient.
    pub(super) worker: Worker,
    pub(super) device: Device,
    pub(super) batch: B,
    /// The loss from the training step on it.
    pub(super) training_loss: Option<Loss>,
    /// ‖g‖² of the gradient that it has made, once it has and if that is asked for. It is not read from the device yet.
    pub(super) squared_gradient: Option<SquaredNorm>,
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

/// An update to be measured, by this worker or under another one.
pub(super) struct DueUpdate<M: TrainStep> {
    pub(super) place: Place,
    /// The batches that this worker evaluates.
    pub(super) batches: Vec<KeptBatch<Batch<M>>>,
    /// The batches that nobody evaluates.
    pub(super) left_out: usize,
    /// The workers that make this update.
    pub(super) workers: WorkerShare,
    pub(super) team: Option<Team>,
    /// Those whom the team waits for.
    pub(super) awaited: Vec<Awaited>,
    /// The seat in the team of another worker.
    pub(super) seat: Option<Seat>,
    pub(super) objective: Objective<M>,
}

/// A worker that has made gradients of an update.
pub(super) struct Awaited {
    pub(super) worker: Worker,
    pub(super) batches: usize,
    /// Whether it has made an update that other workers made, too.
    pub(super) is_known: bool,
}

impl<M: LearnerModel> Losses<M> for DueUpdate<M>
where
    Batch<M>: Clone,
{
    fn losses(&mut self, model: &M, at: &Point) -> Result<BatchLosses, Failure> {
        if let Some(team) = &mut self.team {
            team.ask(at);
        }
        let began = Instant::now();
        let own = self.batches.iter().map(|kept| self.loss_on(model, kept));
        let mut losses = BatchLosses::new(own.collect::<Result<_, _>>()?)?;
        if let Some(team) = &mut self.team {
            for of_worker in team.answers(began.elapsed())? {
                losses.append(of_worker);
            }
        }
        Ok(losses)
    }

    fn last(&mut self, model: &M) -> Result<f64, Failure> {
        let last = self.batches.last().ok_or(LossError::NoBatch)?;
        Ok(self.loss_on(model, last)?.value())
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        Some(Box::new(|model| {
            if self.workers.of > 1 || !is_all_on(&self.batches, &home_of(model)) {
                return Err(GradientError::SeveralDevices.into());
            }
            let mut sum = GradientsAccumulator::new();
            for kept in &self.batches {
                let output = TrainStep::step(model, kept.batch.clone());
                sum.accumulate(model, output.grads);
            }
            Ok(sum.grads())
        }))
    }

    fn end(&mut self) {
        if let Some(team) = &mut self.team {
            team.dismiss();
        }
    }
}

impl<M: LearnerModel> DueUpdate<M>
where
    Batch<M>: Clone,
{
    /// Computes the loss of the model on a batch, on the batch's device.
    fn loss_on(&self, model: &M, kept: &KeptBatch<Batch<M>>) -> Result<Loss, LossError> {
        let batch = kept.batch.clone();
        if kept.device == home_of(model) {
            (self.objective)(model, batch)
        } else {
            let device = kept.device.clone().inner();
            (self.objective)(&model.clone().to_device(&device), batch)
        }
    }
}

impl<M: TrainStep> DueUpdate<M> {
    pub(super) fn cards(&self) -> Vec<&Card> {
        self.team.as_ref().map(Team::cards).unwrap_or_default()
    }

    /// The number of batches behind the update.
    pub(super) fn all_batches(&self) -> usize {
        self.measured_batches() + self.left_out
    }

    /// The fraction of them that is evaluated.
    pub(super) fn share(&self) -> f64 {
        self.measured_batches() as f64 / self.all_batches().max(1) as f64
    }

    fn measured_batches(&self) -> usize {
        let of_others = self.cards().into_iter().map(|card| card.batches);
        self.batches.len() + of_others.sum::<usize>()
    }

    /// The losses of the training steps, in the order of the evaluated losses.
    pub(super) fn training_losses(&self) -> Option<BatchLosses> {
        let mut losses = training_losses(&self.batches)?;
        for card in self.cards() {
            losses.extend(card.training_losses.clone()?);
        }
        BatchLosses::new(losses).ok()
    }

    /// Whether each batch is on the device of the replica that evaluates it.
    pub(super) fn is_at_home(&self, home: &Device) -> bool {
        is_all_on(&self.batches, home) && self.cards().iter().all(|card| card.is_on_one_device)
    }
}
