use anyhow::{Result, anyhow};
use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use std::sync::Arc;

type Batches<B> = Box<dyn Iterator<Item = B>>;
type Start<B> = dyn Fn(&Device) -> Batches<B> + Send + Sync;

/// Returns all batches of an epoch.
pub fn collect<B>(loader: &Arc<dyn DataLoader<B>>, device: &Device) -> Result<Vec<B>> {
    let batches = loader.to_device(device).iter().collect::<Result<_, _>>();
    batches.map_err(|error| anyhow!("{error}"))
}

/// Serves the batches of an iterator, and starts it again for each epoch.
pub struct Loader<B> {
    items: usize,
    batch: usize,
    start: Arc<Start<B>>,
    device: Device,
}

impl<B: 'static> Loader<B> {
    pub fn start<I: Iterator<Item = B> + 'static>(
        items: usize,
        batch: usize,
        start: impl Fn(&Device) -> I + Send + Sync + 'static,
    ) -> Arc<dyn DataLoader<B>> {
        Arc::new(Self {
            items,
            batch,
            start: Arc::new(move |device| Box::new(start(device))),
            device: Device::default(),
        })
    }

    fn on(&self, device: &Device) -> Arc<dyn DataLoader<B>> {
        Arc::new(Self {
            start: self.start.clone(),
            device: device.clone(),
            ..*self
        })
    }
}

impl<B: 'static> DataLoader<B> for Loader<B> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<B> + 'a> {
        let batches = (self.start)(&self.device);
        let (least, most) = batches.size_hint();
        Box::new(Epoch {
            batches,
            batch: self.batch,
            items: most.unwrap_or(least) * self.batch,
            served: 0,
        })
    }

    fn num_items(&self) -> usize {
        self.items
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<B>> {
        self.on(device)
    }

    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<B>> {
        // Only strategies with several devices slice, and each device may see all batches.
        self.on(&self.device)
    }
}

struct Epoch<B> {
    batches: Batches<B>,
    batch: usize,
    items: usize,
    served: usize,
}

impl<B> Iterator for Epoch<B> {
    type Item = Result<B, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        self.served += 1;
        Some(Ok(batch))
    }
}

impl<B> DataLoaderIterator<B> for Epoch<B> {
    fn progress(&self) -> Progress {
        Progress::new(self.served * self.batch, self.items, None)
    }
}
