use burn::data::dataloader::DataLoader;
use burn::tensor::Device;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use thiserror::Error;

/// Supplies the batches of an evaluation task, in a fixed order: the n-th measurement of a run takes the n-th batch, or
/// [the n-th few](crate::SharpnessConfig::with_task_batches). After the last batch the first comes again.
pub struct TaskBatches<B>(Source<B>);

#[derive(Clone, Error)]
pub(crate) enum BatchesError {
    #[error("it has no batch")]
    NoBatch,
    #[error("its data loader is empty")]
    EmptyLoader,
    #[error("its data loader failed: {0}")]
    Loader(String),
    #[error("its data loader panicked")]
    Panicked,
    #[error("its data loader is past the batches of measurement {0}")]
    Past(u64),
}

debug_is_the_sentence!(BatchesError);

enum Source<B> {
    Fixed(Vec<B>),
    Loader(Arc<dyn DataLoader<B>>),
    Open(Stream<B>),
}

impl<B> From<Vec<B>> for TaskBatches<B> {
    /// Repeats these batches, on the model's device; with several workers, on the device of the model that you attach.
    fn from(batches: Vec<B>) -> Self {
        Self(Source::Fixed(batches))
    }
}

impl<B> From<Arc<dyn DataLoader<B>>> for TaskBatches<B> {
    /// Takes the batches of a data loader, pass after pass, moved to the model's device.
    ///
    /// Give the task a loader of its own: sharing a shuffling loader would change the run.
    fn from(loader: Arc<dyn DataLoader<B>>) -> Self {
        Self(Source::Loader(loader))
    }
}

impl<B: Clone + Send + 'static> TaskBatches<B> {
    pub(crate) fn take(
        &mut self,
        index: u64,
        count: usize,
        device: &Device,
    ) -> Result<Vec<B>, BatchesError> {
        match &mut self.0 {
            Source::Fixed(batches) => {
                if batches.is_empty() {
                    return Err(BatchesError::NoBatch);
                }
                let first = (index % batches.len() as u64) as usize * count;
                let numbers = (first..).take(count.min(batches.len()));
                Ok(numbers
                    .map(|number| batches[number % batches.len()].clone())
                    .collect())
            }
            Source::Open(stream) => stream.take(index, count),
            Source::Loader(loader) => {
                let mut stream = Stream::open(loader.clone(), device.clone());
                let taken = stream.take(index, count);
                self.0 = Source::Open(stream);
                taken
            }
        }
    }
}

/// Has a thread of its own, because the loader's iterator borrows it.
struct Stream<B> {
    batches: Receiver<Result<Item<B>, BatchesError>>,
    next: u64,
    last: VecDeque<B>,
    last_index: Option<u64>,
}

enum Item<B> {
    Batch(B),
    /// The number of batches of the pass.
    EndOfPass(u64),
}

impl<B: Clone + Send + 'static> Stream<B> {
    fn open(loader: Arc<dyn DataLoader<B>>, device: Device) -> Self {
        let (sender, batches) = sync_channel(1);
        thread::spawn(move || {
            let loader = loader.to_device(&device);
            loop {
                let mut count = 0;
                for batch in loader.iter() {
                    count += 1;
                    let batch = batch
                        .map(Item::Batch)
                        .map_err(|error| BatchesError::Loader(error.to_string()));
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
                if sender.send(Ok(Item::EndOfPass(count))).is_err() || count == 0 {
                    return;
                }
            }
        });
        Self {
            batches,
            next: 0,
            last: VecDeque::new(),
            last_index: None,
        }
    }

    fn take(&mut self, index: u64, count: usize) -> Result<Vec<B>, BatchesError> {
        if self.last_index != Some(index) {
            let wanted = (index + 1) * count as u64;
            self.last.clear();
            while self.next < wanted {
                let batch = self.next_batch()?;
                self.next += 1;
                if self.last.len() == count {
                    self.last.pop_front();
                }
                self.last.push_back(batch);
            }
            self.last_index = Some(index);
        }
        if self.last.is_empty() {
            return Err(BatchesError::Past(index));
        }
        Ok(self.last.iter().cloned().collect())
    }

    fn next_batch(&mut self) -> Result<B, BatchesError> {
        loop {
            match self.batches.recv() {
                Ok(Ok(Item::Batch(batch))) => return Ok(batch),
                Ok(Ok(Item::EndOfPass(0))) => return Err(BatchesError::EmptyLoader),
                Ok(Ok(Item::EndOfPass(count))) => {
                    if self.next == count {
                        tracing::warn!(
                            batches = count,
                            "an evaluation task has fewer batches than the run has measurements: it begins again with its first batch"
                        );
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(BatchesError::Panicked),
            }
        }
    }
}
