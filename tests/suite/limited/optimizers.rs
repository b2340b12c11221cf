//! Optimizers with a step that is linear in the learning rate only in a range, or nowhere.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Distribution, Tensor};

#[derive(Clone, Copy, Debug)]
pub enum Limit {
    None,
    Cap(f64),
    /// The largest rate, which falls with the square root of the parameter's steps.
    FallingCap(f64),
    CapAfter(f64, usize),
    Floor(f64),
    /// The largest norm of a parameter's step.
    Norm(f64),
    /// Approached smoothly.
    Saturation(f64),
    /// Proportional to the square root of the rate.
    Root,
    Noise,
}

#[derive(Clone)]
pub struct Limited(pub Limit);

#[derive(Clone)]
pub struct Steps {
    made: usize,
}

// (Burn's derive only works in its own crate.)
impl RecordState for Steps {
    fn state_flatten(&self, _prefix: &str, _out: &mut StateSink) {}

    fn state_unflatten(_: &str, _: &mut StateSource, _: &Device) -> Option<Self> {
        None
    }
}

impl Optimizer for Limited {
    type State<const D: usize> = Steps;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Steps>,
    ) -> (Tensor<D>, Option<Steps>) {
        let made = state.map_or(0, |state| state.made) + 1;
        let update = match self.0 {
            Limit::None => grad * learning_rate,
            Limit::Cap(cap) => grad * learning_rate.min(cap),
            Limit::FallingCap(cap) => grad * learning_rate.min(cap / (made as f64).sqrt()),
            Limit::CapAfter(cap, after) if made > after => grad * learning_rate.min(cap),
            Limit::CapAfter(..) => grad * learning_rate,
            Limit::Floor(floor) => grad * learning_rate.max(floor),
            Limit::Norm(most) => {
                let update = grad * learning_rate;
                let norm = update.clone().square().sum().sqrt().into_scalar::<f64>();
                update * (most / norm).min(1.0)
            }
            Limit::Saturation(most) => (grad * (learning_rate / most)).tanh() * most,
            Limit::Root => grad * learning_rate.sqrt(),
            Limit::Noise => {
                let noise = grad.random_like(Distribution::Normal(0.0, 1.0));
                grad * learning_rate + noise * (2e-4 * learning_rate).sqrt()
            }
        };
        (tensor - update, Some(Steps { made }))
    }

    fn to_device<const D: usize>(state: Steps, _device: &Device) -> Steps {
        state
    }
}
