use super::error::DirectionError;
use super::rates::GroupRatios;
use crate::params::{ParamTensors, copy_gradients, for_each};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use std::collections::HashSet;
use std::rc::Rc;

/// The elements of one part of a virtual step, at least: below that, memory does not matter and time
/// does.
const PART: usize = 1 << 22;

/// Steps that an optimizer could make from a model and does not make: the optimizer is cloned, and
/// both it and the model stay as they are.
///
/// A step updates exactly the parameters whose gradients it is given. So it is made in parts, a few
/// parameters at a time, and the new state that the optimizer makes for them (two moments for Adam) is
/// dropped before the next part.
#[derive(Clone)]
pub(crate) struct VirtualStep {
    optim: Box<ModuleOptimizer>,
    grads: Rc<GradientsParams>,
    ratios: GroupRatios,
}

impl VirtualStep {
    pub(super) fn new<M: Module>(
        model: &M,
        optim: &ModuleOptimizer,
        grads: &GradientsParams,
        learning_rate: &ModuleLearningRate,
    ) -> Result<Self, DirectionError> {
        Ok(Self {
            optim: Box::new(optim.clone()),
            grads: Rc::new(copy_gradients(model, grads, |_| true)),
            ratios: GroupRatios::new(model, learning_rate, grads)?,
        })
    }

    pub(super) fn grads(&self) -> &GradientsParams {
        &self.grads
    }

    /// The learning rate of the real step.
    pub(super) fn learning_rate(&self) -> f64 {
        self.ratios.reference()
    }

    /// The weights after a step at this learning rate, from a model free of autodiff.
    pub(super) fn weights<M: Module>(&self, model: &M, learning_rate: f64) -> ParamTensors {
        let mut weights = ParamTensors::default();
        for part in self.parts(model) {
            weights.extend(self.weights_of(model, learning_rate, &part));
        }
        weights
    }

    /// The same of a part of the parameters.
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
                weights.insert(place.id, place.weight());
            }
        });
        weights
    }

    /// The parameters in parts, the largest first: the state of a large parameter is made while few
    /// stepped weights are held.
    pub(super) fn parts<M: Module>(&self, model: &M) -> Vec<HashSet<ParamId>> {
        let mut sizes = Vec::new();
        for_each(model, &self.grads, |place| {
            sizes.push((place.elements, place.id));
        });
        sizes.sort_by_key(|(elements, _)| std::cmp::Reverse(*elements));
        let mut parts: Vec<HashSet<ParamId>> = Vec::new();
        let mut room = 0;
        for (elements, id) in sizes {
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

    /// The optimizer after a step at the rates of the real one.
    pub(crate) fn optimizer_after<M: Module>(&self, model: &M) -> ModuleOptimizer {
        let all: HashSet<ParamId> = self.parts(model).into_iter().flatten().collect();
        let model = with_autodiff(model.clone(), &all);
        let grads = copy_gradients(&model, &self.grads, |_| true);
        let mut optim = (*self.optim).clone();
        let _ = optim.step(self.ratios.at(self.ratios.reference()), model, grads);
        optim
    }
}

/// Burn's optimizers ask each parameter for its autodiff state, so it must have one; as a constant it
/// takes part in no graph and in no collective operation.
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
