use crate::device;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// A model of a few numbers, for losses in closed form.
#[derive(Module, Debug)]
pub struct Point {
    pub theta: Param<Tensor<1>>,
}

impl Point {
    pub fn at<const N: usize>(theta: [f64; N]) -> Self {
        let theta = theta.map(|value| value as f32);
        Self {
            theta: Param::from_tensor(Tensor::from_floats(theta, &device::autodiff())),
        }
    }
}
