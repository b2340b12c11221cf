use super::kind::{Kind, Network, Objective};
use super::layers::{
    Layer, filled, linear, relative_to_largest_singular_value, rounded, straight_through, unit,
    zeros_of,
};
use super::more::{binary, four_bits};
use super::sample::{PIXELS, Sample, TOKENS};
use crate::data::Data;
use crate::random::Random;
use burn::module::{Initializer, Module, ModuleMapper, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, GroupNorm,
    GroupNormConfig, Linear, Lstm, LstmConfig,
};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, FloatDType, Tensor};

const WIDTH: usize = 16;
const EXPERTS: usize = 4;
const CODES: usize = 12;
const CHANNELS: usize = 4;

#[derive(Module, Debug)]
pub struct Block {
    inner: Linear,
    outer: Linear,
    scale: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug)]
pub struct Zoo {
    embedding: Option<Embedding>,
    lstm: Option<Lstm>,
    convolution: Option<Conv2d>,
    pub first: Linear,
    length: Option<Param<Tensor<1>>>,
    batch_norm: Option<BatchNorm>,
    group_norm: Option<GroupNorm>,
    dropout: Option<Dropout>,
    pub blocks: Vec<Block>,
    /// The gate, then the experts.
    experts: Vec<Linear>,
    codes: Option<Param<Tensor<2>>>,
    pub head: Linear,
    odd: Vec<Param<Tensor<1>>>,
    critic: Vec<Linear>,
    #[module(skip)]
    pub(super) kind: Kind,
}

impl Kind {
    pub fn init(self, seed: u64, device: &Device) -> Zoo {
        let network = self.network;
        let mut random = Random::new(seed);
        let mut layer = |inputs, outputs| linear(&mut random, [inputs, outputs], device);
        let inputs = match network {
            Network::Recurrent | Network::Tokens => 8,
            Network::Convolution => CHANNELS * (PIXELS - 2) * (PIXELS - 2),
            _ => Data::FEATURES,
        };
        let first = layer(inputs, WIDTH);
        let is_mixture = matches!(network, Network::Mixture { .. });
        let block = |_| Block {
            inner: layer(WIDTH, WIDTH),
            outer: layer(WIDTH, WIDTH),
            scale: None,
        };
        let blocks = (0..if is_mixture { 0 } else { 2 }).map(block).collect();
        let head = layer(WIDTH, self.objective.outputs());
        let experts = std::iter::once(EXPERTS).chain([WIDTH; EXPERTS]);
        let experts = experts.filter(|_| is_mixture);
        let mut zoo = Zoo {
            embedding: None,
            lstm: None,
            convolution: None,
            first,
            length: None,
            batch_norm: None,
            group_norm: None,
            dropout: None,
            blocks,
            experts: experts.map(|outputs| layer(WIDTH, outputs)).collect(),
            codes: None,
            head,
            odd: Vec::new(),
            critic: match self.objective {
                Objective::Adversarial => vec![layer(Data::FEATURES, WIDTH), layer(WIDTH, 1)],
                _ => Vec::new(),
            },
            kind: self,
        };
        let zeros = Initializer::Zeros;
        let full = |value: f32| Param::from_tensor(Tensor::full([WIDTH], value, device));
        match network {
            Network::Tokens => {
                let config = EmbeddingConfig::new(TOKENS, 8).with_initializer(zeros);
                zoo.embedding = Some(filled(config.init(device), 1.0, &mut random));
            }
            Network::Recurrent => {
                let config = LstmConfig::new(Data::FEATURES, 8, true).with_initializer(zeros);
                zoo.lstm = Some(filled(config.init(device), 0.5, &mut random));
            }
            Network::Convolution => {
                let config = Conv2dConfig::new([1, CHANNELS], [3, 3]).with_initializer(zeros);
                zoo.convolution = Some(filled(config.init(device), 0.33, &mut random));
                zoo.batch_norm = Some(BatchNormConfig::new(CHANNELS).init(device));
                zoo.dropout = Some(DropoutConfig::new(0.5).init());
            }
            Network::ZeroHead => zoo.head.weight = zeros_of(&zoo.head),
            Network::ZeroResidual => {
                for block in &mut zoo.blocks {
                    block.outer.weight = zeros_of(&block.outer);
                }
            }
            Network::LayerScale(scale) => {
                for block in &mut zoo.blocks {
                    block.scale = Some(full(scale));
                }
            }
            Network::WeightNorm => zoo.length = Some(full(1.0)),
            Network::BatchNorm => zoo.batch_norm = Some(BatchNormConfig::new(WIDTH).init(device)),
            Network::GroupNorm => {
                zoo.group_norm = Some(GroupNormConfig::new(4, WIDTH).init(device));
            }
            Network::Dropout => zoo.dropout = Some(DropoutConfig::new(0.2).init()),
            Network::StochasticDepth => zoo.dropout = Some(DropoutConfig::new(0.3).init()),
            Network::CodeBook => {
                zoo.codes = Some(linear(&mut random, [CODES, WIDTH], device).weight);
            }
            Network::OddParameters => {
                let sizes = [Tensor::zeros([0], device), Tensor::ones([1], device)];
                zoo.odd = sizes.map(Param::from_tensor).to_vec();
            }
            Network::LogitScale => {
                let scale = Tensor::full([1], 2.0, device);
                zoo.odd = vec![Param::from_tensor(scale)];
            }
            Network::HalfHead(dtype) => zoo.head = cast(zoo.head, dtype),
            Network::Half(dtype) | Network::HalfLoss(dtype) => zoo = cast(zoo, dtype),
            _ => {}
        }
        zoo
    }
}

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

impl Zoo {
    /// Returns the same weights in 64 bits. `None` if burn's module keeps a part in the device's type.
    pub fn exact(&self) -> Option<Self> {
        let Kind { network, objective } = self.kind;
        if self.batch_norm.is_some() || self.lstm.is_some() || objective == Objective::SmoothLabels
        {
            return None;
        }
        let mut exact = cast(self.clone(), FloatDType::F64);
        if network.sixteen_bits().is_some() {
            exact.kind.network = Network::Plain;
        }
        Some(exact)
    }

    pub(super) fn inputs(&self, sample: &Sample) -> Tensor<2> {
        let x = sample.x.clone();
        let size = x.dims()[0];
        if let Some(embedding) = &self.embedding {
            let vectors = embedding.forward(sample.tokens.clone());
            return vectors.mean_dim(1).squeeze_dim::<2>(1);
        }
        if let Some(lstm) = &self.lstm {
            let vectors = Tensor::cat(vec![x.clone(), sample.view.clone(), x], 1);
            let vectors = vectors.reshape([size, 3, Data::FEATURES]);
            return lstm.forward(vectors, None).1.hidden;
        }
        if let (Some(convolution), Some(norm)) = (&self.convolution, &self.batch_norm) {
            let pictures = norm.forward(convolution.forward(sample.pictures.clone()));
            return self.dropped(relu(pictures).flatten::<2>(1, 3));
        }
        x
    }

    /// Returns the outputs, and the network's own addition to the loss.
    pub(super) fn forward(&self, x: Tensor<2>) -> (Tensor<2>, Option<Tensor<1>>) {
        let mut x = self.apply(&self.first, x);
        if let Some(norm) = &self.batch_norm
            && self.convolution.is_none()
        {
            x = norm.forward(x);
        }
        if let Some(norm) = &self.group_norm {
            x = norm.forward(x.unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
        }
        x = self.act(x);
        for block in &self.blocks {
            let inner = self.act(self.apply(&block.inner, x.clone()));
            let outer = match self.kind.network {
                Network::Tied => &block.inner,
                _ => &block.outer,
            };
            let mut branch = self.apply(outer, inner);
            if let Some(scale) = &block.scale {
                branch = branch * scale.val().unsqueeze::<2>();
            }
            if self.convolution.is_none() {
                branch = self.dropped(branch);
            }
            x = x + branch;
        }
        let mut added = None;
        if let Network::Mixture { balanced } = self.kind.network {
            let (mixed, imbalance) = self.mixture(x);
            x = mixed;
            added = balanced.then_some(imbalance * 0.4);
        }
        if let Some(codes) = &self.codes {
            let (nearest, distance) = nearest(x, codes.val());
            x = nearest;
            added = Some(distance);
        }
        let mut scores = self.apply(&self.head, x);
        match self.odd.as_slice() {
            [scale] => scores = unit(scores) * scale.val().exp().unsqueeze::<2>(),
            [none, factor] => {
                scores = scores * factor.val().unsqueeze::<2>();
                added = Some(none.val().sum());
            }
            _ => {}
        }
        (scores, added)
    }

    pub(super) fn critic(&self, x: Tensor<2>) -> Tensor<1> {
        let hidden = relu(self.apply(&self.critic[0], x));
        self.apply(&self.critic[1], hidden).mean()
    }

    fn mixture(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let probabilities = softmax(self.apply(&self.experts[0], x.clone()), 1);
        let best = probabilities.clone().detach().argmax(1);
        let weight = probabilities.clone().gather(1, best.clone());
        let mut mixed = x.zeros_like();
        let mut imbalance = x.zeros_like().sum();
        for (index, expert) in self.experts[1..].iter().enumerate() {
            let chosen = best.clone().equal_elem(index as i64).float();
            let chosen = chosen.cast(FloatDType::from(x.dtype()));
            let probability = probabilities.clone().narrow(1, index, 1).mean();
            imbalance = imbalance + chosen.clone().mean() * probability;
            mixed = mixed + self.act(self.apply(expert, x.clone())) * chosen;
        }
        (mixed * weight, imbalance)
    }

    fn dropped(&self, values: Tensor<2>) -> Tensor<2> {
        let Some(dropout) = &self.dropout else {
            return values;
        };
        if !dropout.training.is_enabled() || !values.device().is_autodiff() {
            return values;
        }
        // Meaningless digits choose, because all tests share burn's generator.
        let digits = values.clone().detach().abs() * 1000.0;
        let digits = match self.kind.network {
            Network::StochasticDepth => digits.sum_dim(1),
            _ => digits,
        };
        let chance = digits.clone() - digits.floor();
        let kept = chance.greater_equal_elem(dropout.prob).float();
        let kept = kept.cast(FloatDType::from(values.dtype()));
        values * kept / (1.0 - dropout.prob)
    }

    fn act(&self, x: Tensor<2>) -> Tensor<2> {
        match self.kind.network {
            Network::Relu | Network::Convolution => relu(x),
            Network::Binary => binary(x),
            Network::FourBits => four_bits(x),
            _ => x.tanh(),
        }
    }

    fn apply(&self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        let layer = Layer::of(layer);
        match (self.kind.network, &self.length) {
            (Network::Mixed(dtype), _) => layer.cast(dtype),
            (Network::SpectralNorm, _) => layer.map(relative_to_largest_singular_value),
            (Network::Quantized(step), _) => layer.map(|weight| rounded(weight, step)),
            (_, Some(length)) if layer.outputs() == WIDTH => layer.map(|weight| {
                let lengths = (weight.clone().square().sum_dim(0) + 1e-12).sqrt();
                weight / lengths * length.val().unsqueeze::<2>()
            }),
            _ => layer,
        }
        .forward(x)
    }

    pub(super) fn sizes(&self) -> (Tensor<1>, Tensor<1>) {
        let layers = self.blocks.iter().flat_map(|b| [&b.inner, &b.outer]);
        let layers = layers.chain([&self.first, &self.head]);
        layers
            .map(|layer| layer.weight.val())
            .map(|weight| (weight.clone().abs().sum(), weight.square().sum()))
            .reduce(|a, b| (a.0 + b.0, a.1 + b.1))
            .expect("there are layers")
    }
}

/// Returns the codes with the gradient of the values, and the distance, which moves both.
fn nearest(values: Tensor<2>, codes: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let products = values.clone().matmul(codes.clone().transpose());
    let lengths = codes.clone().square().sum_dim(1).transpose();
    let index = (lengths - products * 2.0).argmin(1).squeeze_dim::<1>(1);
    let nearest = codes.select(0, index);
    let apart = |a: Tensor<2>, b: Tensor<2>| (a - b.detach()).square().mean();
    let distance =
        apart(nearest.clone(), values.clone()) + apart(values.clone(), nearest.clone()) * 0.25;
    (straight_through(values, nearest), distance)
}
