use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// A copy of the gradients of a model.
pub fn copied_gradients<M: Module>(model: &M, grads: &GradientsParams) -> GradientsParams {
    gradients_of(&ParamGroup::all(), model, grads)
}

/// A copy of the gradients of a group.
pub fn gradients_of<M: Module>(
    group: &ParamGroup,
    model: &M,
    grads: &GradientsParams,
) -> GradientsParams {
    struct Copy<'a> {
        group: &'a ParamGroup,
        path: Vec<String>,
        grads: &'a GradientsParams,
        copy: GradientsParams,
    }

    impl ModuleVisitor for Copy<'_> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_string());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            if self.group.matches(&param.id, Some(&path))
                && let Some(grad) = self.grads.get::<D>(param.id)
            {
                self.copy.register(param.id, grad);
            }
        }
    }

    let mut copy = Copy {
        group,
        path: Vec::new(),
        grads,
        copy: GradientsParams::new(),
    };
    model.visit(&mut copy);
    copy.copy
}
