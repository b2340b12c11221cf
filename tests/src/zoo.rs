use crate::data::{Batch, Data};
use burn::module::{Module, ModuleMapper, Param};
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, GroupNorm, GroupNormConfig, Linear,
    LinearConfig,
};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, FloatDType, Tensor, TensorData};

const WIDTH: usize = 16;

/// A kind of small network: what people train, each with one peculiarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tanh, cross entropy.
    Plain,
    /// The same with kinks.
    Relu,
    /// The mean squared distance to one-hot targets.
    Mse,
    /// Cross entropy with smoothed labels.
    SmoothLabels,
    /// The losses of the examples.
    Examples,
    /// An output layer that starts at zero.
    ZeroHead,
    /// Dropout, which validation leaves out.
    Dropout,
    /// Batch norm, with its running statistics in validation.
    BatchNorm,
    /// Group norm.
    GroupNorm,
    /// Residual branches that start at zero.
    ZeroResidual,
    /// Residual branches of which training drops some.
    StochasticDepth,
    /// Residual branches that start with a factor of a hundredth.
    LayerScale,
    /// Weights that are a direction and a length.
    WeightNorm,
    /// Weights divided by their largest singular value.
    SpectralNorm,
    /// One layer used twice.
    Tied,
    /// Weights of 32 bits, which the forward pass rounds to this type.
    Mixed(FloatDType),
    /// An output layer in this type.
    HalfHead(FloatDType),
    /// All weights in this type, and the loss in 32 bits.
    Half(FloatDType),
    /// All weights and the loss in this type.
    HalfLoss(FloatDType),
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 23] = [
        Self::Plain,
        Self::Relu,
        Self::Mse,
        Self::SmoothLabels,
        Self::Examples,
        Self::ZeroHead,
        Self::Dropout,
        Self::BatchNorm,
        Self::GroupNorm,
        Self::ZeroResidual,
        Self::StochasticDepth,
        Self::LayerScale,
        Self::WeightNorm,
        Self::SpectralNorm,
        Self::Tied,
        Self::Mixed(FloatDType::BF16),
        Self::Mixed(FloatDType::F16),
        Self::HalfHead(FloatDType::BF16),
        Self::HalfHead(FloatDType::F16),
        Self::Half(FloatDType::BF16),
        Self::Half(FloatDType::F16),
        Self::HalfLoss(FloatDType::BF16),
        Self::HalfLoss(FloatDType::F16),
    ];

    /// The type that a part of the network is computed in, if it has 16 bits.
    pub fn sixteen_bits(self) -> Option<FloatDType> {
        match self {
            Self::Mixed(dtype)
            | Self::HalfHead(dtype)
            | Self::Half(dtype)
            | Self::HalfLoss(dtype) => Some(dtype),
            _ => None,
        }
    }

    /// The network at its start; another one for each seed.
    pub fn init(self, seed: u64, device: &Device) -> Zoo {
        let mut first = linear(seed, Data::FEATURES, WIDTH, device);
        let mut blocks: Vec<Block> = (1..3)
            .map(|index| Block {
                inner: linear(seed + 100 * index, WIDTH, WIDTH, device),
                outer: linear(seed + 100 * index + 50, WIDTH, WIDTH, device),
                scale: (self == Self::LayerScale)
                    .then(|| Param::from_tensor(Tensor::full([WIDTH], 1e-2, device))),
            })
            .collect();
        let mut head = linear(seed + 7, WIDTH, Data::CLASSES, device);
        if self == Self::ZeroHead {
            head.weight = zeros_of(&head);
        }
        if self == Self::ZeroResidual {
            for block in &mut blocks {
                block.outer.weight = zeros_of(&block.outer);
            }
        }
        match self {
            Self::HalfHead(dtype) => head = cast(head, dtype),
            Self::Half(dtype) | Self::HalfLoss(dtype) => {
                first = cast(first, dtype);
                blocks = cast(blocks, dtype);
                head = cast(head, dtype);
            }
            _ => {}
        }
        Zoo {
            first,
            length: (self == Self::WeightNorm)
                .then(|| Param::from_tensor(Tensor::ones([WIDTH], device))),
            batch_norm: (self == Self::BatchNorm).then(|| BatchNormConfig::new(WIDTH).init(device)),
            group_norm: (self == Self::GroupNorm)
                .then(|| GroupNormConfig::new(4, WIDTH).init(device)),
            dropout: match self {
                Self::Dropout => Some(DropoutConfig::new(0.2).init()),
                Self::StochasticDepth => Some(DropoutConfig::new(0.3).init()),
                _ => None,
            },
            blocks,
            head,
            kind: self,
        }
    }
}

/// Weights spread over ±1/√inputs, and biases of 0.
fn linear(seed: u64, inputs: usize, outputs: usize, device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f32).sqrt();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut spread = |_| {
        // Any generator will do: tests that run side by side share burn's.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bound * (2.0 * ((state >> 40) as f32 / (1u64 << 24) as f32) - 1.0)
    };
    for index in 0..8 {
        spread(index);
    }
    let weight: Vec<f32> = (0..inputs * outputs).map(spread).collect();
    let weight = Tensor::<2>::from_data(TensorData::new(weight, [inputs, outputs]), device);
    let config = LinearConfig::new(inputs, outputs);
    let mut layer = config
        .with_initializer(burn::module::Initializer::Zeros)
        .init(device);
    layer.weight = Param::from_tensor(weight);
    layer
}

fn zeros_of(layer: &Linear) -> Param<Tensor<2>> {
    let zeros = layer.weight.val().inner().zeros_like();
    Param::from_tensor(Tensor::from_inner(zeros))
}

/// The module with its weights rounded to another type.
fn cast<M: Module>(module: M, dtype: FloatDType) -> M {
    struct Cast(FloatDType);

    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let requires = tensor.is_require_grad();
            let cast = Tensor::from_inner(tensor.inner().cast(self.0));
            let cast = if requires { cast.require_grad() } else { cast };
            Param::from_mapped_value(id, cast, mapper)
        }
    }

    module.map(&mut Cast(dtype))
}

/// Two layers whose output is added to their input.
#[derive(Module, Debug)]
pub struct Block {
    inner: Linear,
    outer: Linear,
    scale: Option<Param<Tensor<1>>>,
}

/// A small residual network of some [`Kind`].
#[derive(Module, Debug)]
pub struct Zoo {
    /// The first layer, and the blocks after it, are the body.
    pub first: Linear,
    length: Option<Param<Tensor<1>>>,
    batch_norm: Option<BatchNorm>,
    group_norm: Option<GroupNorm>,
    dropout: Option<Dropout>,
    /// The residual blocks.
    pub blocks: Vec<Block>,
    /// The output layer.
    pub head: Linear,
    #[module(skip)]
    kind: Kind,
}

impl Zoo {
    /// The same weights in 64 bits, and all computed in them.
    pub fn exact(&self) -> Self {
        let mut exact = cast(self.clone(), FloatDType::F64);
        exact.kind = match self.kind {
            Kind::Mixed(_) | Kind::HalfHead(_) | Kind::Half(_) | Kind::HalfLoss(_) => Kind::Plain,
            kind => kind,
        };
        exact
    }

    /// The loss of a batch: a mean, or the losses of the examples.
    pub fn loss(&self, batch: &Batch) -> Tensor<1> {
        let scores = self.forward(batch.x.clone());
        let scores = match self.kind {
            Kind::Mixed(_) | Kind::HalfHead(_) | Kind::Half(_) => scores.cast(FloatDType::F32),
            _ => scores,
        };
        match self.kind {
            Kind::Mse => {
                let targets = batch.y.clone().one_hot::<2>(Data::CLASSES).float();
                let targets = targets.cast(FloatDType::from(scores.dtype()));
                MseLoss::new().forward(scores, targets, Reduction::Mean)
            }
            Kind::SmoothLabels => CrossEntropyLossConfig::new()
                .with_smoothing(Some(0.1))
                .init(&scores.device())
                .forward(scores, batch.y.clone()),
            Kind::Examples => {
                let classes = batch.y.clone().unsqueeze_dim::<2>(1);
                -log_softmax(scores, 1).gather(1, classes).flatten::<1>(0, 1)
            }
            _ => CrossEntropyLossConfig::new()
                .init(&scores.device())
                .forward(scores, batch.y.clone()),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mut x = self.apply(&self.first, x);
        if let Some(norm) = &self.batch_norm {
            x = norm.forward(x);
        }
        if let Some(norm) = &self.group_norm {
            x = norm.forward(x.unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
        }
        x = self.act(x);
        for block in &self.blocks {
            let inner = self.act(self.apply(&block.inner, x.clone()));
            let outer = match self.kind {
                Kind::Tied => &block.inner,
                _ => &block.outer,
            };
            let mut branch = self.apply(outer, inner);
            if let Some(scale) = &block.scale {
                branch = branch * scale.val().unsqueeze::<2>();
            }
            x = x + self.dropped(branch);
        }
        self.apply(&self.head, x)
    }

    fn dropped(&self, branch: Tensor<2>) -> Tensor<2> {
        match (&self.dropout, self.kind) {
            (Some(dropout), Kind::StochasticDepth) => {
                // A whole branch of an example, or nothing of it.
                let [batch, _] = branch.dims();
                let kept = Tensor::<2>::ones([batch, 1], &branch.device());
                branch * dropout.forward(kept)
            }
            (Some(dropout), _) => dropout.forward(branch),
            (None, _) => branch,
        }
    }

    fn act(&self, x: Tensor<2>) -> Tensor<2> {
        match self.kind {
            Kind::Relu => relu(x),
            _ => x.tanh(),
        }
    }

    fn apply(&self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        let mut weight = layer.weight.val();
        let mut bias = layer.bias.as_ref().map(Param::val);
        match (self.kind, &self.length) {
            (Kind::Mixed(dtype), _) => {
                weight = weight.cast(dtype);
                bias = bias.map(|bias| bias.cast(dtype));
            }
            (Kind::SpectralNorm, _) => {
                let largest = largest_singular_value(weight.clone());
                weight = weight / largest;
            }
            (_, Some(length)) if weight.dims()[1] == WIDTH => {
                let lengths = (weight.clone().square().sum_dim(0) + 1e-12).sqrt();
                weight = weight / lengths * length.val().unsqueeze::<2>();
            }
            _ => {}
        }
        let x = x.cast(FloatDType::from(weight.dtype())).matmul(weight);
        match bias {
            Some(bias) => x + bias.unsqueeze::<2>(),
            None => x,
        }
    }
}

/// By a few steps of the power method from a fixed vector, as is usual.
fn largest_singular_value(weight: Tensor<2>) -> Tensor<2> {
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
    left.transpose().matmul(weight.matmul(right))
}
