use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// A copy of the gradients of a model.
pub fn copied_gradients<M: Module>(model: &M, grads: &GradientsParams) -> GradientsParams {
    struct Copy<'a> {
        grads: &'a GradientsParams,
        copy: GradientsParams,
    }

    impl ModuleVisitor for Copy<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.grads.get::<D>(param.id) {
                self.copy.register(param.id, grad);
            }
        }
    }

    let mut copy = Copy {
        grads,
        copy: GradientsParams::new(),
    };
    model.visit(&mut copy);
    copy.copy
}
