//! Batch norm: a model in validation mode without a trace in its running statistics, and one that computes from the
//! statistics of the batch.

mod places;
mod view;

pub(crate) use view::ValidationView;

use crate::failure::Failure;
use crate::loss::BatchLosses;
use crate::losses::{Gradient, Losses};
use burn::module::{Flag, Module, ModuleVisitor, Param, ParamId};
use places::{Fill, Path, Rewind, Strip, Tensors, places};
use std::borrow::Cow;

/// What is told where the running statistics could not be made pending again.
const BROUGHT_UP_TO_DATE: &str = "copying the running statistics of batch norm has brought them up to date: whatever reads them before the next training step sees them a step early, this once";

/// How the model computes the loss that is measured.
pub(crate) struct Mode<M> {
    /// What computes with batch statistics, where the configuration asks for it and the model has a batch norm
    /// that trains.
    copy: Option<BatchStatistics<M>>,
    /// Whether the model computes in training what it computes in this mode, as far as its structure tells.
    pub(crate) is_same_in_training: bool,
    /// What the user is to be told of it.
    pub(crate) notice: Option<&'static str>,
}

impl<M: Module> Mode<M> {
    /// Validation mode.
    pub(crate) fn validation(model: &M) -> Self {
        let enabled = EnabledFlags::of(model);
        Self {
            copy: None,
            is_same_in_training: !enabled.in_batch_norm && !enabled.elsewhere,
            notice: None,
        }
    }

    /// Validation mode but for batch norm, which computes from the batch. `known` is the copy that an earlier
    /// measurement has made.
    ///
    /// `is_alone` says whether no other thread uses the model.
    pub(crate) fn batch_statistics(
        model: &M,
        known: Option<BatchStatistics<M>>,
        is_alone: bool,
        losses: &mut dyn Losses<M>,
    ) -> Result<Self, Failure> {
        let enabled = EnabledFlags::of(model);
        if !enabled.in_batch_norm {
            return Ok(Self::validation(model));
        }
        let (copy, notice) = match known.filter(|copy| copy.places == places(model)) {
            Some(copy) => (copy, None),
            None => BatchStatistics::new(model, is_alone, losses)?,
        };
        Ok(Self {
            copy: Some(copy),
            is_same_in_training: !enabled.elsewhere,
            notice,
        })
    }

    /// The model, given at some weights in validation mode, as it computes the loss.
    fn at<'a>(&self, moved: &'a M) -> Cow<'a, M> {
        match &self.copy {
            Some(copy) => Cow::Owned(copy.filled(Tensors::of(moved), true)),
            None => Cow::Borrowed(moved),
        }
    }

    /// Whether batch norm computes from the batch.
    pub(crate) fn has_batch_statistics(&self) -> bool {
        self.copy.is_some()
    }

    /// The copy, for the next measurement.
    pub(crate) fn into_copy(self) -> Option<BatchStatistics<M>> {
        self.copy
    }
}

/// Losses of a model in a mode, or the reason that there is none.
pub(crate) struct InMode<'a, M> {
    pub(crate) mode: &'a Result<Mode<M>, Failure>,
    pub(crate) losses: &'a mut dyn Losses<M>,
}

impl<M: Module> Losses<M> for InMode<'_, M> {
    fn losses(&mut self, model: &M) -> Result<BatchLosses, Failure> {
        let mode = self.mode.as_ref().map_err(Failure::clone)?;
        self.losses.losses(&mode.at(model))
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        let mode = self.mode.as_ref().ok()?;
        let mut gradient = self.losses.gradient()?;
        Some(Box::new(move |model| gradient(&mode.at(model))))
    }
}

/// Where a model behaves differently in training: dropout, noise, randomized activations, batch norm.
#[derive(Default)]
struct EnabledFlags {
    in_batch_norm: bool,
    elsewhere: bool,
    path: Path,
}

impl EnabledFlags {
    fn of<M: Module>(model: &M) -> Self {
        let mut enabled = Self::default();
        model.visit(&mut enabled);
        enabled
    }
}

impl ModuleVisitor for EnabledFlags {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        if self.path.is_in_batch_norm() {
            self.in_batch_norm |= flag.is_enabled();
        } else {
            self.elsewhere |= flag.is_enabled();
        }
    }
}

/// A copy of a model whose batch norms compute from the batch, as in training, while all else (dropout,
/// noise) stays off.
///
/// In training, a forward pass of a batch norm writes into its running statistics, which every clone of a
/// model shares. This copy has running statistics of its own. Burn makes such a copy in one way only,
/// [`Module::valid`], which flushes the pending statistics of the original: so it is made once a run, and
/// what was pending is made pending again. The tensors of the model are put into the copy at each
/// evaluation. The fields that no visitor sees stay as they were when it was made.
pub(crate) struct BatchStatistics<M> {
    model: M,
    places: Vec<(ParamId, bool)>,
    /// Whether the weights need autodiff for the batch norms to see it, since the batch has none.
    lifts: bool,
}

impl<M: Module> BatchStatistics<M> {
    /// The copy, and what the user is to be told of its making.
    fn new(
        model: &M,
        is_alone: bool,
        losses: &mut dyn Losses<M>,
    ) -> Result<(Self, Option<&'static str>), Failure> {
        let before = Tensors::of(model);
        let mut copy = Self {
            model: model.valid().map(&mut Strip),
            places: places(model),
            lifts: false,
        };
        let flushed = before.differing(model)?;
        let is_computed = copy.learn_whether_to_lift(model, losses)?;
        let is_put_back = flushed.is_empty()
            || is_alone && copy.make_pending_again(model, &before, &flushed, losses)?;
        if !is_computed {
            return Err(Failure::NoBatchStatistics);
        }
        Ok((copy, (!is_put_back).then_some(BROUGHT_UP_TO_DATE)))
    }

    /// Finds out whether the batch norms see autodiff. Returns whether they do at all.
    fn learn_whether_to_lift(
        &mut self,
        model: &M,
        losses: &mut dyn Losses<M>,
    ) -> Result<bool, Failure> {
        for lifts in [false, true] {
            self.lifts = lifts;
            let copy = self.filled(Tensors::of(&model.valid()), true);
            if losses.last(&copy)?.is_finite() {
                return Ok(true);
            }
        }
        // Either the loss is not finite anyway, or a batch norm has read what it should not.
        self.lifts = false;
        let with_running = losses.last(&self.filled(Tensors::of(&model.valid()), false))?;
        Ok(!with_running.is_finite())
    }

    /// Makes the statistics pending again that copying has flushed, if the forward pass that made them can
    /// be made again: that of the same batch, from the statistics before it. Returns whether it could.
    fn make_pending_again(
        &self,
        model: &M,
        before: &Tensors,
        flushed: &[ParamId],
        losses: &mut dyn Losses<M>,
    ) -> Result<bool, Failure> {
        let rewind = |model: M| {
            model.map(&mut Rewind {
                tensors: before,
                ids: flushed,
                path: Path::default(),
            })
        };
        let after = Tensors::of(model);
        // On the copy first, where the outcome can be looked at. It has nothing pending before.
        self.model.valid();
        let replayed = rewind(self.filled(Tensors::of(&model.valid()), false));
        losses.last(&replayed)?;
        let differing = after.differing(&replayed.valid())?;
        if differing.iter().any(|id| flushed.contains(id)) {
            return Ok(false);
        }
        let rewound = rewind(model.clone());
        losses.last(&rewound)?;
        Ok(true)
    }

    /// The copy with these tensors.
    fn filled(&self, tensors: Tensors, hides_running: bool) -> M {
        let mut fill = Fill::new(tensors, hides_running, self.lifts);
        self.model.clone().map(&mut fill)
    }
}
