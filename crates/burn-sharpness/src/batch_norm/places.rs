use crate::failure::Failure;
use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId, ParameterValue};
use burn::tensor::{Bool, Int, Tensor};
use std::any::Any;
use std::collections::{HashMap, VecDeque};

const BATCH_NORM: &str = "Struct:BatchNorm";

/// The fields that lead to a place, with their module types.
#[derive(Default)]
pub(super) struct Path(Vec<(String, String)>);

impl Path {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        self.0.push((name.to_string(), container.to_string()));
    }

    pub(super) fn exit(&mut self) {
        self.0.pop();
    }

    pub(super) fn is_in_batch_norm(&self) -> bool {
        let last = self.0.last();
        last.is_some_and(|(_, container)| container == BATCH_NORM)
    }

    fn is_running_statistic(&self) -> bool {
        let last = self.0.last();
        self.is_in_batch_norm() && last.is_some_and(|(name, _)| name.starts_with("running_"))
    }
}

pub(super) fn places<M: Module>(model: &M) -> Vec<(ParamId, bool)> {
    #[derive(Default)]
    struct Places(Vec<(ParamId, bool)>);

    impl ModuleVisitor for Places {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push((param.id, false));
        }

        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.0.push((param.id, false));
        }

        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            self.0.push((param.id, false));
        }

        fn visit_flag(&mut self, flag: &Param<Flag>) {
            self.0.push((flag.id, flag.is_enabled()));
        }
    }

    let mut places = Places::default();
    model.visit(&mut places);
    places.0
}

/// Two tensors for a parameter that the model holds twice.
#[derive(Default)]
pub(super) struct Tensors(HashMap<ParamId, VecDeque<Box<dyn Any>>>);

impl Tensors {
    pub(super) fn of<M: Module>(model: &M) -> Self {
        let mut tensors = Self::default();
        model.visit(&mut tensors);
        tensors
    }

    fn push<T: ParameterValue + 'static>(&mut self, param: &Param<T>) {
        if param.is_initialized() {
            let tensors = self.0.entry(param.id).or_default();
            tensors.push_back(Box::new(param.base()));
        }
    }

    pub(super) fn first<T: Clone + 'static>(&self, id: ParamId) -> Option<T> {
        self.0.get(&id)?.front()?.downcast_ref::<T>().cloned()
    }

    fn next<T: 'static>(&mut self, id: ParamId) -> Option<T> {
        let tensor = self.0.get_mut(&id)?.pop_front()?;
        tensor.downcast::<T>().ok().map(|tensor| *tensor)
    }

    pub(super) fn differing<M: Module>(&self, model: &M) -> Result<Vec<ParamId>, Failure> {
        struct Compare<'a> {
            tensors: &'a Tensors,
            differing: Result<Vec<ParamId>, Failure>,
        }

        impl ModuleVisitor for Compare<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if !param.is_initialized() || param.base().is_require_grad() {
                    return;
                }
                let (Some(here), Ok(differing)) = (
                    self.tensors.first::<Tensor<D>>(param.id),
                    &mut self.differing,
                ) else {
                    return;
                };
                let read = |tensor: Tensor<D>| tensor.inner().try_into_data();
                match (read(here), read(param.base())) {
                    (Ok(here), Ok(there)) if here == there => {}
                    (Ok(_), Ok(_)) => differing.push(param.id),
                    (Err(error), _) | (_, Err(error)) => {
                        self.differing = Err(Failure::RunningStatistics(error.to_string()));
                    }
                }
            }
        }

        let mut compare = Compare {
            tensors: self,
            differing: Ok(Vec::new()),
        };
        model.visit(&mut compare);
        compare.differing
    }
}

impl ModuleVisitor for Tensors {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.push(param);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.push(param);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.push(param);
    }
}

#[derive(Default)]
pub(super) struct Fill {
    pub(super) tensors: Tensors,
    pub(super) hides_running: bool,
    pub(super) lifts: bool,
    pub(super) path: Path,
    pub(super) trains: bool,
}

impl ModuleMapper for Fill {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(tensor) = self.tensors.next::<Tensor<D>>(param.id) else {
            return param;
        };
        let is_hidden = self.hides_running && self.trains && self.path.is_running_statistic();
        let tensor = if is_hidden {
            tensor.full_like(f32::NAN)
        } else {
            tensor
        };
        let tensor = if self.lifts {
            tensor.autodiff()
        } else {
            tensor
        };
        let (id, _, mapper) = param.consume();
        Param::from_mapped_value(id, tensor, mapper)
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        match self.tensors.next::<Tensor<D, Int>>(param.id) {
            Some(tensor) => param.map(|_| tensor),
            None => param,
        }
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        match self.tensors.next::<Tensor<D, Bool>>(param.id) {
            Some(tensor) => param.map(|_| tensor),
            None => param,
        }
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        if !self.path.is_in_batch_norm() {
            return flag;
        }
        // Restore the flag from before validation mode; it comes before the running statistics.
        let flag = Module::train(flag);
        self.trains = flag.is_enabled();
        flag
    }
}

pub(super) struct Strip;

impl ModuleMapper for Strip {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_initialized() {
            return param;
        }
        param.map(|tensor| Tensor::zeros([1; D], &tensor.device()))
    }
}

pub(super) struct Rewind<'a> {
    pub(super) tensors: &'a Tensors,
    pub(super) ids: &'a [ParamId],
    pub(super) path: Path,
}

impl ModuleMapper for Rewind<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.ids.contains(&param.id) {
            return param;
        }
        match self.tensors.first::<Tensor<D>>(param.id) {
            Some(tensor) => Param::initialized(param.id, tensor),
            None => param,
        }
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        if self.path.is_in_batch_norm() {
            flag
        } else {
            Module::valid(&flag)
        }
    }
}
