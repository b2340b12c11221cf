//! Shows critical sharpness in burn's own training with four added lines, on a toy problem.
//!
//! ```sh
//! cargo run --example learner
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
use burn_sharpness::ConfigError;
// ANCHOR: readme
use burn_sharpness::{SharpnessConfig, SharpnessMetrics, SharpnessProbe};
// ANCHOR_END: readme

#[derive(Module, Debug)]
struct Sine {
    hidden: Linear,
    output: Linear,
}

#[derive(Clone, Debug)]
struct Points {
    x: Tensor<2>,
    y: Tensor<2>,
}

impl Sine {
    fn output(&self, points: Points) -> RegressionOutput {
        let y = self.output.forward(self.hidden.forward(points.x).tanh());
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

struct PointBatcher;

impl Batcher<f32, Points> for PointBatcher {
    fn batch(&self, items: Vec<f32>, device: &Device) -> Points {
        let shape = [items.len(), 1];
        let y: Vec<f32> = items.iter().map(|x| x.sin()).collect();
        Points {
            x: Tensor::from_data(TensorData::new(items, shape), device),
            y: Tensor::from_data(TensorData::new(y, shape), device),
        }
    }
}

fn main() -> Result<(), ConfigError> {
    let dir = std::env::temp_dir().join("burn-sharpness-learner");
    let points =
        |from: i32| InMemDataset::new((0..2000).map(|i| (i + from) as f32 / 500.0).collect());
    let train = DataLoaderBuilder::new(PointBatcher)
        .batch_size(50)
        .shuffle(1)
        .build(points(0));
    let valid = DataLoaderBuilder::new(PointBatcher)
        .batch_size(50)
        .build(points(7));
    let device = Device::flex().autodiff();
    let model = Sine {
        hidden: LinearConfig::new(1, 32).init(&device),
        output: LinearConfig::new(32, 1).init(&device),
    };
    let optim = SgdConfig::new().init();
    let scheduler = 0.02;

    // ANCHOR: readme
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(10).with_directory(&dir))?;
    let training = SupervisedTraining::new(&dir, train, valid)
        .metric_train_numeric(LossMetric::new())
        .metric_train_numeric(LearningRateMetric::new())
        .metrics_sharpness(&probe)
        .dashboard_sharpness(&probe)
        .num_epochs(5);
    let result = training.launch(Learner::new(probe.attach(model), optim, scheduler));
    let trained = result.model.into_inner();
    drop(result.renderer); // closes the dashboard
    println!("{}", probe.summary());
    // ANCHOR_END: readme

    println!("{} parameters were trained", trained.num_params());
    Ok(())
}
