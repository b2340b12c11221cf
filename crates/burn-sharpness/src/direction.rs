use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::tensor::{DType, Device, Tensor};
use thiserror::Error;

/// The relative difference of two virtual steps, made at two learning rates, above which the
/// optimizer's step is not linear in the learning rate. Rounding stays far below it.
const LINEARITY_TOLERANCE: f64 = 1e-3;

/// The update direction Δθ of an optimizer's next step θ ← θ − ηΔθ, and the line θ − ηΔθ.
///
/// Δθ comes from one virtual step of a clone of the optimizer, so it holds whatever the real step
/// would: momentum, preconditioning, gradient clipping, decoupled weight decay, and the ratios
/// between the learning rates of parameter groups. The optimizer and the model are left as they are.
///
/// The learning rate η is that of the default group (of the fastest one where the default is 0);
/// other groups move in proportion. Where every rate is 0, as at the start of a warmup, all groups
/// are taken to share one.
///
/// Only parameters with a gradient move.
pub struct UpdateDirection {
    line: Line,
    learning_rate: f64,
    slope: f64,
    norm: f64,
}

enum Line {
    /// The step is linear in η: Δθ for each parameter that has a gradient.
    Linear(GradientsParams),
    /// It is not: the optimizer makes its step afresh at each η.
    Stepped {
        optim: Box<ModuleOptimizer>,
        grads: GradientsParams,
        ratios: GroupRatios,
    },
}

/// Why there is no update direction.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DirectionError {
    /// No parameter of the model has a gradient.
    #[error(
        "no parameter of the model has a gradient: pass the gradients of this very model, made by GradientsParams::from_grads"
    )]
    NoGradient,
    /// A learning rate is negative, NaN or infinite.
    #[error(
        "the learning rate of parameter {parameter} is {learning_rate}, not a number from 0 up"
    )]
    LearningRate {
        /// The path of the parameter.
        parameter: String,
        /// Its learning rate.
        learning_rate: f64,
    },
    /// The optimizer's step is not linear in the learning rate.
    #[error(
        "the optimizer's step is not linear in the learning rate, so that it cannot be split into groups"
    )]
    NotLinear,
    /// The slope could not be read from the device.
    #[error("the update direction could not be read from the device: {0}")]
    Read(String),
}

/// Whether the optimizer's step is linear in the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linearity {
    /// Compare two virtual steps, and find out. Costs a second virtual step.
    Check,
    /// It is: SGD, Adam, AdamW and most others.
    Linear,
    /// It is not, as with a proximal weight decay: step afresh at each learning rate.
    Nonlinear,
}

impl UpdateDirection {
    /// The direction of the step that `optim` would make from `model`, which must be free of
    /// autodiff (see [`Module::valid`]).
    ///
    /// `scale` is the largest learning rate at which the line is likely to be evaluated: the virtual
    /// step is taken there or at 1, whichever is larger, so that the subtraction of two weights
    /// leaves Δθ its digits.
    ///
    /// # Errors
    ///
    /// Without a gradient, or with a learning rate that is no rate, there is no direction.
    pub fn new<M: Module>(
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
        scale: f64,
        linearity: Linearity,
    ) -> Result<Self, DirectionError> {
        let ratios = GroupRatios::new(model, learning_rate, grads)?;
        let virtual_rate = virtual_learning_rate(scale);
        let delta_at = |learning_rate: f64| {
            let stepped = step(model, optim, grads, &ratios, learning_rate);
            Delta::new(model, stepped, grads, learning_rate)
        };

        let linear = match linearity {
            Linearity::Linear => Some(delta_at(virtual_rate)?),
            Linearity::Nonlinear => None,
            Linearity::Check => {
                let delta = delta_at(virtual_rate)?;
                let quarter = delta_at(virtual_rate / 4.0)?;
                delta.agrees_with(&quarter, model)?.then_some(delta)
            }
        };
        let learning_rate = ratios.reference;
        let (line, slope, norm) = match linear {
            Some(delta) => (Line::Linear(delta.tensors), delta.slope, delta.norm),
            None => {
                // Of a curved path only the start has a direction: take it at the rate in use.
                let start = if learning_rate > 0.0 {
                    learning_rate
                } else {
                    1e-3
                };
                let delta = delta_at(start)?;
                let line = Line::Stepped {
                    optim: Box::new(optim.clone()),
                    grads: copy_gradients(model, grads),
                    ratios,
                };
                (line, delta.slope, delta.norm)
            }
        };
        Ok(Self {
            line,
            learning_rate,
            slope,
            norm,
        })
    }

    /// The learning rate η of the real step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// The slope g·Δθ: the loss falls at this rate at η = 0.
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// The Euclidean norm ‖Δθ‖ over all parameters.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// Δθ for each parameter that has a gradient, where the step is linear in η.
    pub fn delta(&self) -> Option<&GradientsParams> {
        match &self.line {
            Line::Linear(delta) => Some(delta),
            Line::Stepped { .. } => None,
        }
    }

    /// Whether the optimizer's step is linear in η.
    pub fn is_linear(&self) -> bool {
        matches!(self.line, Line::Linear(_))
    }

    /// The direction that moves the parameters of a group only, and holds all others.
    ///
    /// # Errors
    ///
    /// If the group has no parameter with a gradient, or the step is not linear in η.
    pub fn restricted_to<M: Module>(
        &self,
        group: &ParamGroup,
        model: &M,
        grads: &GradientsParams,
    ) -> Result<Self, DirectionError> {
        struct Restriction<'a> {
            group: &'a ParamGroup,
            delta: &'a GradientsParams,
            grads: &'a GradientsParams,
            path: Vec<String>,
            kept: GradientsParams,
            products: Vec<[Tensor<1>; 2]>,
        }

        impl ModuleVisitor for Restriction<'_> {
            fn enter_module(&mut self, name: &str, _container_type: &str) {
                self.path.push(name.to_string());
            }

            fn exit_module(&mut self, _name: &str, _container_type: &str) {
                self.path.pop();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let id = param.id;
                let (Some(delta), Some(grad)) = (self.delta.get::<D>(id), self.grads.get::<D>(id))
                else {
                    return;
                };
                if self.group.matches(&id, Some(&self.path.join("."))) {
                    self.products.push([
                        sum_of_products(grad.inner(), delta.clone()),
                        sum_of_products(delta.clone(), delta.clone()),
                    ]);
                    self.kept.register(id, delta);
                }
            }
        }

        let delta = self.delta().ok_or(DirectionError::NotLinear)?;
        let mut restriction = Restriction {
            group,
            delta,
            grads,
            path: Vec::new(),
            kept: GradientsParams::new(),
            products: Vec::new(),
        };
        model.visit(&mut restriction);
        if restriction.products.is_empty() {
            return Err(DirectionError::NoGradient);
        }
        let [slope, squared_norm] = read_sums(restriction.products)?;
        Ok(Self {
            line: Line::Linear(restriction.kept),
            learning_rate: self.learning_rate,
            slope,
            norm: squared_norm.sqrt(),
        })
    }

    /// The model at θ − ηΔθ, from the model at θ that the direction was made of.
    pub fn apply<M: Module>(&self, model: M, learning_rate: f64) -> M {
        match &self.line {
            Line::Linear(delta) => model.map(&mut Mover {
                delta,
                learning_rate,
            }),
            Line::Stepped {
                optim,
                grads,
                ratios,
            } => step(&model, optim, grads, ratios, learning_rate).valid(),
        }
    }
}

/// A power of two, so that the division by it is exact.
fn virtual_learning_rate(scale: f64) -> f64 {
    let scale = if scale.is_finite() {
        scale.max(1.0)
    } else {
        1.0
    };
    scale.log2().ceil().exp2()
}

/// One step of a clone of the optimizer.
fn step<M: Module>(
    model: &M,
    optim: &ModuleOptimizer,
    grads: &GradientsParams,
    ratios: &GroupRatios,
    learning_rate: f64,
) -> M {
    let (model, _) = virtual_step(model, optim, grads, ratios.at(learning_rate));
    model
}

/// The model and the optimizer as they would be after a step.
pub(crate) fn virtual_step<M: Module>(
    model: &M,
    optim: &ModuleOptimizer,
    grads: &GradientsParams,
    learning_rate: ModuleLearningRate,
) -> (M, ModuleOptimizer) {
    /// burn's optimizers ask each parameter for its autodiff state, so it must have one; as a
    /// constant it takes part in no graph and in no collective operation.
    struct WithAutodiff;

    impl ModuleMapper for WithAutodiff {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(Tensor::autodiff)
        }
    }

    let model = model.clone().map(&mut WithAutodiff);
    let grads = copy_gradients(&model, grads);
    let mut optim = optim.clone();
    let model = optim.step(learning_rate, model, grads);
    (model, optim)
}

/// The learning rate of each parameter group over the reference rate.
struct GroupRatios {
    reference: f64,
    default: f64,
    others: Vec<(f64, Vec<ParamId>)>,
}

impl GroupRatios {
    fn new<M: Module>(
        model: &M,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> Result<Self, DirectionError> {
        let mut rates = LearningRates {
            learning_rate,
            grads,
            path: Vec::new(),
            found: Vec::new(),
            refused: None,
        };
        model.visit(&mut rates);
        if let Some(refused) = rates.refused {
            return Err(refused);
        }
        let fastest = rates.found.iter().map(|(_, rate)| *rate).reduce(f64::max);
        let fastest = fastest.ok_or(DirectionError::NoGradient)?;
        let base = learning_rate.base();
        let reference = if base > 0.0 { base } else { fastest };

        let ratio = |rate: f64| {
            if reference > 0.0 {
                rate / reference
            } else {
                1.0
            }
        };
        let default = if base > 0.0 { 1.0 } else { ratio(fastest) };
        let mut others: Vec<(f64, Vec<ParamId>)> = Vec::new();
        for (id, rate) in rates.found {
            let ratio = ratio(rate);
            if ratio == default {
                continue;
            }
            match others.iter_mut().find(|(other, _)| *other == ratio) {
                Some((_, ids)) => ids.push(id),
                None => others.push((ratio, vec![id])),
            }
        }
        Ok(Self {
            reference,
            default,
            others,
        })
    }

    /// The learning rates of all groups when that of the reference is `learning_rate`.
    fn at(&self, learning_rate: f64) -> ModuleLearningRate {
        let default = learning_rate * self.default;
        // burn builds the rates of groups only by a step of their schedulers.
        let mut scheduler = ModuleLrScheduler::new(default);
        for (ratio, ids) in &self.others {
            let group = ParamGroup::from_ids(ids.clone());
            scheduler = scheduler.with_group(group, learning_rate * ratio);
        }
        scheduler.step()
    }
}

/// Collects the learning rate of each parameter that has a gradient.
struct LearningRates<'a> {
    learning_rate: &'a ModuleLearningRate,
    grads: &'a GradientsParams,
    path: Vec<String>,
    found: Vec<(ParamId, f64)>,
    refused: Option<DirectionError>,
}

impl ModuleVisitor for LearningRates<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.grads.get::<D>(param.id).is_none() {
            return;
        }
        let path = self.path.join(".");
        let learning_rate = self.learning_rate.lr_from_param(param.id, Some(&path));
        if learning_rate >= 0.0 && learning_rate.is_finite() {
            self.found.push((param.id, learning_rate));
        } else {
            self.refused = Some(DirectionError::LearningRate {
                parameter: path,
                learning_rate,
            });
        }
    }
}

/// Δθ with what is known of it.
struct Delta {
    tensors: GradientsParams,
    slope: f64,
    norm: f64,
}

impl Delta {
    /// Δθ = (θ − θ′)/η from the weights θ′ after a step at η.
    fn new<M: Module>(
        model: &M,
        stepped: M,
        grads: &GradientsParams,
        learning_rate: f64,
    ) -> Result<Self, DirectionError> {
        let mut targets = Parameters {
            grads,
            tensors: GradientsParams::new(),
        };
        stepped.visit(&mut targets);

        let mut differences = Differences {
            targets: targets.tensors,
            grads,
            scale: 1.0 / learning_rate,
            delta: GradientsParams::new(),
            products: Vec::new(),
        };
        model.visit(&mut differences);
        let [slope, squared_norm] = read_sums(differences.products)?;
        Ok(Self {
            tensors: differences.delta,
            slope,
            norm: squared_norm.sqrt(),
        })
    }

    /// Whether another virtual step gives the same direction, up to rounding.
    fn agrees_with<M: Module>(&self, other: &Self, model: &M) -> Result<bool, DirectionError> {
        let mut distance = SquaredDistance {
            a: &self.tensors,
            b: &other.tensors,
            sums: Vec::new(),
        };
        model.visit(&mut distance);
        let [squared_distance] = read_sums(distance.sums)?;
        // Directions that are NaN agree: the search names what is wrong with them.
        Ok(squared_distance.is_nan() || squared_distance.sqrt() <= LINEARITY_TOLERANCE * self.norm)
    }
}

/// Copies the parameters that have a gradient.
struct Parameters<'a> {
    grads: &'a GradientsParams,
    tensors: GradientsParams,
}

impl ModuleVisitor for Parameters<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.grads.get::<D>(param.id).is_some() {
            self.tensors.register(param.id, param.base().inner());
        }
    }
}

/// Subtracts a set of tensors from the parameters, and multiplies with the gradients.
struct Differences<'a> {
    targets: GradientsParams,
    grads: &'a GradientsParams,
    scale: f64,
    delta: GradientsParams,
    products: Vec<[Tensor<1>; 2]>,
}

impl ModuleVisitor for Differences<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let id = param.id;
        let (Some(grad), Some(target)) = (self.grads.get::<D>(id), self.targets.remove::<D>(id))
        else {
            return;
        };
        let delta = (param.base().inner() - target) * self.scale;
        self.products.push([
            sum_of_products(grad.inner(), delta.clone()),
            sum_of_products(delta.clone(), delta.clone()),
        ]);
        self.delta.register(id, delta);
    }
}

/// ‖a − b‖² of two sets of tensors.
struct SquaredDistance<'a> {
    a: &'a GradientsParams,
    b: &'a GradientsParams,
    sums: Vec<[Tensor<1>; 1]>,
}

impl ModuleVisitor for SquaredDistance<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let (Some(a), Some(b)) = (self.a.get::<D>(param.id), self.b.get::<D>(param.id)) {
            let difference = a - b;
            self.sums
                .push([sum_of_products(difference.clone(), difference)]);
        }
    }
}

/// Moves the parameters along the direction.
struct Mover<'a> {
    delta: &'a GradientsParams,
    learning_rate: f64,
}

impl ModuleMapper for Mover<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(delta) = self.delta.get::<D>(param.id) else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let moved = tensor - delta * self.learning_rate;
        Param::from_mapped_value(id, moved, mapper)
    }
}

/// Gradients are not `Clone`, but their tensors are reference-counted.
fn copy_gradients<M: Module>(model: &M, grads: &GradientsParams) -> GradientsParams {
    struct Copier<'a> {
        grads: &'a GradientsParams,
        copy: GradientsParams,
    }

    impl ModuleVisitor for Copier<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.grads.get::<D>(param.id) {
                self.copy.register(param.id, grad);
            }
        }
    }

    let mut copier = Copier {
        grads,
        copy: GradientsParams::new(),
    };
    model.visit(&mut copier);
    copier.copy
}

/// The sum of the gradients that several devices made, on one of them.
pub(crate) fn sum_gradients<M: Module>(
    model: &M,
    grads: &MultiGradientsParams,
    device: &Device,
) -> GradientsParams {
    struct Summer<'a> {
        grads: &'a MultiGradientsParams,
        device: &'a Device,
        sum: GradientsParams,
    }

    impl ModuleVisitor for Summer<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let each = self.grads.grads.iter();
            let sum = each
                .filter_map(|(grads, _)| grads.get::<D>(param.id))
                .map(|grad| grad.to_device(self.device))
                .reduce(|sum, grad| sum + grad);
            if let Some(sum) = sum {
                self.sum.register(param.id, sum);
            }
        }
    }

    let mut summer = Summer {
        grads,
        device,
        sum: GradientsParams::new(),
    };
    model.visit(&mut summer);
    summer.sum
}

fn sum_of_products<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<1> {
    // In half precision the sum would lose its digits or overflow.
    match a.dtype() {
        DType::F16 | DType::BF16 => (a.cast(DType::F32) * b.cast(DType::F32)).sum(),
        _ => (a * b).sum(),
    }
}

/// Reads all sums from the device at once, and adds them up in 64 bits.
fn read_sums<const N: usize>(sums: Vec<[Tensor<1>; N]>) -> Result<[f64; N], DirectionError> {
    let sums: Vec<_> = sums
        .into_iter()
        .flatten()
        .map(|sum| sum.cast(DType::F32))
        .collect();
    if sums.is_empty() {
        return Ok([0.0; N]);
    }
    let values = Tensor::cat(sums, 0)
        .try_into_data()
        .map_err(|error| DirectionError::Read(error.to_string()))?;
    let mut totals = [0.0; N];
    for (index, value) in values.iter::<f64>().enumerate() {
        totals[index % N] += value;
    }
    Ok(totals)
}
