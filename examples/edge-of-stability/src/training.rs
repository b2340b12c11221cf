//! Trains the network in burn's `Learner`.

use crate::data::{Batch, Data};
use crate::network::Network;
use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::optim::SgdConfig;
use burn::tensor::Device;
use burn::train::metric::{LearningRateMetric, LossMetric};
use burn::train::{InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep};
use burn_sharpness::{SharpnessMetrics, SharpnessProbe};
use gpt::metrics::MetricFiles;
use gpt::output::LossOutput;
use gpt::progress::PlainProgress;
use gpt::terminal::can_draw;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::path::Path;
use std::sync::{Arc, OnceLock};

impl TrainStep for Network {
    type Input = Batch;
    type Output = LossOutput;

    fn step(&self, batch: Batch) -> TrainOutput<LossOutput> {
        let loss = self.loss(&batch);
        TrainOutput::new(self, loss.backward(), LossOutput::new(loss))
    }
}

impl InferenceStep for Network {
    type Input = Batch;
    type Output = LossOutput;

    fn step(&self, batch: Batch) -> LossOutput {
        LossOutput::new(self.loss(&batch))
    }
}

/// Serves `count` batches: all examples each time, or `size` examples in a random order, which is redrawn
/// once all were used.
#[derive(Clone)]
pub struct Batches {
    /// The examples.
    pub data: Arc<Data>,
    /// The examples of a batch.
    pub size: usize,
    /// The number of batches.
    pub count: usize,
    /// The seed of their order.
    pub seed: u64,
    /// The device of the tensors.
    pub device: Device,
}

impl DataLoader<Batch> for Batches {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        let order: Vec<usize> = (0..self.data.len()).collect();
        let is_whole = self.size == order.len();
        Box::new(BatchIterator {
            whole: is_whole.then(|| self.data.batch(&order, &self.device)),
            batches: self,
            random: StdRng::seed_from_u64(self.seed),
            order,
            seen: usize::MAX,
            served: 0,
        })
    }

    fn num_items(&self) -> usize {
        self.count * self.size
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self {
            device: device.clone(),
            ..self.clone()
        })
    }

    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(self.clone())
    }
}

struct BatchIterator<'a> {
    batches: &'a Batches,
    /// The batch of all examples, if every batch is the same.
    whole: Option<Batch>,
    random: StdRng,
    order: Vec<usize>,
    /// The number of examples used of the order.
    seen: usize,
    served: usize,
}

impl Iterator for BatchIterator<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.served == self.batches.count {
            return None;
        }
        self.served += 1;
        if let Some(whole) = &self.whole {
            return Some(Ok(whole.clone()));
        }
        let size = self.batches.size;
        if self.seen > self.order.len() - size {
            self.order.shuffle(&mut self.random);
            self.seen = 0;
        }
        self.seen += size;
        let examples = &self.order[self.seen - size..self.seen];
        Some(Ok(self.batches.data.batch(examples, &self.batches.device)))
    }
}

impl DataLoaderIterator<Batch> for BatchIterator<'_> {
    fn progress(&self) -> Progress {
        let size = self.batches.size;
        Progress::new(self.served * size, self.batches.num_items(), None)
    }
}

/// The end of a training.
pub struct Trained {
    /// The network.
    pub network: Network,
    /// The reason why the training broke off.
    pub failure: Option<String>,
}

/// Trains by gradient descent at a constant rate, in burn's dashboard if the output is a terminal. The
/// dashboard's key `q` stops it early.
pub fn train(
    network: Network,
    learning_rate: f64,
    batches: Batches,
    probe: &SharpnessProbe,
    out: &Path,
) -> Trained {
    let validation = Batches {
        size: batches.data.len(),
        count: 1,
        ..batches.clone()
    };
    let training = SupervisedTraining::new(out, Arc::new(batches), Arc::new(validation));
    let failure = Arc::new(OnceLock::new());
    let (interrupter, failed) = (training.interrupter(), failure.clone());
    let metrics = MetricFiles::new(out, move |why| {
        interrupter.stop(Some(&why));
        let _ = failed.set(why);
    });
    let training = training
        .with_metric_logger(metrics)
        .metrics_sharpness(probe)
        .metric_train_numeric(LossMetric::new())
        .metric_valid_numeric(LossMetric::new())
        .metric_train_numeric(LearningRateMetric::new())
        .num_epochs(1);
    let training = match can_draw() {
        true => training.dashboard_sharpness(probe),
        false => training.renderer(Box::new(PlainProgress::default())),
    };
    let network = probe.attach(network);
    let result = training.launch(Learner::new(
        network,
        SgdConfig::new().init(),
        learning_rate,
    ));
    // The dashboard leaves the screen when it is dropped.
    drop(result.renderer);
    let failure = failure.get().cloned();
    Trained {
        network: result.model.into_inner(),
        failure: failure.or_else(|| Some(result.error?.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Int;

    fn classes(size: usize, count: usize) -> Vec<Vec<i64>> {
        let batches = Batches {
            data: Arc::new(Data::mnist_1d(50, 1)),
            size,
            count,
            seed: 7,
            device: gpt::device::of_environment().unwrap(),
        };
        assert_eq!(batches.num_items(), size * count);
        let batches = batches.iter().map(|batch| {
            let classes: burn::tensor::Tensor<1, Int> = batch.unwrap().y;
            classes.into_data().iter().collect()
        });
        batches.collect()
    }

    #[test]
    fn a_whole_batch_is_always_the_same() {
        let batches = classes(50, 3);
        assert_eq!(batches.len(), 3);
        assert!(batches.iter().all(|batch| *batch == batches[0]));
    }

    #[test]
    fn small_batches_see_each_example_once_before_the_order_changes() {
        let batches = classes(25, 4);
        for pair in batches.chunks(2) {
            let mut seen = pair.concat();
            seen.sort_unstable();
            // Five of each class.
            assert!((0..50).all(|place| seen[place] == place as i64 / 5));
        }
        assert_ne!(batches[0], batches[2]);
        assert_eq!(classes(25, 4), batches);
    }
}
