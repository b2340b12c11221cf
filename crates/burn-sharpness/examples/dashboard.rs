//! Draws λ_c, 2/η and two tasks in burn's dashboard, on a network that learns a sine and comes to the edge.
//!
//! ```sh
//! cargo run --example dashboard
//! cargo run --example dashboard -- 0.3 # diverges
//! ```

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::InMemDataset;
use burn::module::Module;
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor, TensorData};
use burn::train::metric::{LearningRateMetric, LossMetric};
use burn::train::{
    InferenceStep, Learner, RegressionOutput, SupervisedTraining, TrainOutput, TrainStep,
};
use burn_sharpness::{SharpnessConfig, SharpnessMetrics, SharpnessProbe};
use std::error::Error;

#[derive(Module, Debug)]
struct Sine {
    layers: Vec<Linear>,
}

#[derive(Clone, Debug)]
struct Points {
    x: Tensor<2>,
    y: Tensor<2>,
}

impl Points {
    fn between(from: f32, to: f32, count: usize, device: &Device) -> Self {
        let step = (to - from) / count as f32;
        let x: Vec<f32> = (0..count).map(|i| from + i as f32 * step).collect();
        let y: Vec<f32> = x.iter().map(|x| x.sin()).collect();
        Self {
            x: Tensor::from_data(TensorData::new(x, [count, 1]), device),
            y: Tensor::from_data(TensorData::new(y, [count, 1]), device),
        }
    }
}

impl Sine {
    fn output(&self, points: Points) -> RegressionOutput {
        let mut y = points.x;
        for (index, layer) in self.layers.iter().enumerate() {
            y = layer.forward(y);
            if index + 1 < self.layers.len() {
                y = y.tanh();
            }
        }
        let loss = MseLoss::new().forward(y.clone(), points.y.clone(), Reduction::Mean);
        RegressionOutput::new(loss, y, points.y)
    }
}

impl TrainStep for Sine {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, points: Points) -> TrainOutput<RegressionOutput> {
        let output = self.output(points);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Sine {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, points: Points) -> RegressionOutput {
        self.output(points)
    }
}

/// Each batch has all points: gradient descent.
struct AllPoints;

impl Batcher<(), Points> for AllPoints {
    fn batch(&self, _items: Vec<()>, device: &Device) -> Points {
        Points::between(-3.0, 3.0, 100, device)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    const STEPS: usize = 5000;
    let learning_rate: f64 = match std::env::args().nth(1) {
        Some(rate) => rate.parse()?,
        None => 0.05,
    };
    let dir = std::env::temp_dir().join("burn-sharpness-dashboard");
    let loader = |steps: usize| {
        let loader = DataLoaderBuilder::new(AllPoints).batch_size(1);
        loader.build(InMemDataset::new(vec![(); steps]))
    };
    let device = Device::flex().autodiff();
    device.seed(0);
    let widths = [1, 64, 64, 1];
    let layers = widths.windows(2);
    let layers = layers.map(|pair| LinearConfig::new(pair[0], pair[1]).init(&device));
    let model = Sine {
        layers: layers.collect(),
    };
    let optim = SgdConfig::new().init();

    let config = SharpnessConfig::new().with_every(5).with_directory(&dir);
    let task = |from: f32, to: f32| vec![Points::between(from, to, 100, &Device::flex())];
    let loss = |model: &Sine, points: Points| model.output(points).loss;
    let probe = SharpnessProbe::builder(config)
        .with_task("inside", task(-1.0, 1.0), loss)
        .with_task("outside", task(3.0, 4.0), loss)
        .build()?;
    let training = SupervisedTraining::new(&dir, loader(STEPS), loader(1))
        .metric_train_numeric(LossMetric::new())
        .metric_train_numeric(LearningRateMetric::new())
        .metrics_sharpness(&probe)
        .dashboard_sharpness(&probe)
        .num_epochs(1);
    let result = training.launch(Learner::new(probe.attach(model), optim, learning_rate));

    drop(result.renderer);
    println!("{}", probe.summary());
    Ok(())
}
