use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsParams, MultiGradientsParams};
use burn::tensor::{DType, Device, Tensor};
use std::collections::{HashMap, HashSet};

pub(crate) type ReadError = String;

/// Flattened tensors by parameter.
pub(crate) type ParamTensors = HashMap<ParamId, Tensor<1>>;

pub(crate) struct Place<'a> {
    pub(crate) id: ParamId,
    pub(crate) path: &'a str,
    pub(crate) elements: usize,
    weight: &'a dyn Fn() -> Tensor<1>,
    tensor: &'a dyn Fn() -> Tensor<1>,
}

impl Place<'_> {
    pub(crate) fn weight(&self) -> Tensor<1> {
        (self.weight)()
    }

    pub(crate) fn tensor(&self) -> Tensor<1> {
        (self.tensor)()
    }
}

/// A parameter that the model holds twice counts at its first occurrence, as in burn's optimizers.
pub(crate) fn for_each<M: Module>(
    model: &M,
    tensors: &GradientsParams,
    visit: impl FnMut(Place<'_>),
) {
    struct Walk<'a, F> {
        tensors: &'a GradientsParams,
        path: Vec<String>,
        seen: HashSet<ParamId>,
        visit: F,
    }

    impl<F: FnMut(Place<'_>)> ModuleVisitor for Walk<'_, F> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_string());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(tensor) = self.tensors.get::<D>(param.id)
                && self.seen.insert(param.id)
            {
                (self.visit)(Place {
                    id: param.id,
                    path: &self.path.join("."),
                    elements: tensor.shape().num_elements(),
                    weight: &|| flatten(param.base().inner()),
                    tensor: &|| flatten(tensor.clone().inner()),
                });
            }
        }
    }

    model.visit(&mut Walk {
        tensors,
        path: Vec::new(),
        seen: HashSet::new(),
        visit,
    });
}

/// Returns each parameter that has a gradient, with the number of its elements.
pub(crate) fn sizes<M: Module>(model: &M, grads: &GradientsParams) -> Vec<(ParamId, usize)> {
    let mut sizes = Vec::new();
    for_each(model, grads, |place| sizes.push((place.id, place.elements)));
    sizes
}

pub(crate) fn home_of<M: Module>(model: &M) -> Device {
    model.devices().into_iter().next().unwrap_or_default()
}

/// Calls a function with the model on a device, where its batches are.
pub(crate) fn on_device<M: Module, T>(model: &M, device: &Device, call: impl FnOnce(&M) -> T) -> T {
    if home_of(model) == *device {
        call(model)
    } else {
        call(&model.clone().to_device(&device.clone().inner()))
    }
}

pub(crate) fn weights_of<M: Module>(model: &M, id: ParamId) -> Option<Tensor<1>> {
    struct Find {
        id: ParamId,
        found: Option<Tensor<1>>,
    }

    impl ModuleVisitor for Find {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.id == self.id && self.found.is_none() {
                self.found = Some(flatten(param.base().inner()));
            }
        }
    }

    let mut find = Find { id, found: None };
    model.visit(&mut find);
    find.found
}

/// Differences of two 16-bit numbers have hardly any digits left.
pub(crate) fn widened(tensor: Tensor<1>) -> Tensor<1> {
    match tensor.dtype() {
        DType::F16 | DType::BF16 => tensor.cast(DType::F32),
        _ => tensor,
    }
}

fn flatten<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let elements = tensor.shape().num_elements();
    tensor.reshape([elements])
}

/// `weight` maps a parameter's id and flattened value to its new value, rounded here to the parameter's type.
pub(crate) fn replace_weights<M: Module>(
    model: M,
    weight: impl FnMut(ParamId, &dyn Fn() -> Tensor<1>) -> Option<Tensor<1>>,
) -> M {
    struct Replace<F> {
        seen: HashSet<ParamId>,
        weight: F,
    }

    impl<F> ModuleMapper for Replace<F>
    where
        F: FnMut(ParamId, &dyn Fn() -> Tensor<1>) -> Option<Tensor<1>>,
    {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.seen.contains(&param.id) {
                return param;
            }
            let value = || flatten(param.base().inner());
            let Some(weight) = (self.weight)(param.id, &value) else {
                return param;
            };
            self.seen.insert(param.id);
            let (id, old, mapper) = param.consume();
            let weight = if weight.dtype() == old.dtype() {
                weight
            } else {
                weight.cast(old.dtype())
            };
            Param::from_mapped_value(id, weight.reshape(old.shape()), mapper)
        }
    }

    model.map(&mut Replace {
        seen: HashSet::new(),
        weight,
    })
}

pub(crate) fn copy_gradients<M: Module>(
    model: &M,
    grads: &GradientsParams,
    keep: impl Fn(ParamId) -> bool,
) -> GradientsParams {
    gather(model, vec![grads], None, keep)
}

pub(crate) fn sum_gradients<M: Module>(
    model: &M,
    grads: &MultiGradientsParams,
    device: &Device,
) -> GradientsParams {
    let all = grads.grads.iter().map(|(grads, _)| grads).collect();
    gather(model, all, Some(device), |_| true)
}

fn gather<M: Module>(
    model: &M,
    all: Vec<&GradientsParams>,
    device: Option<&Device>,
    keep: impl Fn(ParamId) -> bool,
) -> GradientsParams {
    struct Gather<'a, F> {
        all: Vec<&'a GradientsParams>,
        device: Option<&'a Device>,
        keep: F,
        sums: GradientsParams,
    }

    impl<F: Fn(ParamId) -> bool> ModuleVisitor for Gather<'_, F> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let all = self.all.iter().filter(|_| (self.keep)(param.id));
            let sum = all
                .filter_map(|grads| grads.get::<D>(param.id))
                .map(|grad| match self.device {
                    Some(device) => grad.to_device(device),
                    None => grad,
                })
                .reduce(|sum, grad| sum + grad);
            if let Some(sum) = sum {
                self.sums.register(param.id, sum);
            }
        }
    }

    let mut gather = Gather {
        all,
        device,
        keep,
        sums: GradientsParams::new(),
    };
    model.visit(&mut gather);
    gather.sums
}

/// Temporaries of fewer elements fragment the heap of glibc: on `tch`, a measurement then held 2.6 copies of the
/// weights instead of 1.
const PIECE: usize = 1 << 23;

#[derive(Default)]
pub(crate) struct Sums<const N: usize>(Vec<[Tensor<1>; N]>);

impl<const N: usize> Sums<N> {
    pub(crate) fn push(&mut self, products: [(&Tensor<1>, &Tensor<1>); N]) {
        // In half precision the sum would lose digits or overflow.
        self.0
            .push(products.map(|(a, b)| (widened(a.clone()) * widened(b.clone())).sum()));
    }

    pub(crate) fn push_pieces<const K: usize>(
        &mut self,
        tensors: [&Tensor<1>; K],
        products: impl Fn([Tensor<1>; K]) -> [(Tensor<1>, Tensor<1>); N],
    ) {
        let elements = tensors
            .first()
            .map_or(0, |first| first.shape().num_elements());
        for start in (0..elements).step_by(PIECE) {
            let length = PIECE.min(elements - start);
            let pieces = tensors.map(|tensor| match length == elements {
                true => tensor.clone(),
                false => tensor.clone().narrow(0, start, length),
            });
            let made = products(pieces);
            self.push(made.each_ref().map(|(a, b)| (a, b)));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn read(self) -> Result<[f64; N], ReadError> {
        let totals = Self::read_each(vec![((), self)])?;
        Ok(totals.first().map_or([0.0; N], |(_, totals)| *totals))
    }

    pub(crate) fn read_each<K>(all: Vec<(K, Self)>) -> Result<Vec<(K, [f64; N])>, ReadError> {
        let (mut totals, mut owners, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        for (owner, (key, Self(products))) in all.into_iter().enumerate() {
            totals.push((key, [0.0; N]));
            for sum in products.into_iter().flatten() {
                owners.push(owner);
                sums.push(sum.cast(DType::F32));
            }
        }
        if sums.is_empty() {
            return Ok(totals);
        }
        let values = Tensor::cat(sums, 0)
            .try_into_data()
            .map_err(|error| error.to_string())?;
        for (index, (value, owner)) in values.iter::<f64>().zip(owners).enumerate() {
            totals[owner].1[index % N] += value;
        }
        Ok(totals)
    }
}

pub(crate) type SquaredNorm = Sums<1>;

pub(crate) fn squared_norm<M: Module>(model: &M, grads: &GradientsParams) -> SquaredNorm {
    let mut sums: SquaredNorm = Sums::default();
    for_each(model, grads, |place| {
        sums.push_pieces([&place.tensor()], |[grad]| {
            let grad = widened(grad);
            [(grad.clone(), grad)]
        });
    });
    if let Some(device) = sums.0.first().map(|[first]| first.device()) {
        let parts = sums.0.into_iter();
        sums.0 = parts.map(|[part]| [part.to_device(&device)]).collect();
    }
    sums
}

pub(crate) fn dot(a: &Tensor<1>, b: &Tensor<1>) -> Result<f64, ReadError> {
    let sum = (a.clone() * b.clone()).sum();
    sum.try_into_scalar::<f64>()
        .map_err(|error| error.to_string())
}
