//! A small classifier with the parts and the habits that models have.

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Initializer, Linear, LinearConfig, Relu,
};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use sharpness_tests::{Batch, Data, clipped, device};

/// The width of the hidden layers.
const WIDTH: usize = 16;

/// What the network has, and what it does besides.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    pub batch_norm: bool,
    pub dropout: f64,
    /// The inputs are dropped too, before the batch norm.
    pub drops_inputs: bool,
    /// A layer that no forward pass uses, whose weights are never made.
    pub has_spare: bool,
    /// The output layer starts at zero: uniform predictions.
    pub has_zero_head: bool,
    /// All tensors are clipped after each step, in an `optimize` of the model's own.
    pub clips: bool,
    /// Gaussian noise on the hidden units, in validation too.
    pub noise: f64,
    /// A penalty on the weights, which inference does not report.
    pub penalty: f64,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            batch_norm: false,
            dropout: 0.2,
            drops_inputs: false,
            has_spare: false,
            has_zero_head: false,
            clips: false,
            noise: 0.0,
            penalty: 0.0,
        }
    }
}

#[derive(Module, Debug)]
pub enum Head {
    One(Linear),
    Several(Vec<Linear>),
}

#[derive(Module, Debug)]
pub struct Network {
    pub first: Linear,
    pub norm: Option<BatchNorm>,
    pub dropout: Option<Dropout>,
    pub blocks: Vec<Linear>,
    pub head: Head,
    activation: Relu,
    spare: Option<Linear>,
    #[module(skip)]
    traits: Traits,
}

impl Traits {
    /// The network, with weights from the random stream.
    pub fn init(self, device: &Device) -> Network {
        let head = LinearConfig::new(WIDTH, Data::CLASSES);
        let block = LinearConfig::new(WIDTH, WIDTH);
        let head = if self.has_zero_head {
            Head::Several(vec![
                block.init(device),
                head.with_initializer(Initializer::Zeros).init(device),
            ])
        } else {
            Head::One(head.init(device))
        };
        Network {
            first: LinearConfig::new(Data::FEATURES, WIDTH).init(device),
            norm: self
                .batch_norm
                .then(|| BatchNormConfig::new(WIDTH).init(device)),
            // A dropout of 0 would say of itself that it behaves differently in training.
            dropout: (self.dropout > 0.0).then(|| DropoutConfig::new(self.dropout).init()),
            blocks: vec![block.init(device), block.init(device)],
            head,
            activation: Relu::new(),
            spare: self.has_spare.then(|| block.init(device)),
            traits: self,
        }
    }
}

impl Network {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mut x = match &self.dropout {
            Some(dropout) if self.traits.drops_inputs => dropout.forward(x),
            _ => x,
        };
        x = self.first.forward(x);
        if let Some(norm) = &self.norm {
            x = norm.forward(x);
        }
        x = self.activation.forward(x);
        if self.traits.noise > 0.0 {
            let normal = Distribution::Normal(0.0, self.traits.noise);
            x = x.clone() + Tensor::random(x.shape(), normal, &x.device());
        }
        for block in &self.blocks {
            x = self.activation.forward(block.forward(x));
            if let Some(dropout) = &self.dropout {
                x = dropout.forward(x);
            }
        }
        match &self.head {
            Head::One(layer) => layer.forward(x),
            Head::Several(layers) => layers.iter().fold(x, |x, layer| layer.forward(x)),
        }
    }

    fn output(&self, batch: Batch) -> ClassificationOutput {
        let output = self.forward(batch.x);
        let loss = CrossEntropyLossConfig::new().init(&output.device());
        let loss = loss.forward(output.clone(), batch.y.clone());
        ClassificationOutput::new(loss, output, batch.y)
    }

    /// The mean cross entropy of a batch.
    pub fn loss(&self, batch: &Batch) -> Tensor<1> {
        self.output(batch.clone()).loss
    }

    /// The loss of the training step.
    pub fn penalized(&self, batch: &Batch) -> Tensor<1> {
        self.loss(batch) + self.first.weight.val().square().sum() * self.traits.penalty
    }
}

impl TrainStep for Network {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let mut output = self.output(batch);
        if self.traits.penalty > 0.0 {
            let penalty = self.first.weight.val().square().sum() * self.traits.penalty;
            output.loss = output.loss + penalty;
        }
        TrainOutput::new(self, output.loss.backward(), output)
    }

    fn optimize(
        self,
        optim: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        grads: GradientsParams,
    ) -> Self {
        let clips = self.traits.clips;
        let model = optim.step(learning_rate, self, grads);
        if clips { clipped(model) } else { model }
    }
}

impl InferenceStep for Network {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.output(batch)
    }
}

/// The bytes of every tensor of a model, with its path.
pub fn bytes<M: Module>(model: &M) -> Vec<(String, Vec<u8>)> {
    #[derive(Default)]
    struct Collector {
        path: Vec<String>,
        tensors: Vec<(String, Vec<u8>)>,
    }

    impl Collector {
        fn push(&mut self, bytes: &[u8]) {
            self.tensors.push((self.path.join("."), bytes.to_vec()));
        }
    }

    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_string());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.push(param.val().into_data().as_bytes());
        }

        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.push(param.val().into_data().as_bytes());
        }

        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            self.push(param.val().into_data().as_bytes());
        }
    }

    let mut collector = Collector::default();
    model.visit(&mut collector);
    collector.tensors
}

/// The next numbers of the random stream.
pub fn next_draws() -> Vec<u8> {
    let draws = Tensor::<1>::random([8], Distribution::Default, &device::plain());
    draws.into_data().as_bytes().to_vec()
}
