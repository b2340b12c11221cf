mod places;
mod view;

pub(crate) use view::ValidationView;

use crate::failure::Failure;
use crate::loss::BatchLosses;
use crate::losses::{Coverage, Gradient, Losses, Point};
use burn::module::{Flag, Module, ModuleVisitor, Param, ParamId};
use places::{Fill, Path, Rewind, Strip, Tensors, places};
use std::borrow::Cow;

const BROUGHT_UP_TO_DATE: &str = "copying the running statistics of batch norm has brought them up to date: this time only, a reader before the next training step sees them a step early";

pub(crate) struct Mode<M> {
    pub(crate) copy: Option<BatchStatistics<M>>,
    pub(crate) is_same_in_training: bool,
    pub(crate) notice: Option<&'static str>,
}

impl<M: Module> Mode<M> {
    pub(crate) fn validation(model: &M) -> Self {
        let enabled = EnabledFlags::of(model);
        Self {
            copy: None,
            is_same_in_training: !enabled.in_batch_norm && !enabled.elsewhere,
            notice: None,
        }
    }

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

    fn at<'a>(&self, moved: &'a M) -> Cow<'a, M> {
        match &self.copy {
            Some(copy) => Cow::Owned(copy.filled(Tensors::of(moved), true)),
            None => Cow::Borrowed(moved),
        }
    }
}

pub(crate) struct InMode<'a, M> {
    pub(crate) mode: &'a Result<Mode<M>, Failure>,
    pub(crate) losses: &'a mut dyn Losses<M>,
}

impl<M: Module> Losses<M> for InMode<'_, M> {
    fn losses(&mut self, model: &M, at: &Point) -> Result<BatchLosses, Failure> {
        let mode = self.mode.as_ref().map_err(Failure::clone)?;
        self.losses.losses(&mode.at(model), at)
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        let mode = self.mode.as_ref().ok()?;
        let mut gradient = self.losses.gradient()?;
        Some(Box::new(move |model| gradient(&mode.at(model))))
    }

    fn go_on(&mut self) -> Option<Coverage> {
        self.losses.go_on()
    }

    fn end(&mut self) {
        self.losses.end();
    }
}

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

/// In training, batch norm writes into running statistics that all clones of a model share. Only [`Module::valid`]
/// makes a copy with its own, and it flushes the original's pending statistics. So the probe makes one copy per run,
/// makes the flushed statistics pending again, and fills the copy with the model's tensors for each evaluation.
pub(crate) struct BatchStatistics<M> {
    model: M,
    places: Vec<(ParamId, bool)>,
    /// Whether batch norms see autodiff only if the weights have it.
    lifts: bool,
}

impl<M: Module> BatchStatistics<M> {
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
        // The loss is not finite anyway, or a batch norm has read the running statistics.
        self.lifts = false;
        let with_running = losses.last(&self.filled(Tensors::of(&model.valid()), false))?;
        Ok(!with_running.is_finite())
    }

    /// Repeats the forward pass of the flushed statistics. Returns whether this succeeded.
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
        // Flushes the copy, so that only the replay is pending in it.
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

    fn filled(&self, tensors: Tensors, hides_running: bool) -> M {
        self.model.clone().map(&mut Fill {
            tensors,
            hides_running,
            lifts: self.lifts,
            ..Fill::default()
        })
    }
}
