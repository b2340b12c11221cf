//! Inner products of a step with what it goes with.

use super::error::DirectionError;
use crate::params::{ParamTensors, Sums, for_each, widened};
use burn::module::Module;
use burn::optim::GradientsParams;

/// g·Δθ and ‖Δθ‖², from the weights after a step at this rate.
pub(super) fn products<M: Module>(
    model: &M,
    grads: &GradientsParams,
    weights: &ParamTensors,
    rate: f64,
) -> Result<[f64; 2], DirectionError> {
    let mut sums = Sums::default();
    for_each(model, grads, |place| {
        if let Some(moved) = weights.get(place.id) {
            let tensors = [&place.weight(), moved, &place.tensor()];
            sums.push_pieces(tensors, |[theta, moved, grad]| {
                let step = widened(theta) - moved;
                [(grad, step.clone()), (step.clone(), step)]
            });
        }
    });
    if sums.is_empty() {
        return Err(DirectionError::NoGradient);
    }
    let [slope, squared_norm] = sums.read().map_err(DirectionError::Read)?;
    Ok([slope / rate, squared_norm / (rate * rate)])
}

/// Adds the products of a step, θ − θ′, with the gradients, with θ and with itself.
pub(super) fn push_products<M: Module>(
    sums: &mut Sums<3>,
    model: &M,
    grads: &GradientsParams,
    weights: &ParamTensors,
) {
    for_each(model, grads, |place| {
        if let Some(moved) = weights.get(place.id) {
            let tensors = [&place.weight(), moved, &place.tensor()];
            sums.push_pieces(tensors, |[theta, moved, grad]| {
                let theta = widened(theta);
                let step = theta.clone() - moved;
                [
                    (grad, step.clone()),
                    (theta, step.clone()),
                    (step.clone(), step),
                ]
            });
        }
    });
}
