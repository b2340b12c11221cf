//! How the direction of an update is found: by a virtual step, or from a step that was made.

use super::along::unless_it_panics;
use super::memory::Memory;
use super::update::{MeasuredUpdate, Stage};
use super::view::ValidationView;
use crate::direction::{StepKind, VirtualStep};
use crate::task::{Task, TaskKind};
use crate::{DirectionError, UpdateDirection};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};

/// Why a step that was made has no direction.
const HIDDEN: &str = "the update is so much smaller than the last one that was measured that the weights after the step do not show it; the next measurement comes before the step";

/// Whether the weights after the step will show the direction of the update, so that the step may be made
/// before the measurement. No other thread uses the model.
pub(crate) fn may_step_first<M: Module>(
    model: &M,
    optim: &ModuleOptimizer,
    learning_rate: &ModuleLearningRate,
    grads: &GradientsParams,
    tasks: &[Task],
    memory: &mut Memory,
) -> bool {
    // A group may move much less than all parameters together.
    let has_group = tasks
        .iter()
        .any(|task| matches!(task.kind, TaskKind::Group(_)));
    if has_group {
        return false;
    }
    if memory
        .step_kind
        .is_some_and(|kind| !kind.will_show_at(learning_rate.base()))
    {
        // Then the measurement looks at it.
        return false;
    }
    // What fails here fails again in the measurement, which records it.
    let kind = unless_it_panics("the optimizer", || {
        let view = ValidationView::new(model);
        let step = VirtualStep::new(view.model(), optim, grads, learning_rate);
        let step = step.map_err(|error| error.to_string())?;
        step_kind(view.model(), &step, memory)
    });
    kind.is_ok_and(|kind| kind.will_show_at(learning_rate.base()))
}

/// What the optimizer's steps are like: from virtual ones of all parameters where that is not known, and of a few where
/// it is. The model is in validation mode.
fn step_kind<M: Module>(
    model: &M,
    step: &VirtualStep,
    memory: &mut Memory,
) -> Result<StepKind, String> {
    if let Some(reason) = &memory.stopped {
        return Err(reason.clone());
    }
    let critical_lr = memory.training.guess.and_then(|guess| guess.critical_lr());
    let kind = match memory.step_kind {
        None => StepKind::of(model, step, critical_lr),
        Some(mut kind) => kind.look_again(model, step, critical_lr).map(|()| kind),
    };
    let kind = kind.map_err(|error| {
        let reason = error.to_string();
        if error == DirectionError::NotRepeatable {
            memory.stopped = Some(reason.clone());
        }
        reason
    })?;
    memory.step_kind = Some(kind);
    Ok(kind)
}

pub(super) fn direction_of<M: Module>(
    update: &MeasuredUpdate<'_, M>,
    memory: &mut Memory,
) -> Result<UpdateDirection, String> {
    let (model, learning_rate) = (update.model, update.learning_rate);
    let grads = update.grads.as_ref();
    let grads = grads.ok_or_else(|| DirectionError::NoGradient.to_string())?;
    let direction = match update.stage {
        Stage::After(_, after) => UpdateDirection::of_step(model, after, learning_rate, grads),
        Stage::Before(optim) => {
            let step = VirtualStep::new(model, optim, grads, learning_rate);
            let step = step.map_err(|error| error.to_string())?;
            let kind = step_kind(model, &step, memory)?;
            let expected = memory.training.guess.and_then(|guess| guess.critical_lr());
            let scale = 2.0 * expected.unwrap_or(learning_rate.base());
            UpdateDirection::of_virtual(model, step, scale, kind.is_linear)
        }
    };
    let direction = direction.map_err(|error| error.to_string())?;
    if let Some(kind) = &mut memory.step_kind
        && direction.norm().is_finite()
    {
        *kind = kind.with_update_norm(direction.norm());
        if matches!(update.stage, Stage::After(..)) && kind.hides_at(direction.learning_rate()) {
            return Err(HIDDEN.to_string());
        }
    }
    Ok(direction)
}
