//! The weights along an optimizer's step, in 64 bits, independent of the tested code.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use std::collections::HashMap;

type Values = HashMap<ParamId, Vec<f64>>;

/// In norms of the weights: long enough to keep all digits of the direction.
const FAR: f64 = 64.0;
const FARTHEST: f64 = 1e30;

/// The line θ − ηΔθ, or a curve if the optimizer's steps are not proportional to the learning rate.
pub struct Line<'a, M> {
    step: &'a dyn Fn(f64) -> M,
    theta: Values,
    /// `None` for a curve.
    delta: Option<Values>,
}

impl<'a, M: Module> Line<'a, M> {
    /// Each call of `step` makes a step at a learning rate afresh.
    pub fn new(model: &M, step: &'a dyn Fn(f64) -> M, is_straight: bool) -> Self {
        let theta = values(model);
        let delta = is_straight.then(|| {
            let moved = |rate: f64| {
                let after = values(&step(rate));
                difference(&theta, &after, rate)
            };
            let near = moved(1.0);
            let rate = FAR * length(&theta) / length(&near);
            let far = moved(rate.clamp(1.0, FARTHEST).log2().ceil().exp2());
            if length(&far).is_finite() { far } else { near }
        });
        Self { step, theta, delta }
    }

    pub fn at(&self, model: &M, rate: f64) -> M {
        let Some(delta) = &self.delta else {
            return placed(model, &values(&(self.step)(rate)));
        };
        let moved = |id: &ParamId, theta: &[f64]| -> Vec<f64> {
            let pairs = theta.iter().zip(&delta[id]);
            pairs.map(|(theta, delta)| theta - rate * delta).collect()
        };
        let weights = self.theta.iter();
        let weights = weights.map(|(id, theta)| (*id, moved(id, theta))).collect();
        placed(model, &weights)
    }

    pub fn start(&self) -> &HashMap<ParamId, Vec<f64>> {
        &self.theta
    }

    pub fn norm(&self) -> f64 {
        self.delta.as_ref().map_or(f64::NAN, length)
    }
}

fn difference(from: &Values, to: &Values, rate: f64) -> Values {
    let difference = |id: &ParamId, from: &[f64]| {
        let pairs = from.iter().zip(&to[id]);
        pairs.map(|(from, to)| (from - to) / rate).collect()
    };
    from.iter()
        .map(|(id, from)| (*id, difference(id, from)))
        .collect()
}

fn length(values: &Values) -> f64 {
    // In a fixed order, since sums in another order differ in their last digits.
    let mut squares: Vec<f64> = values
        .values()
        .flatten()
        .map(|value| value * value)
        .collect();
    squares.sort_by(f64::total_cmp);
    squares.iter().sum::<f64>().sqrt()
}

fn values<M: Module>(model: &M) -> Values {
    struct Read(Values);

    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.val().into_data().iter().collect();
            self.0.insert(param.id, values);
        }
    }

    let mut read = Read(Values::new());
    model.visit(&mut read);
    read.0
}

fn placed<M: Module>(model: &M, values: &Values) -> M {
    struct Place<'a>(&'a Values);

    impl ModuleMapper for Place<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(values) = self.0.get(&param.id).filter(|values| !values.is_empty()) else {
                return param;
            };
            param.map(|tensor| {
                let options = (&tensor.device(), tensor.dtype());
                let shape = tensor.dims();
                let data = match tensor.dtype() {
                    DType::F64 => TensorData::new(values.clone(), shape),
                    _ => {
                        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                        TensorData::new(values, shape)
                    }
                };
                Tensor::from_data(data, options)
            })
        }
    }

    model.clone().map(&mut Place(values))
}
