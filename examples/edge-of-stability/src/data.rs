use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use gpt::small::{CLASSES, Examples};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;

pub struct Data {
    pub features: usize,
    x: Vec<f32>,
    y: Vec<i64>,
}

const LENGTH: usize = 40;
const PADDED: usize = 72;
/// The height of a pen at twelve places of each digit.
const TEMPLATES: [[f32; 12]; CLASSES] = [
    [5.0, 6.0, 6.5, 6.75, 7.0, 7.0, 7.0, 7.0, 6.75, 6.5, 6.0, 5.0],
    [5.0, 3.0, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0, 5.4, 5.8, 5.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.25, 4.75, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.0, 5.0, 6.0, 6.5, 6.5, 6.0, 5.0],
    [5.0, 4.4, 3.8, 3.2, 2.6, 2.6, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
    [5.0, 3.0, 3.0, 3.0, 3.0, 5.0, 6.0, 6.5, 6.5, 6.0, 4.5, 5.0],
    [5.0, 4.0, 3.5, 3.25, 3.0, 3.0, 3.0, 3.0, 3.25, 3.5, 4.0, 5.0],
    [5.0, 7.0, 7.0, 6.6, 6.2, 5.8, 5.4, 5.0, 4.6, 4.2, 5.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 5.0, 5.0, 4.7, 4.3, 5.0],
];

impl Data {
    /// Generates signals by the recipe of MNIST-1D (S. Greydanus and D. Kobak, *Scaling Down Deep Learning with
    /// MNIST-1D*, arXiv 2011.14439).
    pub fn mnist_1d(examples: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for example in 0..examples {
            let class = example % CLASSES;
            x.extend(signal(&TEMPLATES[class], &mut random));
            y.push(class as i64);
        }
        Self::normalized(LENGTH, x, y)
    }

    /// Reads the first examples from the binary files `data_batch_1.bin` to `data_batch_5.bin`.
    pub fn cifar_10(folder: &Path, examples: usize) -> Result<Self> {
        const FEATURES: usize = 3072;
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for file in 1..=5 {
            if y.len() == examples {
                break;
            }
            let path = folder.join(format!("data_batch_{file}.bin"));
            let bytes = std::fs::read(&path);
            let path = path.display();
            let bytes = bytes.with_context(|| format!("{path} cannot be read"))?;
            let (count, record) = (bytes.len(), FEATURES + 1);
            ensure!(
                count > 0 && count.is_multiple_of(record),
                "{path} has {count} bytes, which is no multiple of the {record} bytes of an example: it is torn, or not a binary file of CIFAR-10"
            );
            for record in bytes.chunks_exact(record).take(examples - y.len()) {
                let class = record[0];
                ensure!(
                    usize::from(class) < CLASSES,
                    "{path} is not a binary file of CIFAR-10: it has a class {class}"
                );
                y.push(i64::from(class));
                x.extend(record[1..].iter().map(|pixel| f32::from(*pixel)));
            }
        }
        ensure!(
            y.len() == examples,
            "{} has {} examples only: choose fewer than {examples} with --examples",
            folder.display(),
            y.len()
        );
        Ok(Self::normalized(FEATURES, x, y))
    }

    fn normalized(features: usize, mut x: Vec<f32>, y: Vec<i64>) -> Self {
        let count = x.len() as f64;
        let mean = x.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let squares = x.iter().map(|value| (f64::from(*value) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        for value in &mut x {
            *value = ((f64::from(*value) - mean) / deviation) as f32;
        }
        Self { features, x, y }
    }

    pub fn len(&self) -> usize {
        self.y.len()
    }

    pub fn batch(&self, examples: &[usize], device: &Device) -> Examples<2> {
        let features = self.features;
        let of = |example: &usize| &self.x[example * features..(example + 1) * features];
        let x: Vec<f32> = examples.iter().flat_map(of).copied().collect();
        let y: Vec<i64> = examples.iter().map(|example| self.y[*example]).collect();
        let count = examples.len();
        Examples {
            x: Tensor::from_data(TensorData::new(x, [count, features]), device),
            y: Tensor::from_data(TensorData::new(y, [count]), device),
        }
    }
}

fn signal(template: &[f32; 12], random: &mut StdRng) -> Vec<f32> {
    let mean = template.iter().sum::<f32>() / 12.0;
    let squares = template.iter().map(|value| (value - mean).powi(2));
    let variance = squares.sum::<f32>() / 12.0;
    let shape = template.map(|value| (value - mean) / variance.sqrt());

    // Padded at the end, scaled in height, sheared.
    let length = random.random_range(48..PADDED);
    let height = 1.0 + 0.4 * (random.random::<f32>() - 0.5);
    let shear = 0.75 * (random.random::<f32>() - 0.5);
    let mut padded: Vec<f32> = (0..length)
        .map(|place| {
            let at = place as f32 / (length as f32 * 0.5);
            let drawn = match at <= 1.0 {
                true => interpolate(&shape, at) - shape[0],
                false => 0.0,
            };
            let lean = shear * (place as f32 / length as f32 - 0.5) * 2.0;
            height * drawn + lean
        })
        .collect();
    let shift = random.random_range(0..length);
    padded.rotate_right(shift);
    let noise = smooth_noise(length, random);
    for (value, noise) in padded.iter_mut().zip(noise) {
        *value += 0.25 * noise + 0.02 * normal(random);
    }
    let resampled =
        (0..LENGTH).map(|place| interpolate(&padded, place as f32 / (LENGTH - 1) as f32));
    resampled.collect()
}

fn interpolate(values: &[f32], share: f32) -> f32 {
    let place = share * (values.len() - 1) as f32;
    let before = (place as usize).min(values.len() - 2);
    let rest = place - before as f32;
    (1.0 - rest) * values[before] + rest * values[before + 1]
}

/// Normal numbers under a Gaussian window two places wide.
fn smooth_noise(length: usize, random: &mut StdRng) -> Vec<f32> {
    let raw: Vec<f32> = (0..length).map(|_| normal(random)).collect();
    let smoothed = (0..length as i64).map(|place| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for offset in -6..=6_i64 {
            let weight = (-0.5 * (offset as f32 / 2.0).powi(2)).exp();
            let at = (place + offset).clamp(0, length as i64 - 1);
            sum += weight * raw[at as usize];
            weights += weight;
        }
        sum / weights
    });
    smoothed.collect()
}

fn normal(random: &mut StdRng) -> f32 {
    (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_file_is_named_with_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data_batch_1.bin");
        std::fs::write(&path, vec![1; 2 * 3073]).unwrap();
        assert_eq!(Data::cifar_10(folder.path(), 2).unwrap().len(), 2);
        std::fs::write(&path, vec![1; 2 * 3073 - 1]).unwrap();
        let error = Data::cifar_10(folder.path(), 1).err().unwrap().to_string();
        assert!(error.contains("data_batch_1.bin has 6145 bytes"), "{error}");
    }

    #[test]
    fn signals_are_reproducible_and_normalized() {
        let data = Data::mnist_1d(100, 3);
        assert_eq!(data.x, Data::mnist_1d(100, 3).x);
        assert_ne!(data.x, Data::mnist_1d(100, 4).x);
        let mean = data.x.iter().sum::<f32>() / data.x.len() as f32;
        assert!(mean.abs() < 1e-3 && data.len() == 100);
        let batch = data.batch(&[0, 13], &gpt::device::of_environment().unwrap());
        assert_eq!(batch.x.dims(), [2, LENGTH]);
        let classes: Vec<i64> = batch.y.into_data().iter().collect();
        assert_eq!(classes, [0, 3]);
    }
}
