use crate::data::{Batch, Data};
use burn::module::{Initializer, Module, Param};
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use serde::Deserialize;

/// The loss of an [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Mean cross entropy.
    Xent,
    /// Mean squared distance to one-hot targets, over all elements.
    Mse,
}

/// How to make an [`Mlp`].
#[derive(Clone, Debug)]
pub struct MlpConfig {
    layers: Vec<usize>,
    loss: LossKind,
    dropout: f64,
    batch_norm: bool,
    zero_head: bool,
}

impl MlpConfig {
    /// Layers of these widths, from the input to the output, and this loss.
    pub fn new(layers: Vec<usize>, loss: LossKind) -> Self {
        Self {
            layers,
            loss,
            dropout: 0.0,
            batch_norm: false,
            zero_head: false,
        }
    }

    /// One hidden layer, for the problem of [`Data`].
    pub fn for_data() -> Self {
        Self::new(vec![Data::FEATURES, 12, Data::CLASSES], LossKind::Xent)
    }

    /// Dropout after each hidden layer.
    pub fn with_dropout(mut self, prob: f64) -> Self {
        self.dropout = prob;
        self
    }

    /// Batch norm after the first hidden layer.
    pub fn with_batch_norm(mut self) -> Self {
        self.batch_norm = true;
        self
    }

    /// An output layer that starts at zero, as is common: it hides the dropout below it.
    pub fn with_zero_head(mut self) -> Self {
        self.zero_head = true;
        self
    }

    /// The network, with weights that look random and are always the same: tests that run side by
    /// side share burn's random state.
    pub fn init(&self, device: &Device) -> Mlp {
        let layers = self.layers.windows(2).enumerate();
        let mut layers: Vec<Linear> = layers
            .map(|(index, widths)| linear(index, [widths[0], widths[1]], device))
            .collect();
        if self.zero_head
            && let Some(head) = layers.last_mut()
        {
            head.weight = Param::from_tensor(head.weight.val().inner().zeros_like().autodiff());
        }
        Mlp {
            layers,
            norm: self
                .batch_norm
                .then(|| BatchNormConfig::new(self.layers[1]).init(device)),
            // A dropout of 0 would say of itself that it behaves differently in training.
            dropout: (self.dropout > 0.0).then(|| DropoutConfig::new(self.dropout).init()),
            loss: self.loss,
        }
    }
}

/// Weights spread evenly over ±1/√inputs, and biases of 0.
fn linear(index: usize, [inputs, outputs]: [usize; 2], device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f32).sqrt();
    let spread = |place: usize| {
        // Multiples of an irrational number, modulo 1, fill the interval evenly.
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

/// A fully connected network with tanh activations.
#[derive(Module, Debug)]
pub struct Mlp {
    /// The layers.
    pub layers: Vec<Linear>,
    norm: Option<BatchNorm>,
    dropout: Option<Dropout>,
    #[module(skip)]
    loss: LossKind,
}

impl Mlp {
    /// The outputs `[batch, classes]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        let mut x = x;
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if index == 0
                && let Some(norm) = &self.norm
            {
                x = norm.forward(x);
            }
            if index < last {
                x = x.tanh();
                if let Some(dropout) = &self.dropout {
                    x = dropout.forward(x);
                }
            }
        }
        x
    }

    /// The mean loss of a batch.
    pub fn loss(&self, batch: &Batch) -> Tensor<1> {
        self.output(batch.clone()).loss
    }

    /// The cross entropy of each example, `[batch]`.
    pub fn losses(&self, batch: &Batch) -> Tensor<1> {
        let scores = log_softmax(self.forward(batch.x.clone()), 1);
        let classes = batch.y.clone().unsqueeze_dim::<2>(1);
        -scores.gather(1, classes).flatten::<1>(0, 1)
    }

    fn output(&self, batch: Batch) -> ClassificationOutput {
        let output = self.forward(batch.x);
        let loss = match self.loss {
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
        let output = self.output(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Mlp {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.output(batch)
    }
}
