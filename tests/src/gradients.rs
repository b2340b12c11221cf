use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::GradientsParams;
use burn::tensor::{FloatDType, Tensor, TensorData};

pub fn copied_gradients<M: Module>(model: &M, grads: &GradientsParams) -> GradientsParams {
    gradients_of(&ParamGroup::all(), model, grads)
}

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

pub fn mapped_gradients<M: Module>(
    model: &M,
    grads: &GradientsParams,
    change: impl FnMut(f64) -> f64,
) -> GradientsParams {
    struct Map<'a, F> {
        grads: &'a GradientsParams,
        mapped: GradientsParams,
        change: F,
    }

    impl<F: FnMut(f64) -> f64> ModuleVisitor for Map<'_, F> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(grad) = self.grads.get::<D>(param.id) else {
                return;
            };
            let (device, dtype) = (grad.device(), FloatDType::from(grad.dtype()));
            let shape = grad.dims();
            let values = grad.into_data();
            let values: Vec<f64> = values.iter::<f64>().map(&mut self.change).collect();
            let mapped = Tensor::<D>::from_data(TensorData::new(values, shape), &device);
            self.mapped.register(param.id, mapped.cast(dtype));
        }
    }

    let mut map = Map {
        grads,
        mapped: GradientsParams::new(),
        change,
    };
    model.visit(&mut map);
    map.mapped
}

/// All numbers of the gradients.
pub fn numbers<M: Module>(model: &M, grads: &GradientsParams) -> Vec<f64> {
    let mut numbers = Vec::new();
    mapped_gradients(model, grads, |value| {
        numbers.push(value);
        value
    });
    numbers
}
