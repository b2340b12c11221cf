use super::layers::{rounded_to_levels, straight_through, unit};
use super::sample::Sample;
use burn::tensor::activation::relu;
use burn::tensor::{FloatDType, Tensor};

/// Four bits hold the integers from -7 to 7.
const FOUR_BITS: f64 = 7.0;
const MARGIN: f64 = 0.3;
/// More than any distance between vectors of length 1.
const OUT_OF_REACH: f64 = 5.0;
/// Just above the logarithm of three classes.
const OUTLIER: f64 = 1.1;

pub(super) fn binary(x: Tensor<2>) -> Tensor<2> {
    straight_through(x.clone().tanh(), x.sign())
}

pub(super) fn four_bits(x: Tensor<2>) -> Tensor<2> {
    rounded_to_levels(x.tanh(), FOUR_BITS)
}

pub(super) fn triplet(scores: Tensor<2>, sample: &Sample) -> Tensor<1> {
    let dtype = FloatDType::from(scores.dtype());
    let vectors = unit(scores);
    let distances = -vectors.clone().matmul(vectors.transpose()) * 2.0 + 2.0;
    let size = distances.dims()[0];
    let classes = sample.classes.clone().unsqueeze_dim::<2>(1);
    let classes = classes.expand([size, size]);
    let is_same = classes.clone().equal(classes.transpose());
    let is_same = is_same.float().cast(dtype);
    let farthest = (distances.clone() * is_same.clone()).max_dim(1);
    let nearest = (distances + is_same * OUT_OF_REACH).min_dim(1);
    relu(farthest - nearest + MARGIN).mean()
}

pub(super) fn trimmed(losses: Tensor<1>) -> Tensor<1> {
    let dtype = FloatDType::from(losses.dtype());
    let kept = losses.clone().detach().lower_elem(OUTLIER);
    let kept = kept.float().cast(dtype);
    (losses * kept.clone()).sum() / (kept.sum() + 1.0)
}

pub(super) fn dice(probabilities: Tensor<2>, classes: Tensor<2>) -> Tensor<1> {
    let overlap = (probabilities.clone() * classes.clone()).sum() * 2.0;
    -overlap / (probabilities.square().sum() + classes.sum()) + 1.0
}
