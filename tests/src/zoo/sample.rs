use crate::data::{Batch, Data};
use crate::random::Random;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

pub(super) const TOKENS: usize = 64;
const TOKENS_OF_EXAMPLE: usize = 6;
pub(super) const PIXELS: usize = 12;

#[derive(Clone, Debug)]
pub struct Sample {
    pub x: Tensor<2>,
    pub view: Tensor<2>,
    pub classes: Tensor<1, Int>,
    /// The targets of a regression `[batch, 2]`.
    pub targets: Tensor<2>,
    /// Tokens `[batch, tokens]`.
    pub tokens: Tensor<2, Int>,
    /// Pictures of a bright bar at the place of the class, with noise.
    pub pictures: Tensor<4>,
    pub advantages: Tensor<1>,
    /// Under an older network.
    pub old: Option<Tensor<1>>,
    pub turn: usize,
}

impl Sample {
    pub fn of(batch: &Batch) -> Self {
        let device = batch.x.device();
        let classes: Vec<i64> = batch.y.clone().into_data().iter().collect();
        let x: Vec<f32> = batch.x.clone().into_data().iter().collect();
        let (mut view, mut targets, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
        let (mut pictures, mut advantages) = (Vec::new(), Vec::new());
        for (row, class) in x.chunks(Data::FEATURES).zip(&classes) {
            let bits = row.iter().map(|value| u64::from(value.to_bits()));
            let seed = bits.fold(1u64, |seed, bits| seed.wrapping_mul(31).wrapping_add(bits));
            let mut random = Random::new(seed);
            view.extend(row.iter().map(|value| value + 0.3 * random.normal()));
            targets.push(row[0].sin() + 0.3 * row[1] * row[2]);
            targets.push((row[3] - row[4]).tanh() + 0.1 * random.normal());
            tokens.extend((0..TOKENS_OF_EXAMPLE).map(|_| {
                let place = random.unit().powi(4) * (TOKENS - Data::CLASSES) as f32;
                place as i64 + class
            }));
            pictures.extend((0..PIXELS * PIXELS).map(|at| {
                let is_bar = at % PIXELS == 3 * *class as usize + 1;
                random.unit() + if is_bar { 0.35 } else { 0.0 }
            }));
            advantages.push(random.normal());
        }
        let size = classes.len();
        let mean = advantages.iter().sum::<f32>() / size as f32;
        let advantages: Vec<f32> = advantages.iter().map(|gain| gain - mean).collect();
        Self {
            x: batch.x.clone(),
            view: floats(view, [size, Data::FEATURES], &device),
            classes: batch.y.clone(),
            targets: floats(targets, [size, 2], &device),
            tokens: Tensor::from_data(TensorData::new(tokens, [size, TOKENS_OF_EXAMPLE]), &device),
            pictures: floats(pictures, [size, 1, PIXELS, PIXELS], &device),
            advantages: floats(advantages, [size], &device),
            old: None,
            turn: 0,
        }
    }

    pub fn cast(&self, dtype: FloatDType) -> Self {
        let of = self.clone();
        Self {
            x: of.x.cast(dtype),
            view: of.view.cast(dtype),
            targets: of.targets.cast(dtype),
            pictures: of.pictures.cast(dtype),
            advantages: of.advantages.cast(dtype),
            old: of.old.map(|old| old.cast(dtype)),
            ..self.clone()
        }
    }

    /// Removes autodiff, which costs as much as the loss of a small network.
    pub fn inner(&self) -> Self {
        let of = self.clone();
        Self {
            x: of.x.inner(),
            view: of.view.inner(),
            classes: of.classes.inner(),
            targets: of.targets.inner(),
            tokens: of.tokens.inner(),
            pictures: of.pictures.inner(),
            advantages: of.advantages.inner(),
            old: of.old.map(Tensor::inner),
            turn: of.turn,
        }
    }
}

fn floats<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
