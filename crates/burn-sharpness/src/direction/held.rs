use super::step::VirtualStep;
use crate::params::{ParamTensors, replace_weights, widened};
use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use std::collections::HashSet;

/// Reusing rounded weights farther from their smallest learning rate would show their rounding.
const LARGEST_REACH: f64 = 8.0;

pub(super) struct Held {
    pub(super) rate: f64,
    pub(super) weights: ParamTensors,
    pub(super) smallest_rate: f64,
    members: Option<HashSet<ParamId>>,
}

impl Held {
    pub(super) fn new(rate: f64, weights: ParamTensors, members: Option<HashSet<ParamId>>) -> Self {
        Self {
            rate,
            weights,
            smallest_rate: rate,
            members,
        }
    }

    pub(super) fn renew<M: Module>(&mut self, step: &VirtualStep, model: &M, scale: f64) {
        // Drop the old copy before making the new one.
        self.weights = ParamTensors::default();
        let rate = step.rate_for(scale);
        let members = self.members.take();
        let weights = step.weights_where(model, rate, |id| moves(&members, id));
        *self = Self::new(rate, weights, members);
    }

    pub(super) fn advance<M: Module>(
        &mut self,
        step: &VirtualStep,
        model: M,
        learning_rate: f64,
    ) -> M {
        if learning_rate > LARGEST_REACH * self.smallest_rate {
            self.renew(step, &model, learning_rate);
        }
        let share = learning_rate / self.rate;
        let weights = &mut self.weights;
        let model = replace_weights(model, |id, theta| {
            let moved = on_line(theta, weights.remove(&id)?, share);
            weights.insert(id, moved.clone());
            Some(moved)
        });
        self.rate = learning_rate;
        self.smallest_rate = self.smallest_rate.min(learning_rate);
        model
    }
}

pub(super) fn moves(members: &Option<HashSet<ParamId>>, id: ParamId) -> bool {
    members.as_ref().is_none_or(|members| members.contains(&id))
}

pub(super) fn on_line(theta: &dyn Fn() -> Tensor<1>, moved: Tensor<1>, share: f64) -> Tensor<1> {
    if share == 1.0 {
        return moved;
    }
    let theta = widened(theta());
    // In this order, backends that can reuse a tensor's memory allocate no other.
    (moved - theta.clone()) * share + theta
}
