use burn::data::dataloader::DataLoader;
use burn::tensor::{Device, Int, Tensor, TensorData};
use gpt::loader::Loader;
use std::sync::Arc;

/// Inputs `[batch, features]` and classes `[batch]`.
#[derive(Clone, Debug)]
pub struct Batch {
    pub x: Tensor<2>,
    pub y: Tensor<1, Int>,
}

/// A deterministic classification problem, served in batches in a fixed order.
#[derive(Clone)]
pub struct Data {
    batches: usize,
    batch_size: usize,
    poisoned: Option<usize>,
    device: Device,
}

impl Data {
    pub const FEATURES: usize = 6;
    pub const CLASSES: usize = 3;

    pub fn new(batches: usize, batch_size: usize, device: &Device) -> Self {
        Self {
            batches,
            batch_size,
            poisoned: None,
            device: device.clone(),
        }
    }

    pub fn with_poisoned(mut self, batch: usize) -> Self {
        self.poisoned = Some(batch);
        self
    }

    pub fn loader(self) -> Arc<dyn DataLoader<Batch>> {
        let (items, device) = (self.batches * self.batch_size, self.device.clone());
        let loader = Loader::start(items, self.batch_size, move |device| {
            let mut data = self.clone();
            data.device = device.clone();
            (0..data.batches).map(move |index| data.batch(index))
        });
        loader.to_device(&device)
    }

    pub fn all(&self) -> Vec<Batch> {
        (0..self.batches).map(|index| self.batch(index)).collect()
    }

    pub fn batch(&self, index: usize) -> Batch {
        let examples = index * self.batch_size..(index + 1) * self.batch_size;
        let mut x = Vec::new();
        let mut y = Vec::new();
        for example in examples {
            let features = (0..Self::FEATURES).map(|feature| wave(example, feature));
            let features: Vec<f32> = features.collect();
            let class = (4.0 * (features[0] * features[1] + features[2]).abs()) as i64;
            y.push(class % Self::CLASSES as i64);
            x.extend(features);
        }
        if self.poisoned == Some(index) {
            x.fill(f32::NAN);
        }
        let x = TensorData::new(x, [self.batch_size, Self::FEATURES]);
        let y = TensorData::new(y, [self.batch_size]);
        Batch {
            x: Tensor::from_data(x, &self.device),
            y: Tensor::<1, Int>::from_data(y, &self.device),
        }
    }
}

/// In [−1, 1], without a relevant pattern.
fn wave(example: usize, feature: usize) -> f32 {
    let phase = (example * 37 + feature * 101 + example * feature * 13) as f32;
    (phase * 0.618).sin()
}
