//! Checks that a hand-written loop calls the probe at every step, by the weights of one small parameter.

use crate::direction::smallest;
use crate::failure::guarded;
use crate::params::{ReadError, weights_of};
use burn::module::{Module, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

const LARGEST: usize = 1 << 16;
/// The largest distance from the step's end, as a share of the step.
const THERE: f64 = 1e-3;
/// The smallest distance that shows more than one step, in steps.
const FARTHER: f64 = 1.5;
const STRIKES: u32 = 3;
const LOOKS: u32 = 16;

const STEPS_BETWEEN: &str = "between a call of `measure` and the next the weights moved farther than one step takes them: call it at every step, with what this step uses; it counts the calls, and measures at those that `with_every` names, so that one in 25 steps is measured if it is called at every fifth with `with_every(5)`";
const TWO_MODELS: &str = "`measure` was called with one model and then with another: a probe measures one; make a probe for each model, with a folder of its own";

#[derive(Default)]
pub(crate) struct CallWatch {
    expected: Option<Expected>,
    looks: u32,
    strikes: u32,
    is_settled: bool,
}

struct Expected {
    id: ParamId,
    before: Tensor<1>,
    after: Tensor<1>,
}

impl CallWatch {
    pub(crate) fn note<M: Module>(&mut self, model: &M) -> Option<&'static str> {
        let id = self.wanted()?;
        let now = guarded("a look at the weights", || Ok(weights_of(model, id)));
        self.note_call(now.ok()?)
    }

    pub(crate) fn expect_step<M: Module>(
        &mut self,
        model: &M,
        grads: &GradientsParams,
        after: impl FnOnce(ParamId) -> Option<Tensor<1>>,
    ) {
        if !self.is_curious() {
            return;
        }
        let expected = guarded("the optimizer", || {
            Ok(smallest(model, grads).and_then(|id| {
                Some(Expected {
                    id,
                    before: weights_of(model, id)?,
                    after: after(id)?,
                })
            }))
        });
        self.expect(expected.ok().flatten());
    }

    fn is_curious(&self) -> bool {
        !self.is_settled && self.expected.is_none()
    }

    fn expect(&mut self, expected: Option<Expected>) {
        let small = |expected: &Expected| expected.before.shape().num_elements() <= LARGEST;
        self.expected = expected.filter(small);
        self.is_settled |= self.expected.is_none();
    }

    pub(crate) fn forget(&mut self) {
        self.expected = None;
    }

    fn wanted(&self) -> Option<ParamId> {
        self.expected.as_ref().map(|expected| expected.id)
    }

    fn note_call(&mut self, now: Option<Tensor<1>>) -> Option<&'static str> {
        let expected = self.expected.take()?;
        let Some(now) = now else {
            self.is_settled = true;
            return Some(TWO_MODELS);
        };
        let distances = expected.distances(now);
        self.looks += 1;
        let Ok([step, off, moved]) = distances else {
            self.is_settled = true;
            return None;
        };
        if step > 0.0 && off <= THERE * step {
            self.is_settled = true;
            return None;
        }
        if step > 0.0 && moved >= FARTHER * step {
            self.strikes += 1;
        } else {
            self.strikes = 0;
        }
        self.is_settled = self.strikes == STRIKES || self.looks == LOOKS;
        (self.strikes == STRIKES).then_some(STEPS_BETWEEN)
    }
}

impl Expected {
    /// The length of the step, the distance from its end to the weights now, and the distance they have moved.
    fn distances(self, now: Tensor<1>) -> Result<[f64; 3], ReadError> {
        let read = |tensor: Tensor<1>| -> Result<Vec<f64>, ReadError> {
            let data = tensor.try_into_data().map_err(|error| error.to_string())?;
            Ok(data.iter().collect())
        };
        let (before, after, now) = (read(self.before)?, read(self.after)?, read(now)?);
        let distance = |a: &[f64], b: &[f64]| {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        Ok([(&before, &after), (&now, &after), (&now, &before)].map(|(a, b)| distance(a, b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn at(value: f32) -> Tensor<1> {
        Tensor::from_floats([value, 1.0], &Device::flex())
    }

    fn step_of(id: ParamId) -> Expected {
        let (before, after) = (at(0.0), at(1.0));
        Expected { id, before, after }
    }

    fn told(calls: &[f32]) -> Vec<bool> {
        let mut watch = CallWatch::default();
        let id = ParamId::new();
        let tell = |now: &f32| {
            if watch.is_curious() {
                watch.expect(Some(step_of(id)));
            }
            watch.note_call(Some(at(*now))).is_some()
        };
        calls.iter().map(tell).collect()
    }

    #[test]
    fn weights_that_move_farther_than_the_step_three_times_are_told_once() {
        let of_five_steps = [5.0, 3.0, 4.0, 5.0, 5.0];
        assert_eq!(told(&of_five_steps), [false, false, true, false, false]);
    }

    #[test]
    fn a_loop_that_calls_at_every_step_is_asked_no_more() {
        assert_eq!(told(&[1.0, 5.0, 5.0, 5.0, 5.0]), [false; 5]);
    }

    #[test]
    fn weights_that_are_clipped_averaged_or_stay_are_no_reason() {
        assert_eq!(told(&[0.4; 20]), [false; 20]);
        assert_eq!(told(&[0.0; 20]), [false; 20]);
        assert_eq!(told(&[5.0, 0.5, 5.0, 5.0, 1.2, 5.0]), [false; 6]);
    }

    #[test]
    fn another_model_is_told() {
        let mut watch = CallWatch::default();
        let id = ParamId::new();
        watch.expect(Some(step_of(id)));
        assert_eq!(watch.wanted(), Some(id));
        assert_eq!(watch.note_call(None), Some(TWO_MODELS));
        assert!(!watch.is_curious());
    }
}
