use crate::loader::Loader;
use crate::stop::Stop;
use anyhow::{Result, ensure};
use burn::data::dataloader::DataLoader;
use burn::tensor::Device;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::windows::{TokenBatch, Windows};

/// More is a mistake.
const MOST_TOKENS: u64 = 1 << 28;

pub fn validate_update(batch: usize, context: usize, accumulate: usize) -> Result<()> {
    let tokens = [batch, context, accumulate].map(|count| count as u64);
    let tokens = tokens.into_iter().try_fold(1, u64::checked_mul);
    ensure!(
        tokens.is_some_and(|tokens| tokens <= MOST_TOKENS),
        "{accumulate} batches of {batch} windows of {context} tokens are more than {MOST_TOKENS} tokens for one update: choose a smaller --accumulate, --batch or --context"
    );
    Ok(())
}

/// Training batches of random windows.
///
/// The windows and the model's random numbers depend on the seed and the step alone, so that a resumed run makes the
/// same updates as an uninterrupted run.
#[derive(Clone)]
pub struct TrainBatches {
    pub windows: Windows,
    pub batch: usize,
    /// The batches whose gradients make one update.
    pub accumulate: usize,
    /// The updates of an epoch.
    pub updates: u64,
    /// The updates of the run.
    pub steps: u64,
    pub seed: u64,
    next_step: Arc<AtomicU64>,
    stop: Stop,
}

impl TrainBatches {
    #[allow(clippy::too_many_arguments)] // the fields, once
    pub fn new(
        windows: Windows,
        batch: usize,
        accumulate: usize,
        updates: u64,
        steps: u64,
        seed: u64,
        first_step: u64,
    ) -> Self {
        Self {
            windows,
            batch,
            accumulate,
            updates,
            steps,
            seed,
            next_step: Arc::new(AtomicU64::new(first_step)),
            stop: Stop::new(),
        }
    }

    /// A request ends the epoch after the current update.
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    pub fn next_step(&self) -> u64 {
        self.next_step.load(Ordering::SeqCst)
    }

    fn batch_at(&self, step: u64, micro_batch: usize, device: &Device) -> TokenBatch {
        let stream = step * self.accumulate as u64 + micro_batch as u64;
        // Seeds of neighbouring steps must not overlap with seeds of neighbouring runs.
        let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream;
        // Dropout depends on the step alone, too, since no checkpoint contains the backend's random stream.
        device.seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        self.windows.random_batch(self.batch, &mut random, device)
    }

    pub fn loader(&self) -> Arc<dyn DataLoader<TokenBatch>> {
        let items = self.updates as usize * self.accumulate * self.batch;
        let all = self.clone();
        Loader::start(items, self.batch, move |device| {
            let (all, device) = (all.clone(), device.clone());
            let (first_step, accumulate) = (all.next_step(), all.accumulate);
            let updates = all.updates.min(all.steps.saturating_sub(first_step));
            (0..updates as usize * accumulate).map_while(move |index| {
                let micro_batch = index % accumulate;
                if micro_batch == 0 && all.stop.is_wished() {
                    return None;
                }
                let step = first_step + (index / accumulate) as u64;
                let batch = all.batch_at(step, micro_batch, &device);
                if micro_batch + 1 == accumulate {
                    all.next_step.store(step + 1, Ordering::SeqCst);
                }
                Some(batch)
            })
        })
    }
}

/// Serves the same few batches for each validation, spread evenly over the windows.
pub fn valid_loader(
    windows: Windows,
    batch: usize,
    batches: usize,
) -> Arc<dyn DataLoader<TokenBatch>> {
    Loader::start(batch * batches, batch, move |device| {
        let (windows, device) = (windows.clone(), device.clone());
        (0..batches).map(move |index| windows.even_batch(index, batches, batch, &device))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> Windows {
        Windows::new((0..100).collect(), 4, "the text").unwrap()
    }

    fn batches(first_step: u64) -> TrainBatches {
        TrainBatches::new(windows(), 3, 2, 4, 10, 7, first_step)
    }

    fn epoch(loader: &Arc<dyn DataLoader<TokenBatch>>) -> Vec<Vec<i64>> {
        let device = crate::device::of_environment().unwrap();
        let batches = crate::loader::collect(loader, &device).unwrap();
        batches
            .into_iter()
            .map(|batch| {
                assert_eq!(batch.inputs.dims(), [3, 4]);
                let inputs: Vec<i64> = batch.inputs.into_data().iter().collect();
                let targets: Vec<i64> = batch.targets.into_data().iter().collect();
                // The tokens count up.
                assert!(inputs.iter().zip(&targets).all(|(a, b)| a + 1 == *b));
                inputs
            })
            .collect()
    }

    #[test]
    fn epochs_divide_the_steps_and_differ() {
        let loader = batches(0).loader();
        let epochs: Vec<_> = (0..4).map(|_| epoch(&loader)).collect();
        let updates: Vec<_> = epochs.iter().map(|epoch| epoch.len() / 2).collect();
        assert_eq!(updates, [4, 4, 2, 0], "ten steps in all");
        let mut batches: Vec<_> = epochs.concat();
        batches.sort();
        batches.dedup();
        assert_eq!(batches.len(), 20, "no batch comes twice");
    }

    #[test]
    fn a_run_that_resumes_sees_what_it_would_have_seen() {
        let whole = batches(0).loader();
        epoch(&whole);
        assert_eq!(epoch(&batches(4).loader()), epoch(&whole));
    }

    #[test]
    fn a_wish_to_stop_ends_the_epoch_between_two_updates() {
        let stop = Stop::new();
        let all = batches(0).with_stop(stop.clone());
        let loader = all.loader();
        let mut batches = loader.iter();
        for _ in 0..3 {
            batches.next().unwrap().unwrap();
        }
        stop.wish().stop(None);
        assert!(batches.next().is_some(), "the second half of an update");
        assert!(batches.next().is_none());
        assert_eq!(all.next_step(), 2);
        assert!(loader.iter().next().is_none());
    }

    #[test]
    fn validation_is_always_the_same() {
        let loader = valid_loader(windows(), 3, 2);
        assert_eq!(epoch(&loader).len(), 2);
        assert_eq!(epoch(&loader), epoch(&loader));
    }
}
