use super::{Session, Underway};
use crate::batch_norm::{InMode, ValidationView};
use crate::direction::{UpdateDirection, VirtualStep};
use crate::failure::{Failure, guarded, lock};
use crate::loss::BatchLosses;
use crate::losses::{Losses, Point};
use crate::meeting;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ParamGroup};
use burn::optim::{GradientsParams, ModuleOptimizer};
use std::sync::Arc;

/// In units of a worker's limit: a host may measure tasks before its next question.
const PATIENCE: u32 = 60;

pub(crate) type Answer = Result<BatchLosses, Failure>;
pub(crate) type Seat = meeting::Seat<Point, Answer>;

impl<M: Module + 'static> Session<'_, M> {
    /// Computes this worker's losses along its own update. It must not lock anything that a measurement holds: the
    /// measurement waits for these answers.
    pub(super) fn serve(mut self, seat: Seat, model: &M, optim: &ModuleOptimizer) {
        let _underway = Underway::begin();
        let mode = self.find_mode(model);
        if let Some(notice) = mode.as_ref().ok().and_then(|mode| mode.notice) {
            self.probe.tell(notice.to_string());
        }
        let view = guarded("the model", || Ok(ValidationView::with_own_state(model)));
        let mut losses = InMode {
            mode: &mode,
            losses: &mut *self.losses,
        };
        let mut replica = view.as_ref().map(|view| Moved {
            model: &view.model,
            optim,
            rate: &self.facts.learning_rate,
            grads: &self.grads,
            whole: None,
            part: None,
        });
        let limit = self.probe.config().worker_limit.saturating_mul(PATIENCE);
        seat.serve(limit, |at| {
            guarded("the loss", || match &mut replica {
                Ok(replica) => replica.losses(&at, &mut losses),
                Err(failure) => Err((*failure).clone()),
            })
        });
        if let Some(copy) = mode.ok().and_then(|mode| mode.copy) {
            *lock(&self.kept) = Some(Box::new(copy));
        }
    }
}

struct Moved<'a, M> {
    model: &'a M,
    optim: &'a ModuleOptimizer,
    rate: &'a ModuleLearningRate,
    grads: &'a GradientsParams,
    whole: Option<UpdateDirection>,
    part: Option<(Arc<ParamGroup>, UpdateDirection)>,
}

impl<M: Module> Moved<'_, M> {
    fn losses(&mut self, at: &Point, losses: &mut dyn Losses<M>) -> Answer {
        if at.learning_rate == 0.0 {
            return losses.losses(self.model, at);
        }
        let model = self.model;
        let direction = self.direction(at)?;
        let moved = direction.advance(model.clone(), at.learning_rate);
        losses.losses(&moved, at)
    }

    fn direction(&mut self, at: &Point) -> Result<&mut UpdateDirection, Failure> {
        let whole = match self.whole.take() {
            Some(whole) => whole,
            None => {
                let step = VirtualStep::new(self.model, self.optim, self.grads, self.rate)?;
                let scale = 2.0 * at.learning_rate;
                UpdateDirection::of_virtual(self.model, step, scale, at.is_linear)?
            }
        };
        let whole = self.whole.insert(whole);
        let Some(group) = &at.group else {
            return Ok(whole);
        };
        let part = match self.part.take() {
            Some((of, part)) if Arc::ptr_eq(&of, group) => part,
            _ => {
                whole.renew(self.model);
                whole.of_group(group, self.model)?
            }
        };
        Ok(&mut self.part.insert((group.clone(), part)).1)
    }
}
