use crate::params::{ParamTensors, for_each};
use burn::module::{Module, ModuleMapper, Param, ParamGroup, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use std::collections::HashMap;

pub(super) struct Layout {
    spans: HashMap<ParamId, (usize, usize)>,
    pub(super) elements: usize,
}

impl Layout {
    pub(super) fn new<M: Module>(
        model: &M,
        grads: &GradientsParams,
        group: Option<&ParamGroup>,
    ) -> Self {
        let mut layout = Self {
            spans: HashMap::new(),
            elements: 0,
        };
        for_each(model, grads, |place| {
            if group.is_some_and(|group| !group.matches(&place.id, Some(place.path))) {
                return;
            }
            let span = (layout.elements, place.elements);
            layout.spans.insert(place.id, span);
            layout.elements += place.elements;
        });
        layout
    }

    pub(super) fn span(&self, id: ParamId) -> Option<(usize, usize)> {
        self.spans.get(&id).copied()
    }

    /// A missing parameter is 0.
    pub(super) fn flatten(
        &self,
        mut tensor: impl FnMut(ParamId) -> Option<Tensor<1>>,
        device: &Device,
    ) -> Tensor<1> {
        let mut spans: Vec<_> = self.spans.iter().collect();
        spans.sort_by_key(|(_, (first, _))| *first);
        let parts = spans.into_iter().map(|(id, (_, elements))| {
            tensor(*id).unwrap_or_else(|| Tensor::zeros([*elements], device))
        });
        Tensor::cat(parts.collect(), 0)
    }

    pub(super) fn gradients<M: Module>(
        &self,
        model: &M,
        grads: &GradientsParams,
        device: &Device,
    ) -> Tensor<1> {
        let mut tensors = ParamTensors::default();
        for_each(model, grads, |place| {
            tensors.insert(place.id, place.tensor());
        });
        self.flatten(|id| tensors.remove(&id), device)
    }

    pub(super) fn moved<M: Module>(&self, model: &M, offset: &Tensor<1>, is_tracked: bool) -> M {
        model.clone().map(&mut Mover {
            layout: self,
            offset,
            is_tracked,
        })
    }
}

struct Mover<'a> {
    layout: &'a Layout,
    offset: &'a Tensor<1>,
    is_tracked: bool,
}

impl ModuleMapper for Mover<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((first, elements)) = self.layout.span(param.id) else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let part = self.offset.clone().narrow(0, first, elements);
        let mut moved = tensor.clone() + part.reshape(tensor.shape());
        if self.is_tracked {
            moved = moved.autodiff().require_grad();
        }
        Param::from_mapped_value(id, moved, mapper)
    }
}
