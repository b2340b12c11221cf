use super::error::DirectionError;
use super::held::moves;
use super::kind::HIDDEN;
use super::products::{products, rounding};
use super::step::VirtualStep;
use crate::params::ParamTensors;
use burn::module::{Module, ParamId};
use std::collections::HashSet;

const ANY_RATE: f64 = 1e-3;

pub(super) struct Curve {
    pub(super) step: VirtualStep,
    members: Option<HashSet<ParamId>>,
    pub(super) is_hidden: bool,
}

impl Curve {
    pub(super) fn new<M: Module>(
        model: &M,
        step: VirtualStep,
        members: Option<HashSet<ParamId>>,
        scale: f64,
    ) -> Result<(Self, [f64; 2]), DirectionError> {
        let mut curve = Self {
            step,
            members,
            is_hidden: false,
        };
        let learning_rate = curve.step.learning_rate();
        let rate = if learning_rate > 0.0 {
            learning_rate
        } else if scale > 0.0 && scale.is_finite() {
            scale / 2.0
        } else {
            ANY_RATE
        };
        let weights = curve.weights(model, rate);
        let of_step = products(model, curve.step.grads(), &weights, rate)?;
        let rounding = rounding(model, curve.step.grads(), &weights)?;
        let [_, squared_norm] = of_step;
        if rate * squared_norm.sqrt() < HIDDEN * rounding {
            // Unless nothing moves at any rate.
            let larger = curve.step.rate_for(1.0);
            let weights = curve.weights(model, larger);
            let [_, squared_norm] = products(model, curve.step.grads(), &weights, larger)?;
            curve.is_hidden = squared_norm != 0.0;
        }
        Ok((curve, of_step))
    }

    pub(super) fn weights<M: Module>(&self, model: &M, learning_rate: f64) -> ParamTensors {
        let moves = |id| moves(&self.members, id);
        self.step.weights_where(model, learning_rate, moves)
    }
}
