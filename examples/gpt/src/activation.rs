use burn::tensor::{Tensor, activation};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    #[serde(alias = "gelu_python")]
    Gelu,
    #[serde(
        alias = "gelu_pytorch_tanh",
        alias = "gelu_fast",
        alias = "gelu_accurate",
        alias = "gelu_python_tanh"
    )]
    GeluNew,
    #[serde(rename = "gelu_10")]
    Gelu10,
    QuickGelu,
    #[serde(alias = "swish")]
    Silu,
    Relu,
    Relu6,
    LeakyRelu,
    Relu2,
    Mish,
    Tanh,
    Sigmoid,
    Linear,
}

impl Activation {
    pub fn of_gpt2() -> Self {
        Self::GeluNew
    }

    pub fn of_olmo2() -> Self {
        Self::Silu
    }

    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => activation::gelu(x),
            Self::GeluNew => activation::gelu_approximate(x),
            Self::Gelu10 => activation::gelu(x).clamp(-10.0, 10.0),
            Self::QuickGelu => activation::sigmoid(x.clone() * 1.702) * x,
            Self::Silu => activation::silu(x),
            Self::Relu => activation::relu(x),
            Self::Relu6 => activation::relu6(x),
            Self::LeakyRelu => activation::leaky_relu(x, 0.01),
            Self::Relu2 => activation::relu(x).square(),
            Self::Mish => activation::mish(x),
            Self::Tanh => activation::tanh(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Linear => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_the_function_of_its_name() {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let known: [(&str, f64); 9] = [
            ("gelu", 0.841_344_75),
            ("gelu_pytorch_tanh", 0.841_192),
            ("quick_gelu", sigmoid(1.702)),
            ("swish", sigmoid(1.0)),
            ("relu2", 1.0),
            ("mish", 1f64.exp().ln_1p().tanh()),
            ("tanh", 1f64.tanh()),
            ("sigmoid", sigmoid(1.0)),
            ("linear", 1.0),
        ];
        for (name, expected) in known {
            let json = format!("\"{name}\"");
            let activation: Activation = serde_json::from_str(&json).unwrap();
            let one = Tensor::<1>::ones([1], &crate::device::of_environment().unwrap());
            let value = activation.forward(one).into_scalar::<f64>();
            assert!((value - expected).abs() < 1e-6, "{name}: {value}");
        }
    }
}
