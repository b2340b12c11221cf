use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Int, Tensor};

/// [`Module::valid`] flushes pending running statistics, which changes the model. So the view maps a clone without
/// autodiff, which shares them, and puts the original tensors back when dropped.
pub(crate) struct ValidationView<M: Module> {
    pub(crate) model: M,
    shared: GradientsParams,
}

impl<M: Module> ValidationView<M> {
    /// Nobody else may use the model while the view lives.
    pub(crate) fn new(model: &M) -> Self {
        let mut buffers = Buffers::default();
        model.visit(&mut buffers);
        if buffers.0.is_empty() {
            return Self::with_own_state(model);
        }
        let view = model.clone().map(&mut ToValidation);
        // A buffer of the original is shared if it lost its autodiff with the clone.
        let mut shared = Shared {
            buffers: buffers.0,
            shared: GradientsParams::new(),
        };
        model.visit(&mut shared);
        if shared.shared.is_empty() {
            return Self::with_own_state(model);
        }
        Self {
            model: view,
            shared: shared.shared,
        }
    }

    /// Flushes pending running statistics; for a model that other threads use.
    pub(crate) fn with_own_state(model: &M) -> Self {
        Self::of_validation(model.valid())
    }

    pub(crate) fn of_validation(model: M) -> Self {
        Self {
            model,
            shared: GradientsParams::new(),
        }
    }
}

impl<M: Module> Drop for ValidationView<M> {
    fn drop(&mut self) {
        if !self.shared.is_empty() {
            // Every clone shares the running statistics.
            self.model.clone().map(&mut PutBack(&self.shared));
        }
    }
}

#[derive(Default)]
struct Buffers(GradientsParams);

impl ModuleVisitor for Buffers {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_initialized() && !param.base().is_require_grad() && param.base().is_autodiff() {
            self.0.register(param.id, param.base());
        }
    }
}

struct ToValidation;

impl ModuleMapper for ToValidation {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Module::valid(&param)
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        Module::valid(&param)
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        Module::valid(&param)
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        Module::valid(&flag)
    }
}

struct Shared {
    buffers: GradientsParams,
    shared: GradientsParams,
}

impl ModuleVisitor for Shared {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(buffer) = self.buffers.get::<D>(param.id)
            && !param.base().is_autodiff()
        {
            self.shared.register(param.id, buffer);
        }
    }
}

struct PutBack<'a>(&'a GradientsParams);

impl ModuleMapper for PutBack<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.get::<D>(param.id) {
            Some(original) => Param::initialized(param.id, original),
            None => param,
        }
    }
}
