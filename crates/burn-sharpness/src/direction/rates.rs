use super::error::DirectionError;
use crate::params::for_each;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ParamGroup, ParamId};
use burn::optim::GradientsParams;

#[derive(Clone)]
pub(crate) struct GroupRatios {
    pub(super) reference: f64,
    default: f64,
    others: Vec<(f64, Vec<ParamId>)>,
}

impl GroupRatios {
    pub(crate) fn new<M: Module>(
        model: &M,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> Result<Self, DirectionError> {
        let rates = rates_by_parameter(model, learning_rate, grads)?;
        let fastest = rates.iter().map(|(_, rate)| *rate).reduce(f64::max);
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
        for (id, rate) in rates {
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

    pub(crate) fn at(&self, learning_rate: f64) -> ModuleLearningRate {
        let default = learning_rate * self.default;
        // Burn makes rates of groups only in a step of their schedulers.
        let mut scheduler = ModuleLrScheduler::new(default);
        for (ratio, ids) in &self.others {
            let group = ParamGroup::from_ids(ids.clone());
            scheduler = scheduler.with_group(group, learning_rate * ratio);
        }
        scheduler.step()
    }
}

fn rates_by_parameter<M: Module>(
    model: &M,
    learning_rate: &ModuleLearningRate,
    grads: &GradientsParams,
) -> Result<Vec<(ParamId, f64)>, DirectionError> {
    let mut rates = Vec::new();
    let mut refused = None;
    for_each(model, grads, |place| {
        let rate = learning_rate.lr_from_param(place.id, Some(place.path));
        if rate >= 0.0 && rate.is_finite() {
            rates.push((place.id, rate));
        } else {
            refused = Some(DirectionError::LearningRate {
                parameter: place.path.to_string(),
                learning_rate: rate,
            });
        }
    });
    match refused {
        Some(refused) => Err(refused),
        None => Ok(rates),
    }
}
