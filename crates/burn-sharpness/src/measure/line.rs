use super::memory::Memory;
use super::subject::{Stage, Subject};
use crate::direction::{DirectionError, StepKind, UpdateDirection, VirtualStep};
use crate::failure::Failure;
use crate::task::Task;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;

pub(crate) fn may_show(rate: &ModuleLearningRate, tasks: &[Task], memory: &Memory) -> bool {
    // A group may move much less than all parameters together.
    let has_group = tasks.iter().any(Task::is_group);
    let will_not_show = |kind: &Result<StepKind, DirectionError>| {
        kind.as_ref()
            .is_ok_and(|kind| !kind.will_show_at(rate.base()))
    };
    !has_group && !memory.step_kind.as_ref().is_some_and(will_not_show)
}

pub(crate) fn step_kind<M: Module>(
    model: &M,
    step: &VirtualStep,
    memory: &mut Memory,
) -> Result<StepKind, DirectionError> {
    let critical_lr = memory.critical_lr();
    let kind = match memory.step_kind.clone() {
        None => StepKind::of(model, step, critical_lr),
        Some(kind) => kind.and_then(|mut kind| {
            kind.look_again(model, step, critical_lr)?;
            Ok(kind)
        }),
    };
    if let Ok(_) | Err(DirectionError::NotRepeatable) = kind {
        memory.step_kind = Some(kind.clone());
    }
    kind
}

pub(super) fn direction_of<M: Module>(
    subject: &Subject<'_, M>,
    memory: &mut Memory,
) -> Result<UpdateDirection, Failure> {
    let (model, learning_rate) = (subject.model, &subject.facts.learning_rate);
    let grads = subject.grads.as_ref();
    let grads = grads.ok_or(DirectionError::NoGradient)?;
    let direction = match subject.stage {
        Stage::After(_, after) => UpdateDirection::of_step(model, after, learning_rate, grads)?,
        Stage::Before(optim) => {
            let step = VirtualStep::new(model, optim, grads, learning_rate)?;
            let kind = step_kind(model, &step, memory)?;
            let scale = 2.0 * memory.critical_lr().unwrap_or(learning_rate.base());
            UpdateDirection::of_virtual(model, step, scale, kind.is_linear)?
        }
    };
    if let Some(Ok(kind)) = &mut memory.step_kind
        && direction.norm().is_finite()
    {
        kind.update_norm = direction.norm();
        if matches!(subject.stage, Stage::After(..)) && kind.hides_at(direction.learning_rate()) {
            return Err(Failure::Hidden);
        }
    }
    Ok(direction)
}
