use super::error::DirectionError;
use super::linearity::{is_repeatable, look};
use super::step::VirtualStep;
use crate::params::sizes;
use burn::module::{Module, ParamId};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// A step of this size, in units of the weights' rounding, shows its direction.
const SHOWN: f64 = 1024.0;
/// Rounding is some per cent of a step of this size.
pub(super) const HIDDEN: f64 = 16.0;

const FEW: usize = 4;
/// The inverse share of the elements to check again per measurement.
const PART: usize = 64;
const LITTLE: usize = 1 << 12;
/// The factor between two critical learning rates that triggers a check of all steps.
const SURPRISE: f64 = 4.0;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct StepKind {
    /// A single exception is final.
    pub(crate) is_linear: bool,
    has_16_bits: bool,
    rounding: f64,
    pub(crate) update_norm: f64,
    next: usize,
    credit: usize,
    critical_lr: Option<f64>,
}

impl StepKind {
    pub(crate) fn of<M: Module>(
        model: &M,
        step: &VirtualStep,
        critical_lr: Option<f64>,
    ) -> Result<Self, DirectionError> {
        if !is_repeatable(model, step)? {
            return Err(DirectionError::NotRepeatable);
        }
        let look = look(model, step, &all(model, step))?;
        Ok(Self {
            is_linear: look.is_linear,
            has_16_bits: step.has_16_bits,
            rounding: look.rounding,
            update_norm: look.update_norm,
            next: 0,
            credit: 0,
            critical_lr,
        })
    }

    /// Checks a few parameters in turn, and all after a surprise.
    pub(crate) fn look_again<M: Module>(
        &mut self,
        model: &M,
        step: &VirtualStep,
        critical_lr: Option<f64>,
    ) -> Result<(), DirectionError> {
        if !self.is_linear {
            return Ok(());
        }
        let before = self.critical_lr;
        self.critical_lr = critical_lr.or(before);
        let is_surprise = before
            .zip(critical_lr)
            .is_some_and(|(before, now)| !(1.0 / SURPRISE..SURPRISE).contains(&(now / before)));
        let again = if is_surprise {
            all(model, step)
        } else {
            self.few(model, step)
        };
        if !again.is_empty() {
            self.is_linear = look(model, step, &again)?.is_linear;
        }
        Ok(())
    }

    fn few<M: Module>(&mut self, model: &M, step: &VirtualStep) -> HashSet<ParamId> {
        let sizes = sizes(model, step.grads());
        let total: usize = sizes.iter().map(|(_, elements)| elements).sum();
        let most = total.max(LITTLE);
        self.credit = (self.credit + LITTLE.max(total / PART)).min(most);
        let mut few = HashSet::new();
        // A large parameter waits until the credit suffices at its turn.
        for _ in 0..sizes.len() {
            if few.len() == FEW {
                break;
            }
            let (id, elements) = sizes[self.next % sizes.len()];
            self.next = (self.next + 1) % sizes.len();
            if elements <= self.credit {
                self.credit -= elements;
                few.insert(id);
            }
        }
        few
    }

    pub(crate) fn will_show_at(&self, learning_rate: f64) -> bool {
        let is_known = self.is_linear && !self.has_16_bits && self.update_norm > 0.0;
        is_known && self.is_above_rounding(SHOWN, learning_rate)
    }

    /// Whether this update is so much smaller than the last that the weights hide it.
    pub(crate) fn hides_at(&self, learning_rate: f64) -> bool {
        !self.is_above_rounding(HIDDEN, learning_rate)
    }

    fn is_above_rounding(&self, times: f64, learning_rate: f64) -> bool {
        learning_rate * self.update_norm >= times * self.rounding
    }
}

fn all<M: Module>(model: &M, step: &VirtualStep) -> HashSet<ParamId> {
    let sizes = sizes(model, step.grads()).into_iter();
    sizes.map(|(id, _)| id).collect()
}
