//! Measuring with a probe: the one place at which what a run has taught is locked.

use crate::calls::Expected;
use crate::direction::{after_step_of, smallest};
use crate::measure::{
    LossOf, MeasuredUpdate, Mode, Panicked, Stage, may_step_first, measure, unless_it_panics,
};
use crate::params::weights_of;
use crate::probe::Measuring;
use crate::{Measurement, SharpnessProbe};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl SharpnessProbe {
    /// Whether a step may be made before it is measured, from a model that no other thread uses.
    pub(crate) fn may_step_first<M: Module>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) -> bool {
        let mut measuring = self.measuring();
        let Measuring { tasks, memory } = &mut *measuring;
        may_step_first(model, optim, learning_rate, grads, tasks, memory)
    }

    /// How the model computes the loss that is measured, or why it cannot: then all measuring ends. `loss` is that of
    /// the last batch that the model has seen in training.
    pub(crate) fn mode<M: Module + 'static>(
        &self,
        model: &M,
        is_alone: bool,
        loss: LossOf<'_, M>,
    ) -> Result<Mode<M>, String> {
        if !self.config().batch_statistics {
            return Ok(Mode::validation(model));
        }
        let mut measuring = self.measuring();
        let memory = &mut measuring.memory;
        let known = memory.copy.take().and_then(|copy| copy.downcast().ok());
        let known = known.map(|copy| *copy);
        match Mode::batch_statistics(model, known, is_alone, loss) {
            Ok((mode, notice)) => {
                memory.notices.extend(notice);
                Ok(mode)
            }
            Err(Panicked::Yes(reason) | Panicked::No(reason)) => {
                memory.stopped = Some(reason.clone());
                Err(reason)
            }
        }
    }

    /// A loop of one's own calls the probe with this model. Returns what is to be told of its calls.
    pub(crate) fn note_call<M: Module>(&self, model: &M) -> Option<&'static str> {
        let calls = &mut self.measuring().memory.calls;
        let id = calls.wanted()?;
        let noted = unless_it_panics("a look at the weights", || {
            Ok(calls.note_call(weights_of(model, id)))
        });
        noted.ok().flatten()
    }

    /// A step of a loop of one's own is measured: where it takes the weights is where the next call is to find them.
    pub(crate) fn expect_step<M: Module>(
        &self,
        model: &M,
        stage: &Stage<'_, M>,
        learning_rate: &ModuleLearningRate,
        grads: &GradientsParams,
    ) {
        let calls = &mut self.measuring().memory.calls;
        if !calls.is_curious() {
            return;
        }
        let expected = unless_it_panics("the optimizer", || {
            let expected = smallest(model, grads).and_then(|id| {
                let after = match stage {
                    Stage::After(_, after) => weights_of(*after, id),
                    Stage::Before(optim) => {
                        let after = after_step_of(id, model, optim, learning_rate, grads);
                        weights_of(&after, id)
                    }
                };
                Some(Expected {
                    id,
                    before: weights_of(model, id)?,
                    after: after?,
                })
            });
            Ok(expected)
        });
        calls.expect(expected.ok().flatten());
    }

    /// Keeps what the next measurement needs to compute the loss in this way.
    pub(crate) fn keep<M: Module + 'static>(&self, mode: Result<Mode<M>, String>) {
        if let Ok(mode) = mode
            && let Some(copy) = mode.into_copy()
        {
            self.measuring().memory.copy = Some(Box::new(copy));
        }
    }

    /// Measures along an update, and publishes the measurements. Returns that of the training loss, and
    /// what the user is to be told. Never panics.
    pub(crate) fn measure_and_publish<M: Module + 'static>(
        &self,
        update: MeasuredUpdate<'_, M>,
    ) -> Option<(Arc<Measurement>, Vec<String>)> {
        let search = self.search()?;
        let config = self.config();
        let interval = update.micro_batches as u64 * config.interval();
        let mut measuring = self.measuring();
        let Measuring { tasks, memory } = &mut *measuring;
        let (training, of_tasks) = measure(update, config, search, tasks, memory);
        let mut notices: Vec<String> = memory.notices.drain(..).collect();
        let stopped = memory.stopped.clone();
        drop(measuring);
        let training = Arc::new(training);
        let of_tasks = of_tasks.into_iter().map(Arc::new);
        let measurements: Vec<_> = std::iter::once(training.clone()).chain(of_tasks).collect();
        notices.extend(stopped.clone());

        let (on_edge, notices) = {
            let mut run = self.run();
            run.is_stopped = stopped.is_some();
            let told = run.journal.summary().notices.len();
            for notice in notices {
                run.journal.tell(notice);
            }
            let on_edge = run.publish(measurements, interval, config);
            let new = run.journal.summary().notices.get(told..);
            (on_edge, new.unwrap_or_default().to_vec())
        };
        if let Some(on_edge) = on_edge {
            let call = AssertUnwindSafe(|| on_edge(&training));
            if catch_unwind(call).is_err() {
                tracing::warn!("the function to call at the edge panicked; the training goes on");
            }
        }
        Some((training, notices))
    }
}
