//! The order of a measurement, for a loop of one's own and for burn's `Learner`: how the loss is computed, whether the
//! step comes first, the step, the measurement, and who is told of it.
//!
//! The two say what the step is, and make it when they are asked to.

mod underway;

pub(crate) use underway::{Underway, is_underway};

use crate::batch_norm::{InMode, Mode, ValidationView};
use crate::direction::{VirtualStep, after_step_of};
use crate::failure::{Failure, guarded};
use crate::journal::OfUpdate;
use crate::losses::Losses;
use crate::measure::{Facts, Measured, Stage, Subject, may_show, measure, step_kind};
use crate::params::weights_of;
use crate::probe::{Measuring, SharpnessProbe};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use sharpness_record::Measurement;
use std::sync::Arc;

/// What is told where nothing shows what is measured.
const NO_METRIC: &str =
    "no metric shows the measurements: add `.metrics_sharpness(&probe)` to the training";

/// Who makes the step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Loop,
    Learner,
}

/// An update that is due to be measured.
pub(crate) struct Session<'a, M> {
    pub(crate) probe: &'a SharpnessProbe,
    pub(crate) door: Door,
    pub(crate) facts: Facts,
    pub(crate) grads: GradientsParams,
    /// The training loss on the batches of the update.
    pub(crate) losses: &'a mut dyn Losses<M>,
    /// What is measured in place of a model whose parameters are spread over devices: a copy in validation mode on one.
    pub(crate) copy: Option<M>,
    /// Whether no other worker uses the model.
    pub(crate) is_alone: bool,
    /// Whether the training step was made on this thread, by which burn keeps what is pending of running statistics.
    pub(crate) is_of_this_thread: bool,
    /// Whether the step may be made before the measurement, where it will show the update.
    pub(crate) may_step_first: bool,
}

impl<M: Module + 'static> Session<'_, M> {
    /// Makes the step, and measures it. Returns the model after the step.
    ///
    /// The step comes first where it will show the direction of the update; otherwise it comes last, and is made
    /// at the rate that this function says.
    pub(crate) fn step(
        mut self,
        model: M,
        optim: &mut ModuleOptimizer,
        make: impl FnOnce(M, &mut ModuleOptimizer, ModuleLearningRate) -> M,
    ) -> M {
        let mode = self.find_mode(&model);
        let steps_first = mode.is_ok() && self.steps_first(&model, optim);
        let rate = self.facts.learning_rate.clone();
        if !steps_first {
            self.measure(&model, Stage::Before(optim), mode);
            // The rate is decided here, where what was found may have a say in it.
            return make(model, optim, rate);
        }
        let before = model.clone();
        let after = make(model, optim, rate);
        self.measure(&before, Stage::After(optim, &after), mode);
        after
    }

    /// Measures before the step, which the caller makes.
    pub(crate) fn look(mut self, model: &M, optim: &ModuleOptimizer) -> Option<Arc<Measurement>> {
        let mode = self.find_mode(model);
        self.measure(model, Stage::Before(optim), mode)
    }

    /// How the loss is computed, or why it cannot be.
    fn find_mode(&mut self, model: &M) -> Result<Mode<M>, Failure> {
        let _underway = Underway::begin();
        if !self.probe.config().batch_statistics {
            return Ok(Mode::validation(model));
        }
        let known = self.probe.measuring().copy.take();
        let known = known.and_then(|copy| copy.downcast().ok());
        let is_alone = self.is_alone && self.is_of_this_thread;
        let mode = guarded("the loss", || {
            Mode::batch_statistics(model, known.map(|copy| *copy), is_alone, self.losses)
        });
        mode.map_err(|failure| Failure::Mode(Box::new(failure)))
    }

    /// Whether the step is to be made before the measurement.
    fn steps_first(&self, model: &M, optim: &ModuleOptimizer) -> bool {
        if !self.may_step_first || !self.is_alone || self.copy.is_some() {
            return false;
        }
        let _underway = Underway::begin();
        let (rate, grads) = (&self.facts.learning_rate, &self.grads);
        let mut measuring = self.probe.measuring();
        let Measuring { tasks, memory, .. } = &mut *measuring;
        // What fails here fails again in the measurement, which records it.
        let first = guarded("the optimizer", || {
            if !may_show(rate, tasks, memory) {
                return Ok(false);
            }
            let view = ValidationView::new(model);
            let step = VirtualStep::new(view.model(), optim, grads, rate)?;
            Ok(step_kind(view.model(), &step, memory)?.will_show_at(rate.base()))
        });
        first.unwrap_or(false)
    }

    /// Measures, and hands over what was measured. Returns the measurement of the training loss.
    fn measure(
        self,
        model: &M,
        stage: Stage<'_, M>,
        mode: Result<Mode<M>, Failure>,
    ) -> Option<Arc<Measurement>> {
        let _underway = Underway::begin();
        let view = match self.copy {
            Some(copy) => ValidationView::of_validation(copy),
            None if self.is_alone => ValidationView::new(model),
            None => ValidationView::with_own_state(model),
        };
        let settings = self.probe.settings()?;
        let mut measuring = self.probe.measuring();
        let Measuring {
            tasks,
            memory,
            copy,
            calls,
        } = &mut *measuring;
        if self.door == Door::Loop {
            let (model, rate, grads) = (view.model(), &self.facts.learning_rate, &self.grads);
            calls.expect_step(model, grads, |id| match &stage {
                Stage::After(_, after) => weights_of(*after, id),
                Stage::Before(optim) => {
                    weights_of(&after_step_of(id, model, optim, rate, grads), id)
                }
            });
        }
        let notice = mode.as_ref().ok().and_then(|mode| mode.notice);
        let interval = self.facts.micro_batches as u64 * settings.config.interval();
        let subject = Subject {
            model: view.model(),
            stage,
            is_same_in_training: mode.as_ref().is_ok_and(|mode| mode.is_same_in_training),
            has_batch_statistics: mode.as_ref().is_ok_and(Mode::has_batch_statistics),
            losses: &mut InMode {
                mode: &mode,
                losses: self.losses,
            },
            facts: self.facts,
            grads: Some(self.grads),
        };
        let mut measured = measure(subject, settings, tasks, memory);
        if let Some(kept) = mode.ok().and_then(Mode::into_copy) {
            *copy = Some(Box::new(kept));
        }
        drop(measuring);
        measured.notices.splice(0..0, notice.map(str::to_string));
        Some(publish(self.probe, self.door, measured, interval))
    }
}

/// Hands measurements to all who read them. Returns that of the training loss.
fn publish(
    probe: &SharpnessProbe,
    door: Door,
    measured: Measured,
    interval: u64,
) -> Arc<Measurement> {
    let training = Arc::new(measured.training);
    let of_tasks = measured.of_tasks.into_iter().map(Arc::new);
    let update = OfUpdate {
        measurements: std::iter::once(training.clone()).chain(of_tasks).collect(),
        interval,
    };
    let (on_edge, new) = {
        let mut run = probe.run();
        run.is_stopped = measured.stop.is_some();
        let told = run.journal.summary().notices.len();
        for notice in measured.notices.into_iter().chain(measured.stop) {
            run.journal.tell(notice);
        }
        let on_edge = run.publish(&update);
        if door == Door::Learner && !run.has_metric {
            run.journal.tell(NO_METRIC.to_string());
        }
        let new = run.journal.summary().notices.get(told..);
        (on_edge, new.unwrap_or_default().to_vec())
    };
    if let Some(on_edge) = on_edge {
        let called = guarded("the function to call at the edge", || {
            on_edge(&training);
            Ok(())
        });
        if called.is_err() {
            tracing::warn!("the function to call at the edge panicked; the training goes on");
        }
    }
    if door == Door::Loop {
        new.iter().for_each(|notice| say(notice));
    }
    training
}

/// No dashboard says it in a loop of one's own.
pub(crate) fn say(notice: &str) {
    // (`eprintln!` would panic where nobody reads it any more.)
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("burn-sharpness: {notice}\n"),
    );
}
