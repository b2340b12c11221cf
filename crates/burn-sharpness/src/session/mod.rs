//! Orders a measurement, for a hand-written loop and for burn's `Learner`, which describe the step and make it on
//! request.

mod serve;
mod underway;

pub(crate) use serve::{Answer, Seat};
pub(crate) use underway::{Underway, is_underway};

use crate::batch_norm::{InMode, Mode, ValidationView};
use crate::direction::{GroupRatios, VirtualStep, after_step_of};
use crate::failure::{Failure, guarded, lock};
use crate::losses::Losses;
use crate::measure::{Facts, Measured, Stage, Subject, may_show, measure, step_kind};
use crate::params::weights_of;
use crate::probe::{Measuring, SharpnessProbe};
use crate::workers::Kept;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use sharpness_record::Measurement;
use std::sync::Arc;

const NO_METRIC: &str =
    "no metric shows the measurements: add `.metrics_sharpness(&probe)` to the training";

const CAP_NEEDS_THE_STEP: &str = "the edge cap does nothing where the loop makes the step itself: call `optimize` in place of `measure` and the optimizer's step";
const CAP_NEEDS_ONE_WORKER: &str = "the edge cap is off: several workers make the same steps, and would make them at different rates";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Loop,
    Learner,
}

pub(crate) struct Session<'a, M> {
    pub(crate) probe: &'a SharpnessProbe,
    pub(crate) door: Door,
    pub(crate) facts: Facts,
    pub(crate) grads: GradientsParams,
    pub(crate) losses: &'a mut dyn Losses<M>,
    pub(crate) seat: Option<Seat>,
    pub(crate) kept: Arc<Kept>,
    /// In validation mode on one device, for a model spread over several.
    pub(crate) copy: Option<M>,
    pub(crate) is_alone: bool,
    /// Burn keeps pending running statistics by thread.
    pub(crate) is_of_this_thread: bool,
    pub(crate) may_step_first: bool,
}

impl<M: Module + 'static> Session<'_, M> {
    /// The step comes first if its weights show the direction of the update, unless an edge cap may lower its rate.
    pub(crate) fn step(
        mut self,
        model: M,
        optim: &mut ModuleOptimizer,
        make: impl FnOnce(M, &mut ModuleOptimizer, ModuleLearningRate) -> M,
    ) -> M {
        if let Some(seat) = self.seat.take() {
            let rate = self.facts.learning_rate.clone();
            self.serve(seat, &model, optim);
            return make(model, optim, rate);
        }
        let mode = self.find_mode(&model);
        let rate = self.facts.learning_rate.clone();
        let cap = self.edge_cap();
        let steps_first = cap.is_none() && mode.is_ok() && self.steps_first(&model, optim);
        if !steps_first {
            let rates = cap.and_then(|_| self.rates(&model).ok());
            let cap = cap.filter(|_| rates.is_some());
            let measured = self.measure(&model, Stage::Before(optim), mode, cap);
            let used = measured.and_then(|measured| measured.learning_rate_used);
            let rate = used.zip(rates).map_or(rate, |(used, rates)| rates.at(used));
            return make(model, optim, rate);
        }
        let before = model.clone();
        let after = make(model, optim, rate);
        self.measure(&before, Stage::After(optim, &after), mode, None);
        after
    }

    pub(crate) fn look(mut self, model: &M, optim: &ModuleOptimizer) -> Option<Arc<Measurement>> {
        if self.probe.config().edge_cap.is_some() {
            self.probe.tell(CAP_NEEDS_THE_STEP.to_string());
        }
        let mode = self.find_mode(model);
        self.measure(model, Stage::Before(optim), mode, None)
    }

    fn edge_cap(&self) -> Option<f64> {
        let cap = self.probe.config().edge_cap?;
        if !self.is_alone {
            self.probe.tell(CAP_NEEDS_ONE_WORKER.to_string());
        }
        self.is_alone.then_some(cap)
    }

    fn rates(&self, model: &M) -> Result<GroupRatios, Failure> {
        guarded("the learning rates", || {
            let model = self.copy.as_ref().unwrap_or(model);
            let rates = GroupRatios::new(model, &self.facts.learning_rate, &self.grads)?;
            Ok(rates)
        })
    }

    fn find_mode(&mut self, model: &M) -> Result<Mode<M>, Failure> {
        let _underway = Underway::begin();
        if !self.probe.config().batch_statistics {
            return Ok(Mode::validation(model));
        }
        let known = lock(&self.kept).take();
        let known = known.and_then(|copy| copy.downcast().ok());
        let is_alone = self.is_alone && self.is_of_this_thread;
        let mode = guarded("the loss", || {
            Mode::batch_statistics(model, known.map(|copy| *copy), is_alone, self.losses)
        });
        mode.map_err(|failure| Failure::Mode(Box::new(failure)))
    }

    fn steps_first(&self, model: &M, optim: &ModuleOptimizer) -> bool {
        if !self.may_step_first || !self.is_alone || self.copy.is_some() {
            return false;
        }
        let _underway = Underway::begin();
        let (rate, grads) = (&self.facts.learning_rate, &self.grads);
        let mut measuring = self.probe.measuring();
        let Measuring { tasks, memory, .. } = &mut *measuring;
        // A failure here recurs in the measurement, which records it.
        let first = guarded("the optimizer", || {
            if !may_show(rate, tasks, memory) {
                return Ok(false);
            }
            let view = ValidationView::new(model);
            let step = VirtualStep::new(&view.model, optim, grads, rate)?;
            Ok(step_kind(&view.model, &step, memory)?.will_show_at(rate.base()))
        });
        first.unwrap_or(false)
    }

    fn measure(
        self,
        model: &M,
        stage: Stage<'_, M>,
        mode: Result<Mode<M>, Failure>,
        cap: Option<f64>,
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
            batch_loss,
            memory,
            calls,
        } = &mut *measuring;
        if self.door == Door::Loop {
            let (model, rate, grads) = (&view.model, &self.facts.learning_rate, &self.grads);
            calls.expect_step(model, grads, |id| match &stage {
                Stage::After(_, after) => weights_of(*after, id),
                Stage::Before(optim) => {
                    weights_of(&after_step_of(id, model, optim, rate, grads), id)
                }
            });
        }
        let notice = mode.as_ref().ok().and_then(|mode| mode.notice);
        let interval = self.facts.batches as u64 * settings.config.interval();
        let subject = Subject {
            model: &view.model,
            stage,
            is_same_in_training: mode.as_ref().is_ok_and(|mode| mode.is_same_in_training),
            has_batch_statistics: mode.as_ref().is_ok_and(|mode| mode.copy.is_some()),
            losses: &mut InMode {
                mode: &mode,
                losses: &mut *self.losses,
            },
            facts: self.facts,
            grads: Some(self.grads),
        };
        let batch_loss = batch_loss.as_deref_mut();
        let mut measured = measure(subject, settings, tasks, batch_loss, memory);
        self.losses.end();
        if let Some(copy) = mode.ok().and_then(|mode| mode.copy) {
            *lock(&self.kept) = Some(Box::new(copy));
        }
        drop(measuring);
        measured.training.learning_rate_used = cap.and_then(|cap| measured.training.capped(cap));
        measured.notices.splice(0..0, notice.map(str::to_string));
        Some(publish(self.probe, self.door, measured, interval))
    }
}

fn publish(
    probe: &SharpnessProbe,
    door: Door,
    measured: Measured,
    interval: u64,
) -> Arc<Measurement> {
    let training = Arc::new(measured.training);
    let of_tasks = measured.of_tasks.into_iter().map(Arc::new);
    let all = std::iter::once(training.clone()).chain(of_tasks).collect();
    let (on_edge, new) = {
        let mut run = probe.run();
        run.is_stopped |= measured.stop.is_some();
        let told = run.journal.summary.numbers.notices.len();
        for notice in measured.notices.into_iter().chain(measured.stop) {
            run.journal.tell(notice);
        }
        let on_edge = run.publish(all, interval, probe.config());
        if door == Door::Learner && !run.has_metric {
            run.journal.tell(NO_METRIC.to_string());
        }
        let new = run.journal.summary.numbers.notices.get(told..);
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

pub(crate) fn say(notice: &str) {
    // (`eprintln!` panics on a closed pipe.)
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("burn-sharpness: {notice}\n"),
    );
}
