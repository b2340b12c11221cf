//! Serves batches of tokens to burn's training.

use crate::stop::Stop;
use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::windows::{TokenBatch, Windows};

/// The most tokens of an update: more is a mistake.
const MOST_TOKENS: u64 = 1 << 28;

/// Checks the number of tokens of an update. The error names the numbers.
pub fn validate_update(batch: usize, context: usize, accumulate: usize) -> Result<(), String> {
    let tokens = [batch, context, accumulate].map(|count| count as u64);
    let tokens = tokens.into_iter().try_fold(1, u64::checked_mul);
    if tokens.is_none_or(|tokens| tokens > MOST_TOKENS) {
        return Err(format!(
            "{accumulate} batches of {batch} windows of {context} tokens are more than {MOST_TOKENS} tokens for one update: choose a smaller --accumulate, --batch or --context"
        ));
    }
    Ok(())
}

/// Serves training batches of random windows.
///
/// The windows of a step, and the model's random numbers in it, depend on the seed and the step alone, so that a
/// resumed run makes the same updates as an uninterrupted run.
#[derive(Clone)]
pub struct TrainLoader {
    /// The source of the windows.
    pub windows: Windows,
    /// The number of windows of a batch.
    pub batch: usize,
    /// The number of batches whose gradients make one update.
    pub accumulate: usize,
    /// The number of updates of an epoch.
    pub updates: u64,
    /// The number of updates of the run.
    pub steps: u64,
    /// The seed of the windows.
    pub seed: u64,
    next_step: Arc<AtomicU64>,
    stop: Stop,
    device: Device,
}

impl TrainLoader {
    /// Creates a loader whose first epoch begins at `first_step`.
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
            device: Device::default(),
        }
    }

    /// Ends the epoch after the current update once `stop` is requested.
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Returns the step of the next update.
    pub fn next_step(&self) -> u64 {
        self.next_step.load(Ordering::SeqCst)
    }

    fn batch_at(&self, step: u64, micro_batch: usize) -> TokenBatch {
        let stream = step * self.accumulate as u64 + micro_batch as u64;
        // Seeds of neighbouring steps must not overlap with those of neighbouring runs.
        let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream;
        // Dropout must depend on the step alone, too: no checkpoint holds the backend's random state.
        self.device.seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        self.windows
            .random_batch(self.batch, &mut random, &self.device)
    }
}

impl DataLoader<TokenBatch> for TrainLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TokenBatch> + 'a> {
        let first_step = self.next_step();
        let updates = self.updates.min(self.steps.saturating_sub(first_step));
        Box::new(TrainIterator {
            loader: self,
            first_step,
            batches: updates as usize * self.accumulate,
            next: 0,
        })
    }

    fn num_items(&self) -> usize {
        self.updates as usize * self.accumulate * self.batch
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<TokenBatch>> {
        Arc::new(Self {
            device: device.clone(),
            ..self.clone()
        })
    }

    fn slice(&self, start: usize, _end: usize) -> Arc<dyn DataLoader<TokenBatch>> {
        // Each device draws windows of its own.
        Arc::new(Self {
            seed: self.seed.wrapping_add(start as u64),
            ..self.clone()
        })
    }
}

struct TrainIterator<'a> {
    loader: &'a TrainLoader,
    first_step: u64,
    batches: usize,
    next: usize,
}

impl Iterator for TrainIterator<'_> {
    type Item = Result<TokenBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let accumulate = self.loader.accumulate;
        let is_between = self.next.is_multiple_of(accumulate);
        if self.next == self.batches || (is_between && self.loader.stop.is_wished()) {
            return None;
        }
        let step = self.first_step + (self.next / accumulate) as u64;
        let batch = self.loader.batch_at(step, self.next % accumulate);
        self.next += 1;
        if self.next.is_multiple_of(accumulate) {
            self.loader.next_step.store(step + 1, Ordering::SeqCst);
        }
        Some(Ok(batch))
    }
}

impl DataLoaderIterator<TokenBatch> for TrainIterator<'_> {
    fn progress(&self) -> Progress {
        let size = self.loader.batch;
        Progress::new(self.next * size, self.batches * size, None)
    }
}

/// Serves the same few batches at each validation, spread evenly over the windows.
#[derive(Clone)]
pub struct ValidLoader {
    windows: Windows,
    batch: usize,
    batches: usize,
    device: Device,
}

impl ValidLoader {
    /// Creates `batches` batches of `batch` windows.
    pub fn new(windows: Windows, batch: usize, batches: usize) -> Self {
        Self {
            windows,
            batch,
            batches,
            device: Device::default(),
        }
    }
}

impl DataLoader<TokenBatch> for ValidLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TokenBatch> + 'a> {
        Box::new(ValidIterator {
            loader: self,
            next: 0,
        })
    }

    fn num_items(&self) -> usize {
        self.batch * self.batches
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<TokenBatch>> {
        Arc::new(Self {
            device: device.clone(),
            ..self.clone()
        })
    }

    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<TokenBatch>> {
        Arc::new(self.clone())
    }
}

struct ValidIterator<'a> {
    loader: &'a ValidLoader,
    next: usize,
}

impl Iterator for ValidIterator<'_> {
    type Item = Result<TokenBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let ValidLoader {
            windows,
            batch,
            batches,
            device,
        } = self.loader;
        if self.next == *batches {
            return None;
        }
        let batch = windows.even_batch(self.next, *batches, *batch, device);
        self.next += 1;
        Some(Ok(batch))
    }
}

impl DataLoaderIterator<TokenBatch> for ValidIterator<'_> {
    fn progress(&self) -> Progress {
        let size = self.loader.batch;
        Progress::new(self.next * size, self.loader.batches * size, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> Windows {
        Windows::new((0..100).collect(), 4, "the text").unwrap()
    }

    fn loader(first_step: u64) -> TrainLoader {
        TrainLoader::new(windows(), 3, 2, 4, 10, 7, first_step)
    }

    fn epoch(loader: &dyn DataLoader<TokenBatch>) -> Vec<Vec<i64>> {
        let batches = loader.iter();
        batches
            .map(|batch| {
                let batch = batch.unwrap();
                assert_eq!(batch.inputs.dims(), [3, 4]);
                let inputs: Vec<i64> = batch.inputs.into_data().iter().collect();
                let targets: Vec<i64> = batch.targets.into_data().iter().collect();
                // The tokens count up, so each target is its input plus one.
                assert!(inputs.iter().zip(&targets).all(|(a, b)| a + 1 == *b));
                inputs
            })
            .collect()
    }

    #[test]
    fn epochs_divide_the_steps_and_differ() {
        let loader = loader(0).to_device(&crate::device::of_environment().unwrap());
        let epochs: Vec<_> = (0..4).map(|_| epoch(loader.as_ref())).collect();
        let updates: Vec<_> = epochs.iter().map(|epoch| epoch.len() / 2).collect();
        assert_eq!(updates, [4, 4, 2, 0], "ten steps in all");
        let mut batches: Vec<_> = epochs.concat();
        batches.sort();
        batches.dedup();
        assert_eq!(batches.len(), 20, "no batch comes twice");
    }

    #[test]
    fn a_run_that_resumes_sees_what_it_would_have_seen() {
        let whole = loader(0).to_device(&crate::device::of_environment().unwrap());
        epoch(whole.as_ref());
        let resumed = loader(4).to_device(&crate::device::of_environment().unwrap());
        assert_eq!(epoch(resumed.as_ref()), epoch(whole.as_ref()));
    }

    #[test]
    fn a_wish_to_stop_ends_the_epoch_between_two_updates() {
        let stop = Stop::new();
        let loader = loader(0).with_stop(stop.clone());
        let mut batches = loader.iter();
        for _ in 0..3 {
            batches.next().unwrap().unwrap();
        }
        stop.wish().stop(None);
        assert!(batches.next().is_some(), "the second half of an update");
        assert!(batches.next().is_none());
        assert_eq!(loader.next_step(), 2);
        assert!(loader.iter().next().is_none());
    }

    #[test]
    fn validation_is_always_the_same() {
        let loader =
            ValidLoader::new(windows(), 3, 2).to_device(&crate::device::of_environment().unwrap());
        assert_eq!(epoch(loader.as_ref()).len(), 2);
        assert_eq!(epoch(loader.as_ref()), epoch(loader.as_ref()));
    }
}
