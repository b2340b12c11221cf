use crate::random::Random;
use burn::module::{Initializer, Module, ModuleMapper, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, FloatDType, Tensor, TensorData};

pub(super) fn linear(
    random: &mut Random,
    [inputs, outputs]: [usize; 2],
    device: &Device,
) -> Linear {
    let config = LinearConfig::new(inputs, outputs).with_initializer(Initializer::Zeros);
    let mut layer = config.init(device);
    let weight = Tensor::zeros([inputs, outputs], device);
    layer.weight = spread(
        Param::from_tensor(weight),
        1.0 / (inputs as f32).sqrt(),
        random,
    );
    layer
}

pub(super) fn filled<M: Module>(module: M, bound: f32, random: &mut Random) -> M {
    struct Fill<'a>(f32, &'a mut Random);

    impl ModuleMapper for Fill<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            spread(param, self.0, self.1)
        }
    }

    module.map(&mut Fill(bound, random))
}

fn spread<const D: usize>(
    param: Param<Tensor<D>>,
    bound: f32,
    random: &mut Random,
) -> Param<Tensor<D>> {
    param.map(|tensor| {
        let shape = tensor.dims();
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| random.within(bound))
            .collect();
        Tensor::<D>::from_data(TensorData::new(values, shape), &tensor.device()).require_grad()
    })
}

pub(super) fn zeros_of(layer: &Linear) -> Param<Tensor<2>> {
    let zeros = layer.weight.val().inner().zeros_like();
    Param::from_tensor(Tensor::from_inner(zeros))
}

pub(super) struct Layer {
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
}

impl Layer {
    pub(super) fn of(layer: &Linear) -> Self {
        Self {
            weight: layer.weight.val(),
            bias: layer.bias.as_ref().map(Param::val),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.weight.dims()[1]
    }

    pub(super) fn cast(self, dtype: FloatDType) -> Self {
        Self {
            weight: self.weight.cast(dtype),
            bias: self.bias.map(|bias| bias.cast(dtype)),
        }
    }

    pub(super) fn map(self, change: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        Self {
            weight: change(self.weight),
            bias: self.bias,
        }
    }

    pub(super) fn forward(self, x: Tensor<2>) -> Tensor<2> {
        let x = x.cast(FloatDType::from(self.weight.dtype()));
        let x = x.matmul(self.weight);
        match self.bias {
            Some(bias) => x + bias.unsqueeze::<2>(),
            None => x,
        }
    }
}

/// Rounds to multiples of a step, or of 1/127 of the largest weight; gradients pass through.
pub(super) fn rounded(weight: Tensor<2>, step: Option<f32>) -> Tensor<2> {
    let Some(step) = step else {
        return rounded_to_levels(weight, 127.0);
    };
    let none = weight.clone().detach().zeros_like();
    rounded_to(weight, none.narrow(0, 0, 1).narrow(1, 0, 1) + step)
}

/// Rounds to this share of the largest value; gradients pass through.
pub(super) fn rounded_to_levels(values: Tensor<2>, levels: f64) -> Tensor<2> {
    let largest = values.clone().detach().abs().max();
    rounded_to(values, largest.unsqueeze::<2>() / levels)
}

fn rounded_to(values: Tensor<2>, step: Tensor<2>) -> Tensor<2> {
    let rounded = (values.clone().detach() / step.clone()).round() * step;
    straight_through(values, rounded)
}

/// The values of `hard` with the gradients of `soft`.
pub(super) fn straight_through(soft: Tensor<2>, hard: Tensor<2>) -> Tensor<2> {
    soft.clone() + (hard - soft).detach()
}

pub(super) fn relative_to_largest_singular_value(weight: Tensor<2>) -> Tensor<2> {
    let normalized = |v: Tensor<2>| {
        let length = (v.clone().square().sum() + 1e-12).sqrt();
        v / length.unsqueeze::<2>()
    };
    let [_, outputs] = weight.dims();
    let mut right =
        Tensor::<2>::ones([outputs, 1], &weight.device()).cast(FloatDType::from(weight.dtype()));
    let mut left = normalized(weight.clone().matmul(right));
    for _ in 0..2 {
        right = normalized(weight.clone().transpose().matmul(left));
        left = normalized(weight.clone().matmul(right));
    }
    right = normalized(weight.clone().transpose().matmul(left.clone()));
    let largest = left.transpose().matmul(weight.clone().matmul(right));
    weight / largest
}

pub(super) fn unit(rows: Tensor<2>) -> Tensor<2> {
    let lengths = (rows.clone().square().sum_dim(1) + 1e-12).sqrt();
    rows / lengths
}
