//! Inner products of a step with what it goes with.

use super::error::DirectionError;
use crate::params::{ParamTensors, Sums, for_each, widened};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// g·Δθ and ‖Δθ‖², from the weights after a step at this rate.
pub(super) fn products<M: Module>(
    model: &M,
    grads: &GradientsParams,
    weights: &ParamTensors,
    rate: f64,
) -> Result<[f64; 2], DirectionError> {
    let mut sums = Sums::default();
    push_products(&mut sums, model, grads, weights, |[_, step, grad]| {
        [(grad, step.clone()), (step.clone(), step)]
    });
    if sums.is_empty() {
        return Err(DirectionError::NoGradient);
    }
    let [slope, squared_norm] = sums.read().map_err(DirectionError::Read)?;
    Ok([slope / rate, squared_norm / (rate * rate)])
}

/// Adds the inner products that `products` makes of θ, of the step θ − θ′ and of the gradients.
pub(super) fn push_products<M: Module, const N: usize>(
    sums: &mut Sums<N>,
    model: &M,
    grads: &GradientsParams,
    weights: &ParamTensors,
    products: impl Fn([Tensor<1>; 3]) -> [(Tensor<1>, Tensor<1>); N],
) {
    for_each(model, grads, |place| {
        if let Some(moved) = weights.get(place.id) {
            let tensors = [&place.weight(), moved, &place.tensor()];
            sums.push_pieces(tensors, |[theta, moved, grad]| {
                let theta = widened(theta);
                let step = theta.clone() - moved;
                products([theta, step, grad])
            });
        }
    });
}
