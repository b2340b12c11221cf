use super::in_progress::{Calling, KeptBatch, is_all_on, training_losses};
use super::objective::{Batch, Objective};
use super::team::{Card, Team};
use crate::failure::Failure;
use crate::hessian::GradientError;
use crate::loss::{BatchLosses, Loss, LossError};
use crate::losses::{Coverage, Gradient, Losses, Point};
use crate::params::{home_of, on_device};
use crate::schedule::Place;
use crate::session::Seat;
use burn::optim::GradientsAccumulator;
use burn::tensor::Device;
use burn::train::{LearnerModel, TrainStep};
use std::time::Instant;

pub(super) struct DueUpdate<M: TrainStep> {
    pub(super) place: Place,
    pub(super) calling: Calling<Batch<M>>,
    pub(super) team: Option<Team>,
    pub(super) seat: Option<Seat>,
    pub(super) objective: Objective<M>,
}

impl<M: LearnerModel> Losses<M> for DueUpdate<M>
where
    Batch<M>: Clone,
{
    fn losses(&mut self, model: &M, at: &Point) -> Result<BatchLosses, Failure> {
        if let Some(team) = &mut self.team {
            team.host.ask(at);
        }
        let began = Instant::now();
        let own = self.calling.batches.iter();
        let own = own.map(|kept| self.loss_on(model, kept));
        let mut losses = own.collect::<Result<Vec<Loss>, _>>()?;
        if let Some(team) = &mut self.team {
            losses.extend(team.answers(began.elapsed())?);
        }
        Ok(BatchLosses::new(losses)?)
    }

    fn last(&mut self, model: &M) -> Result<f64, Failure> {
        let last = self.calling.batches.last().ok_or(LossError::NoBatch)?;
        Ok(self.loss_on(model, last)?.value())
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        Some(Box::new(|model| {
            let is_shared = self.team.is_some() || self.calling.workers().is_some();
            if is_shared || !is_all_on(&self.calling.batches, &home_of(model)) {
                return Err(GradientError::SeveralDevices.into());
            }
            let mut sum = GradientsAccumulator::new();
            for kept in &self.calling.batches {
                let output = TrainStep::step(model, kept.batch.clone());
                sum.accumulate(model, output.grads);
            }
            Ok(sum.grads())
        }))
    }

    fn go_on(&mut self) -> Option<Coverage> {
        let left = self.team.as_mut()?.host.part();
        left.iter().for_each(|card| self.calling.lose(card));
        (!left.is_empty()).then(|| self.coverage())
    }

    fn end(&mut self) {
        if let Some(team) = &mut self.team {
            team.host.dismiss();
        }
    }
}

impl<M: LearnerModel> DueUpdate<M>
where
    Batch<M>: Clone,
{
    fn loss_on(&self, model: &M, kept: &KeptBatch<Batch<M>>) -> Result<Loss, LossError> {
        on_device(model, &kept.device, |model| {
            (self.objective)(model, kept.batch.clone())
        })
    }
}

impl<M: TrainStep> DueUpdate<M> {
    pub(super) fn cards(&self) -> Vec<&Card> {
        let team = self.team.as_ref();
        team.map(|team| team.host.cards()).unwrap_or_default()
    }

    pub(super) fn all_batches(&self) -> usize {
        self.measured_batches() + self.calling.left_out
    }

    pub(super) fn coverage(&self) -> Coverage {
        Coverage {
            share: self.measured_batches() as f64 / self.all_batches().max(1) as f64,
            workers: self.calling.workers(),
        }
    }

    fn measured_batches(&self) -> usize {
        let of_others = self.cards().into_iter().map(|card| card.batches);
        self.calling.batches.len() + of_others.sum::<usize>()
    }

    pub(super) fn training_losses(&self) -> Option<BatchLosses> {
        let mut losses = training_losses(&self.calling.batches)?;
        for card in self.cards() {
            losses.extend(card.training_losses.clone()?);
        }
        BatchLosses::new(losses).ok()
    }

    /// Whether each batch is on the device of the replica that evaluates it.
    pub(super) fn is_at_home(&self, home: &Device) -> bool {
        is_all_on(&self.calling.batches, home)
            && self.cards().iter().all(|card| card.is_on_one_device)
    }
}
