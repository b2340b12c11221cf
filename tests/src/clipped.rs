use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

/// Clips all tensors, including running statistics.
pub fn clipped<M: Module>(model: M) -> M {
    struct Clip;

    impl ModuleMapper for Clip {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let requires_grad = tensor.is_require_grad();
            let clipped = Tensor::from_inner(tensor.inner().clamp(-0.3, 0.3));
            let clipped = if requires_grad {
                clipped.require_grad()
            } else {
                clipped
            };
            Param::from_mapped_value(id, clipped, mapper)
        }
    }

    model.map(&mut Clip)
}
