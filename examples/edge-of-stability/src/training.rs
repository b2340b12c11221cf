use crate::data::Data;
use burn::data::dataloader::DataLoader;
use burn::train::metric::{LearningRateMetric, LossMetric};
use burn::train::{Learner, SupervisedTraining};
use burn_sharpness::{SharpnessMetrics, SharpnessProbe};
use gpt::loader::Loader;
use gpt::metrics::MetricFiles;
use gpt::optimizer::sgd;
use gpt::progress::PlainProgress;
use gpt::small::{Examples, FullyConnected};
use gpt::terminal::can_draw;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// All examples each time, or some in a random order that is drawn again once all were used.
#[derive(Clone)]
pub struct Batches {
    pub data: Arc<Data>,
    pub size: usize,
    pub count: usize,
    pub seed: u64,
}

impl Batches {
    pub fn loader(self) -> Arc<dyn DataLoader<Examples<2>>> {
        let (data, size, count, seed) = (self.data, self.size, self.count, self.seed);
        Loader::start(size * count, size, move |device| {
            let (data, device) = (data.clone(), device.clone());
            let mut random = StdRng::seed_from_u64(seed);
            let mut order: Vec<usize> = (0..data.len()).collect();
            let whole = (size == order.len()).then(|| data.batch(&order, &device));
            (0..count).map(move |index| {
                if let Some(whole) = &whole {
                    return whole.clone();
                }
                let place = index % (order.len() / size);
                if place == 0 {
                    order.shuffle(&mut random);
                }
                data.batch(&order[place * size..(place + 1) * size], &device)
            })
        })
    }
}

pub struct Trained {
    pub network: FullyConnected,
    pub failure: Option<String>,
}

/// The dashboard's key `q` stops the training early.
pub fn train(
    network: FullyConnected,
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
    let training = SupervisedTraining::new(out, batches.loader(), validation.loader());
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
    let learner = Learner::new(probe.attach(network), sgd(0.0), learning_rate);
    let result = training.launch(learner);
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

    fn classes(size: usize, count: usize) -> Vec<Vec<i64>> {
        let batches = Batches {
            data: Arc::new(Data::mnist_1d(50, 1)),
            size,
            count,
            seed: 7,
        };
        let device = gpt::device::of_environment().unwrap();
        let loader = batches.loader();
        assert_eq!(loader.num_items(), size * count);
        let batches = gpt::loader::collect(&loader, &device).unwrap().into_iter();
        let classes = batches.map(|batch| batch.y.into_data().iter().collect());
        classes.collect()
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
            assert!((0..50).all(|place| seen[place] == place as i64 / 5));
        }
        assert_ne!(batches[0], batches[2]);
        assert_eq!(classes(25, 4), batches);
    }
}
