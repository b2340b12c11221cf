use crate::data::{Batch, Data};
use crate::{clipped, device};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Initializer, Module, Param};
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    #[default]
    Xent,
    /// Mean squared distance to one-hot targets, over all elements.
    Mse,
}

#[derive(Clone, Debug, Default)]
pub struct MlpConfig {
    pub layers: Vec<usize>,
    pub loss: LossKind,
    pub dropout: f64,
    /// Before the batch norm.
    pub drops_inputs: bool,
    pub batch_norm: bool,
    /// Hides the dropout below it.
    pub zero_head: bool,
    /// A layer outside the forward pass, whose lazy weights are never created.
    pub has_spare: bool,
    /// Whether weights come from burn's random stream.
    pub is_random: bool,
    pub clips: bool,
    /// The size of Gaussian noise on the first hidden layer, also in validation.
    pub noise: f64,
    /// The factor of a penalty on the weights that inference does not report.
    pub penalty: f64,
}

impl MlpConfig {
    pub fn new(layers: Vec<usize>, loss: LossKind) -> Self {
        Self {
            layers,
            loss,
            ..Self::default()
        }
    }

    pub fn for_data() -> Self {
        Self::new(vec![Data::FEATURES, 12, Data::CLASSES], LossKind::Xent)
    }

    pub fn random() -> Self {
        let layers = vec![Data::FEATURES, 16, 16, 16, Data::CLASSES];
        Self {
            is_random: true,
            dropout: 0.2,
            ..Self::new(layers, LossKind::Xent)
        }
    }

    pub fn with_dropout(mut self, prob: f64) -> Self {
        self.dropout = prob;
        self
    }

    pub fn with_batch_norm(mut self) -> Self {
        self.batch_norm = true;
        self
    }

    pub fn with_zero_head(mut self) -> Self {
        self.zero_head = true;
        self
    }

    /// On the device of the tests.
    pub fn start(&self) -> Mlp {
        self.init(&device::autodiff())
    }

    /// The weights are the same every time unless `is_random` is set, because tests in parallel share burn's random
    /// state.
    pub fn init(&self, device: &Device) -> Mlp {
        let last = self.layers.len() - 2;
        let layers = self.layers.windows(2).enumerate();
        let layers = layers.map(|(index, widths)| {
            let config = LinearConfig::new(widths[0], widths[1]);
            match (self.zero_head && index == last, self.is_random) {
                (true, _) => config.with_initializer(Initializer::Zeros).init(device),
                (false, true) => config.init(device),
                (false, false) => linear(index, [widths[0], widths[1]], device),
            }
        });
        let width = self.layers[1];
        Mlp {
            layers: layers.collect(),
            norm: self
                .batch_norm
                .then(|| BatchNormConfig::new(width).init(device)),
            // A dropout of 0 would still count as a training flag.
            dropout: (self.dropout > 0.0).then(|| DropoutConfig::new(self.dropout).init()),
            spare: self.has_spare.then(|| {
                let layer = LinearConfig::new(width, width);
                Spare::Layer(layer.init(device))
            }),
            config: self.clone(),
        }
    }
}

/// Multiples of an irrational number, modulo 1, fill the interval evenly.
fn linear(index: usize, [inputs, outputs]: [usize; 2], device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f32).sqrt();
    let spread = |place: usize| {
        let fraction = ((place + 1000 * index) as f64 * 0.754_877_666_246_692_7).fract();
        bound * (2.0 * fraction as f32 - 1.0)
    };
    let weight: Vec<f32> = (0..inputs * outputs).map(spread).collect();
    let weight = Tensor::<2>::from_data(TensorData::new(weight, [inputs, outputs]), device);
    let config = LinearConfig::new(inputs, outputs).with_initializer(Initializer::Zeros);
    let mut layer = config.init(device);
    layer.weight = Param::from_tensor(weight);
    layer
}

#[derive(Module, Debug)]
pub struct Mlp {
    pub layers: Vec<Linear>,
    norm: Option<BatchNorm>,
    dropout: Option<Dropout>,
    spare: Option<Spare>,
    #[module(skip)]
    config: MlpConfig,
}

#[derive(Module, Debug)]
enum Spare {
    Layer(Linear),
}

impl Mlp {
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        let dropped = |x: Tensor<2>| match &self.dropout {
            Some(dropout) => dropout.forward(x),
            None => x,
        };
        let mut x = x;
        if self.config.drops_inputs {
            x = dropped(x);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if index == 0
                && let Some(norm) = &self.norm
            {
                x = norm.forward(x);
            }
            if index < last {
                x = dropped(x.tanh());
            }
            if index == 0 && self.config.noise > 0.0 {
                let normal = Distribution::Normal(0.0, self.config.noise);
                x = x.clone() + Tensor::random(x.shape(), normal, &x.device());
            }
        }
        x
    }

    pub fn loss(&self, batch: &Batch) -> Tensor<1> {
        self.output(batch.clone()).loss
    }

    pub fn penalized(&self, batch: &Batch) -> Tensor<1> {
        self.loss(batch) + self.penalty()
    }

    /// Returns the cross entropy of each example, `[batch]`.
    pub fn losses(&self, batch: &Batch) -> Tensor<1> {
        let scores = log_softmax(self.forward(batch.x.clone()), 1);
        let classes = batch.y.clone().unsqueeze_dim::<2>(1);
        -scores.gather(1, classes).flatten::<1>(0, 1)
    }

    fn penalty(&self) -> Tensor<1> {
        self.layers[0].weight.val().square().sum() * self.config.penalty
    }

    fn output(&self, batch: Batch) -> ClassificationOutput {
        let output = self.forward(batch.x);
        let loss = match self.config.loss {
            LossKind::Xent => CrossEntropyLossConfig::new()
                .init(&output.device())
                .forward(output.clone(), batch.y.clone()),
            LossKind::Mse => {
                let [_, classes] = output.dims();
                let targets = batch.y.clone().one_hot::<2>(classes).float();
                MseLoss::new().forward(output.clone(), targets, Reduction::Mean)
            }
        };
        ClassificationOutput::new(loss, output, batch.y)
    }
}

impl TrainStep for Mlp {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let mut output = self.output(batch);
        if self.config.penalty > 0.0 {
            output.loss = output.loss + self.penalty();
        }
        TrainOutput::new(self, output.loss.backward(), output)
    }

    fn optimize(
        self,
        optim: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Self {
        let clips = self.config.clips;
        let model = optim.step(learning_rate, self, grads);
        if clips { clipped(model) } else { model }
    }
}

impl InferenceStep for Mlp {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.output(batch)
    }
}
