use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use std::collections::HashMap;

/// Where each parameter that has a gradient lies in one long vector.
pub(super) struct Layout {
    /// The first element and the number of elements.
    spans: HashMap<ParamId, (usize, usize)>,
    elements: usize,
}

impl Layout {
    /// The parameters of the model that have a gradient.
    pub(super) fn new<M: Module>(model: &M, grads: &GradientsParams) -> Self {
        struct Spans<'a> {
            grads: &'a GradientsParams,
            layout: Layout,
        }

        impl ModuleVisitor for Spans<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                // One that occurs twice lies where it occurred first.
                let is_new = !self.layout.spans.contains_key(&param.id);
                if is_new && self.grads.get::<D>(param.id).is_some() {
                    let elements = param.base().shape().num_elements();
                    let span = (self.layout.elements, elements);
                    self.layout.spans.insert(param.id, span);
                    self.layout.elements += elements;
                }
            }
        }

        let mut spans = Spans {
            grads,
            layout: Self {
                spans: HashMap::new(),
                elements: 0,
            },
        };
        model.visit(&mut spans);
        spans.layout
    }

    /// The number of elements.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    pub(super) fn span(&self, id: ParamId) -> Option<(usize, usize)> {
        self.spans.get(&id).copied()
    }

    /// What `of` gives for each parameter, as one vector. A parameter without it is 0.
    fn collect<M: Module>(&self, model: &M, of: Source<'_>) -> Tensor<1> {
        struct Collector<'a> {
            layout: &'a Layout,
            of: Source<'a>,
            parts: Vec<(usize, Tensor<1>)>,
        }

        impl ModuleVisitor for Collector<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let Some((first, elements)) = self.layout.span(param.id) else {
                    return;
                };
                if self.parts.iter().any(|(other, _)| *other == first) {
                    return;
                }
                let value = match self.of {
                    Source::Weights => Some(param.base()),
                    Source::Gradients(grads) => grads.get::<D>(param.id),
                };
                let part = match value {
                    Some(value) => value.inner().reshape([elements]),
                    None => Tensor::zeros([elements], &param.base().inner().device()),
                };
                self.parts.push((first, part));
            }
        }

        let mut collector = Collector {
            layout: self,
            of,
            parts: Vec::new(),
        };
        model.visit(&mut collector);
        let mut parts = collector.parts;
        parts.sort_by_key(|(first, _)| *first);
        Tensor::cat(parts.into_iter().map(|(_, part)| part).collect(), 0)
    }

    /// The gradients as one vector.
    pub(super) fn gradients<M: Module>(&self, model: &M, grads: &GradientsParams) -> Tensor<1> {
        self.collect(model, Source::Gradients(grads))
    }

    /// The weights as one vector.
    pub(super) fn weights<M: Module>(&self, model: &M) -> Tensor<1> {
        self.collect(model, Source::Weights)
    }

    /// The model at θ + offset, with autodiff for the parameters that move, from a model without.
    pub(super) fn moved<M: Module>(&self, model: M, offset: &Tensor<1>) -> M {
        struct Mover<'a> {
            layout: &'a Layout,
            offset: &'a Tensor<1>,
        }

        impl ModuleMapper for Mover<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let Some((first, elements)) = self.layout.span(param.id) else {
                    return param;
                };
                let (id, tensor, mapper) = param.consume();
                let part = self.offset.clone().narrow(0, first, elements);
                let moved = tensor.clone() + part.reshape(tensor.shape());
                Param::from_mapped_value(id, moved.autodiff().require_grad(), mapper)
            }
        }

        model.map(&mut Mover {
            layout: self,
            offset,
        })
    }
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Weights,
    Gradients(&'a GradientsParams),
}
