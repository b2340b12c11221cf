#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../float64/curvature.rs"]
pub mod curvature;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../float64/network.rs"]
pub mod network;

use sharpness_tests::prelude::*;

pub fn rows(matrix: &Tensor<2>) -> Vec<Vec<f64>> {
    let [_, columns] = matrix.dims();
    let values: Vec<f64> = matrix.to_data().iter().collect();
    values.chunks(columns).map(<[f64]>::to_vec).collect()
}

pub fn parameters(model: &Mlp) -> Vec<f64> {
    let mut parameters = Vec::new();
    for layer in &model.layers {
        parameters.extend(rows(&layer.weight.val().transpose()).concat());
        let bias = layer.bias.as_ref().unwrap().val();
        parameters.extend(bias.to_data().iter::<f64>());
    }
    parameters
}
