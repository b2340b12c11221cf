use super::error::DirectionError;
use super::rates::GroupRatios;
use crate::params::{ParamTensors, Sums, copy_gradients, for_each, sizes, widened};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Tensor};
use std::collections::HashSet;
use std::rc::Rc;

/// For parts of fewer elements, time matters more than memory.
const PART: usize = 1 << 20;

/// An optimizer updates exactly the parameters whose gradients it gets. So a step comes in parts, on clones, and the
/// new state of each part (two moments for Adam) is dropped before the next.
#[derive(Clone)]
pub(crate) struct VirtualStep {
    optim: Box<ModuleOptimizer>,
    grads: Rc<GradientsParams>,
    ratios: GroupRatios,
    pub(super) has_16_bits: bool,
    /// At this rate, the step has all its digits.
    rate: f64,
}

/// Steps this much longer than 16-bit weights give the difference all its digits.
const FAR: f64 = 64.0;
/// The largest number of `f16` is 65504.
const LARGEST_STEP_OF_F16: f64 = 8192.0;
const LARGEST_STEP_OF_BF16: f64 = 1e30;
const LOOK_FARTHER: f64 = 1024.0;
const LOOKS: usize = 4;

impl VirtualStep {
    pub(crate) fn new<M: Module>(
        model: &M,
        optim: &ModuleOptimizer,
        grads: &GradientsParams,
        learning_rate: &ModuleLearningRate,
    ) -> Result<Self, DirectionError> {
        let mut step = Self {
            optim: Box::new(optim.clone()),
            grads: Rc::new(copy_gradients(model, grads, |_| true)),
            ratios: GroupRatios::new(model, learning_rate, grads)?,
            has_16_bits: false,
            rate: 1.0,
        };
        for_each(model, grads, |place| {
            step.has_16_bits |= matches!(place.weight().dtype(), DType::F16 | DType::BF16);
        });
        if step.has_16_bits {
            step.rate = step.rate_with_digits(model)?;
        }
        Ok(step)
    }

    /// A power of two, so that division by it is exact.
    pub(super) fn rate_for(&self, scale: f64) -> f64 {
        let scale = if scale.is_finite() { scale } else { 1.0 };
        scale.max(self.rate).log2().ceil().exp2()
    }

    fn rate_with_digits<M: Module>(&self, model: &M) -> Result<f64, DirectionError> {
        let mut rate = 1.0;
        for _ in 0..LOOKS {
            let moved = self.weights(model, rate);
            let (mut farther, mut limit) = (0.0_f64, f64::INFINITY);
            let mut failed = None;
            for_each(model, &self.grads, |place| {
                let Some(moved) = moved.get(&place.id) else {
                    return;
                };
                let largest = match place.weight().dtype() {
                    DType::F16 => LARGEST_STEP_OF_F16,
                    DType::BF16 => LARGEST_STEP_OF_BF16,
                    _ => return,
                };
                let theta = widened(place.weight());
                let step = theta.clone() - moved.clone();
                let mut sums = Sums::default();
                sums.push([(&theta, &theta), (&step, &step)]);
                match sums.read() {
                    Ok([weights, step]) if step > 0.0 && step.is_finite() => {
                        farther = farther.max((weights / step).sqrt());
                        limit = limit.min(largest / step.sqrt());
                    }
                    Ok(_) => {}
                    Err(error) => failed = Some(error),
                }
            });
            if let Some(error) = failed {
                return Err(DirectionError::Read(error));
            }
            if limit.is_finite() {
                let factor = (FAR * farther).max(1.0).min(limit);
                return Ok(rate * factor.log2().floor().exp2());
            }
            rate *= LOOK_FARTHER;
        }
        Ok(1.0)
    }

    pub(super) fn grads(&self) -> &GradientsParams {
        &self.grads
    }

    pub(super) fn learning_rate(&self) -> f64 {
        self.ratios.reference
    }

    pub(super) fn weights<M: Module>(&self, model: &M, learning_rate: f64) -> ParamTensors {
        self.weights_where(model, learning_rate, |_| true)
    }

    pub(super) fn weights_where<M: Module>(
        &self,
        model: &M,
        learning_rate: f64,
        moves: impl Fn(ParamId) -> bool,
    ) -> ParamTensors {
        let mut weights = ParamTensors::default();
        for part in self.parts(model, moves) {
            weights.extend(self.weights_of(model, learning_rate, &part));
        }
        weights
    }

    pub(super) fn weights_of<M: Module>(
        &self,
        model: &M,
        learning_rate: f64,
        part: &HashSet<ParamId>,
    ) -> ParamTensors {
        let model = with_autodiff(model.clone(), part);
        let grads = copy_gradients(&model, &self.grads, |id| part.contains(&id));
        let mut optim = (*self.optim).clone();
        let stepped = optim.step(self.ratios.at(learning_rate), model, grads);
        let mut weights = ParamTensors::default();
        for_each(&stepped, &self.grads, |place| {
            if part.contains(&place.id) {
                weights.insert(place.id, widened(place.weight()));
            }
        });
        weights
    }

    /// The largest come first: few stepped weights are then in memory beside the state of a large parameter.
    pub(super) fn parts<M: Module>(
        &self,
        model: &M,
        moves: impl Fn(ParamId) -> bool,
    ) -> Vec<HashSet<ParamId>> {
        let mut sizes = sizes(model, &self.grads);
        sizes.retain(|(id, _)| moves(*id));
        sizes.sort_by_key(|(_, elements)| std::cmp::Reverse(*elements));
        let mut parts: Vec<HashSet<ParamId>> = Vec::new();
        let mut room = 0;
        for (id, elements) in sizes {
            match parts.last_mut() {
                Some(part) if elements <= room => {
                    part.insert(id);
                }
                _ => {
                    parts.push(HashSet::from([id]));
                    room = PART;
                }
            }
            room = room.saturating_sub(elements);
        }
        parts
    }

    pub(crate) fn optimizer_after<M: Module>(&self, model: &M) -> ModuleOptimizer {
        let sizes = sizes(model, &self.grads).into_iter();
        let model = with_autodiff(model.clone(), &sizes.map(|(id, _)| id).collect());
        let grads = copy_gradients(&model, &self.grads, |_| true);
        let mut optim = (*self.optim).clone();
        let _ = optim.step(self.ratios.at(self.ratios.reference), model, grads);
        optim
    }
}

pub(crate) fn smallest<M: Module>(model: &M, grads: &GradientsParams) -> Option<ParamId> {
    let sizes = sizes(model, grads).into_iter();
    let smallest = sizes.min_by_key(|(_, elements)| *elements);
    smallest.map(|(id, _)| id)
}

pub(crate) fn after_step_of<M: Module>(
    id: ParamId,
    model: &M,
    optim: &ModuleOptimizer,
    learning_rate: &ModuleLearningRate,
    grads: &GradientsParams,
) -> M {
    let model = with_autodiff(model.clone(), &HashSet::from([id]));
    let grads = copy_gradients(&model, grads, |other| other == id);
    optim.clone().step(learning_rate.clone(), model, grads)
}

/// Burn's optimizers require autodiff; a constant joins no graph and no collective operation.
fn with_autodiff<M: Module>(model: M, part: &HashSet<ParamId>) -> M {
    struct WithAutodiff<'a>(&'a HashSet<ParamId>);

    impl ModuleMapper for WithAutodiff<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.0.contains(&param.id) {
                param.map(Tensor::autodiff)
            } else {
                param
            }
        }
    }

    model.map(&mut WithAutodiff(part))
}
