use super::network::Zoo;
use super::sample::Sample;
use crate::data::Batch;
use burn::tensor::Tensor;
use burn::train::{InferenceStep, RegressionOutput, TrainOutput, TrainStep};

fn output(loss: Tensor<1>) -> RegressionOutput {
    let none = Tensor::zeros([1, 1], &loss.device());
    RegressionOutput::new(loss.mean(), none.clone(), none)
}

impl TrainStep for Zoo {
    type Input = Batch;
    type Output = RegressionOutput;

    fn step(&self, batch: Batch) -> TrainOutput<RegressionOutput> {
        let sample = Sample::of(&batch);
        let loss = self.loss(&sample).mean();
        TrainOutput::new(self, loss.backward(), output(self.report(&sample)))
    }
}

impl InferenceStep for Zoo {
    type Input = Batch;
    type Output = RegressionOutput;

    fn step(&self, batch: Batch) -> RegressionOutput {
        output(self.report(&Sample::of(&batch)))
    }
}
