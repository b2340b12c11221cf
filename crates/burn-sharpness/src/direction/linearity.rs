//! Tests whether an optimizer's steps are linear in the learning rate, by two virtual steps far apart.

use super::error::DirectionError;
use super::products::epsilon;
use super::step::VirtualStep;
use crate::params::{Sums, for_each, widened};
use burn::module::{Module, ParamId};
use burn::tensor::{DType, Tensor};
use std::collections::{HashMap, HashSet};

/// The end of the default search range.
const FAR: f64 = (1_u64 << 20) as f64;
const APART: f64 = 64.0;
/// In 16 bits only steps larger than the weights have digits, and much larger steps overflow.
const APART_IN_16_BITS: f64 = 16.0;
const NEAR_WITHOUT_RATE: f64 = 1e-3;

/// Far above the rounding of all but small steps.
const TOLERANCE: f64 = 1e-3;
/// The least size of a compared step, in units of the weights' rounding.
const COMPARABLE: f64 = 16.0;
const CLEAR: f64 = 1024.0;

/// Declares whether the optimizer's step is linear in the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Linearity {
    /// Find out from two virtual steps, at the rate in use and at a rate beyond any search.
    Check,
    /// The step is linear: SGD, Adam, AdamW and most others.
    Linear,
    /// The step is not linear, as with a capped rate or a proximal weight decay: make a step at each learning rate.
    Nonlinear,
}

pub(super) struct Look {
    pub(super) is_linear: bool,
    pub(super) rounding: f64,
    pub(super) update_norm: f64,
}

/// Two steps differ if the optimizer draws random numbers.
pub(super) fn is_repeatable<M: Module>(
    model: &M,
    step: &VirtualStep,
) -> Result<bool, DirectionError> {
    let rate = near_rate(step);
    let mut sums = Sums::default();
    for part in step.parts(model, |_| true) {
        let once = step.weights_of(model, rate, &part);
        let again = step.weights_of(model, rate, &part);
        for_each(model, step.grads(), |place| {
            if let (Some(once), Some(again)) = (once.get(&place.id), again.get(&place.id)) {
                let tensors = [&place.weight(), once, again];
                sums.push_pieces(tensors, |[theta, once, again]| {
                    let (step, apart) = (widened(theta) - once.clone(), again - once);
                    [(step.clone(), step), (apart.clone(), apart)]
                });
            }
        });
    }
    let [step, apart] = sums.read().map_err(DirectionError::Read)?;
    Ok(apart.is_nan() || apart <= TOLERANCE * TOLERANCE * step)
}

fn near_rate(step: &VirtualStep) -> f64 {
    let in_use = step.learning_rate();
    if in_use > 0.0 {
        in_use
    } else {
        NEAR_WITHOUT_RATE
    }
}

/// Inner products of a step with the gradients, the weights, and itself.
type Products = [f64; 3];

struct Start {
    has_16_bits: bool,
    epsilon: f64,
    squared_weights: f64,
    squared_gradient: f64,
    rounding: f64,
}

#[derive(PartialEq)]
enum Verdict {
    Same,
    Different,
    Hidden,
}

/// The far step reveals an optimizer that caps a large rate (Adafactor) or treats a small rate differently. Each
/// parameter counts by itself, since it may have an optimizer of its own.
pub(super) fn look<M: Module>(
    model: &M,
    step: &VirtualStep,
    of: &HashSet<ParamId>,
) -> Result<Look, DirectionError> {
    let starts = starts(model, step, of)?;
    let mut look = Look {
        is_linear: true,
        rounding: 0.0,
        update_norm: 0.0,
    };
    let mut squared_update = 0.0;
    for has_16_bits in [false, true] {
        let params = starts.iter().filter(|(_, s)| s.has_16_bits == has_16_bits);
        let mut params: HashSet<ParamId> = params.map(|(id, _)| *id).collect();
        if params.is_empty() {
            continue;
        }
        let (far_rate, mut near_rate) = if has_16_bits {
            let far = step.rate_for(0.0);
            (far, far / APART_IN_16_BITS)
        } else {
            let near = near_rate(step);
            (FAR.max((APART * near).log2().ceil().exp2()), near)
        };
        let far = products_at(model, step, far_rate, &params)?;
        squared_update += far.values().map(|[.., squared]| squared).sum::<f64>();
        while !params.is_empty() {
            let near = products_at(model, step, near_rate, &params)?;
            let judged = |id: &ParamId| {
                let (start, far, near) = (starts.get(id)?, far.get(id)?, near.get(id)?);
                Some(start.compare((far_rate, far), (near_rate, near)))
            };
            let mut verdicts = params.iter().map(judged);
            look.is_linear &= verdicts.all(|verdict| verdict != Some(Verdict::Different));
            if !look.is_linear {
                break;
            }
            params.retain(|id| judged(id) == Some(Verdict::Hidden));
            let clear = params.iter().filter_map(|id| {
                let (start, [.., squared]) = (starts.get(id)?, far.get(id)?);
                Some(CLEAR * start.rounding / squared.sqrt())
            });
            let largest = far_rate / APART;
            let next = clear.fold(0.0, f64::max).min(largest);
            if near_rate >= largest || next <= near_rate {
                break;
            }
            near_rate = next;
        }
    }
    let roundings = starts.values().map(|start| start.rounding.powi(2));
    look.rounding = roundings.sum::<f64>().sqrt();
    look.update_norm = squared_update.sqrt();
    Ok(look)
}

impl Start {
    fn compare(&self, far: (f64, &Products), near: (f64, &Products)) -> Verdict {
        let [.., far_square] = *far.1;
        let [.., near_square] = *near.1;
        let size = |(rate, [.., square]): (f64, &Products)| rate * square.sqrt();
        let (far_size, near_size) = (size(far), size(near));
        if near.1.iter().any(|product| !product.is_finite()) {
            // The search names the fault of such a step.
            return Verdict::Same;
        }
        if far.1.iter().any(|product| !product.is_finite()) {
            return Verdict::Different;
        }
        let comparable = COMPARABLE * self.rounding;
        if far_size.max(near_size) <= comparable {
            // Nothing moves at any rate.
            return Verdict::Same;
        }
        if near_size <= comparable {
            return Verdict::Hidden;
        }
        let square = far_square.max(near_square);
        let largest = [
            (self.squared_gradient * square).sqrt(),
            (self.squared_weights * square).sqrt(),
            square,
        ];
        let tolerance = TOLERANCE
            .max(2.0 * self.epsilon)
            .max(4.0 * self.rounding / near_size);
        let mut pairs = far.1.iter().zip(near.1).zip(largest);
        let is_same = pairs.all(|((far, near), largest)| (far - near).abs() <= tolerance * largest);
        if is_same {
            Verdict::Same
        } else {
            Verdict::Different
        }
    }
}

fn starts<M: Module>(
    model: &M,
    step: &VirtualStep,
    of: &HashSet<ParamId>,
) -> Result<HashMap<ParamId, Start>, DirectionError> {
    let mut sums = Vec::new();
    for_each(model, step.grads(), |place| {
        if of.contains(&place.id) {
            let weight = place.weight();
            let mut products = Sums::default();
            products.push_pieces([&weight, &place.tensor()], |[theta, grad]| {
                [(theta.clone(), theta), (grad.clone(), grad)]
            });
            sums.push(((place.id, weight.dtype()), products));
        }
    });
    let sums = Sums::read_each(sums).map_err(DirectionError::Read)?;
    let starts = sums
        .into_iter()
        .map(|((id, dtype), [squared_weights, squared_gradient])| {
            let epsilon = epsilon(dtype);
            let start = Start {
                has_16_bits: matches!(dtype, DType::F16 | DType::BF16),
                epsilon,
                squared_weights,
                squared_gradient,
                rounding: epsilon * squared_weights.sqrt(),
            };
            (id, start)
        });
    Ok(starts.collect())
}

fn products_at<M: Module>(
    model: &M,
    step: &VirtualStep,
    rate: f64,
    of: &HashSet<ParamId>,
) -> Result<HashMap<ParamId, Products>, DirectionError> {
    let mut sums = Vec::new();
    for part in step.parts(model, |id| of.contains(&id)) {
        let weights = step.weights_of(model, rate, &part);
        for_each(model, step.grads(), |place| {
            if let Some(moved) = weights.get(&place.id) {
                let mut products = Sums::default();
                let tensors = [&place.weight(), moved, &place.tensor()];
                products.push_pieces(tensors, |[theta, moved, grad]| {
                    let theta = widened(theta);
                    let update: Tensor<1> = (theta.clone() - moved) / rate;
                    [
                        (grad, update.clone()),
                        (theta, update.clone()),
                        (update.clone(), update),
                    ]
                });
                sums.push((place.id, products));
            }
        });
    }
    let sums = Sums::read_each(sums).map_err(DirectionError::Read)?;
    Ok(sums.into_iter().collect())
}
