use super::error::DirectionError;
use crate::params::{ParamTensors, Sums, for_each, widened};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::DType;

pub(super) fn products<M: Module>(
    model: &M,
    grads: &GradientsParams,
    weights: &ParamTensors,
    rate: f64,
) -> Result<[f64; 2], DirectionError> {
    let mut sums = Sums::default();
    for_each(model, grads, |place| {
        if let Some(moved) = weights.get(&place.id) {
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

pub(super) fn rounding<M: Module>(
    model: &M,
    grads: &GradientsParams,
    moved: &ParamTensors,
) -> Result<f64, DirectionError> {
    let mut sums = Vec::new();
    for_each(model, grads, |place| {
        if moved.contains_key(&place.id) {
            let weight = place.weight();
            let mut square = Sums::default();
            square.push_pieces([&weight], |[theta]| [(theta.clone(), theta)]);
            sums.push((epsilon(weight.dtype()), square));
        }
    });
    let squares = Sums::read_each(sums).map_err(DirectionError::Read)?;
    let squares = squares.iter();
    let squares = squares.map(|(epsilon, [square])| epsilon * epsilon * square);
    Ok(squares.sum::<f64>().sqrt())
}

pub(super) fn epsilon(dtype: DType) -> f64 {
    let precision = dtype.finfo();
    precision.map_or(f64::from(f32::EPSILON), |info| info.epsilon)
}
