mod update;

pub use update::{Step, Update};

use crate::failure::Failure;
use crate::loss::{BatchLosses, IntoLoss};
use crate::losses::{Coverage, Gradient, Losses, Point};
use crate::measure::Facts;
use crate::params::copy_gradients;
use crate::probe::SharpnessProbe;
use crate::schedule::Place;
use crate::session::{Door, Session, say};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use sharpness_record::Measurement;
use std::sync::Arc;
use update::Known;

const COMPUTES_ANOTHER: &str = "the closure computes another loss than `with_training_loss` got, perhaps on another batch, in another mode or without a penalty; give both the loss whose gradient the step uses, on the batch that made it";

impl SharpnessProbe {
    /// Measures if this step is due, and counts the step. Returns `None` if it is not due.
    ///
    /// Call `measure` once a step, between the backward pass and the optimizer's step, with the model, the optimizer,
    /// the learning rate (a number, or a number per group) and the gradients of this step. `loss` must compute the loss
    /// whose gradient is `grads`, on the same batch, of the model at other weights. If `loss` returns the losses of the
    /// examples, the record has an interval for η_c.
    ///
    /// The optimizer and the model stay unchanged. `loss` gets the model in validation mode, without autodiff, and must
    /// not call `train` on it, which would flush batch norm's running statistics. A loss that draws random numbers
    /// moves the run's random state twice; the probe then refuses it for good.
    pub fn measure<M: Module + 'static, L: IntoLoss>(
        &self,
        model: &M,
        optim: &ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: &GradientsParams,
        loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        self.measure_update(Update::new(model, optim, learning_rate, grads), loss)
    }

    /// Measures like [`measure`](Self::measure), given the loss of the training step, a loss to differentiate for the
    /// curvature, or both.
    ///
    /// ```
    /// use burn::module::{Module, Param};
    /// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::hessian::CurvatureConfig;
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe, Update};
    ///
    /// #[derive(Module, Debug)]
    /// struct Point {
    ///     theta: Param<Tensor<1>>,
    /// }
    ///
    /// // L = 3θ²: λ_c, λ_dir and λ_max are all the second derivative, 6.
    /// let loss = |point: &Point| (point.theta.val().square() * 3.0).sum();
    /// let device = Device::flex().autodiff();
    /// let point = Point { theta: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    /// let optim: ModuleOptimizer = SgdConfig::new().init();
    ///
    /// let config = SharpnessConfig::new().with_curvature(CurvatureConfig::new(10));
    /// let probe = SharpnessProbe::new(config)?;
    /// let at_this_step = loss(&point);
    /// let grads = GradientsParams::from_grads(at_this_step.backward(), &point);
    /// let update = Update::new(&point, &optim, 0.1, &grads)
    ///     .with_training_loss(at_this_step)
    ///     .with_curvature(loss);
    /// let measured = probe.measure_update(update, loss).unwrap();
    /// assert!((measured.critical_sharpness.unwrap() - 6.0).abs() < 0.1);
    /// let curvature = measured.curvature.as_ref().unwrap();
    /// assert!((curvature.hessian_sharpness.value.unwrap() - 6.0).abs() < 0.1);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn measure_update<M: Module + 'static, L: IntoLoss>(
        &self,
        update: Update<'_, M>,
        loss: impl FnMut(&M) -> L,
    ) -> Option<Arc<Measurement>> {
        let (model, known) = (update.model, update.known);
        let place = self.begin_step(model, &known.learning_rate)?;
        let grads = copy_gradients(model, update.grads, |_| true);
        let mut closure = Closure { loss, known };
        self.session(place, &mut closure, grads)
            .look(model, update.optim)
    }

    /// Makes the optimizer's step, measures along it if a measurement is due, and returns the model after the step.
    ///
    /// The call replaces [`measure`](Self::measure) and the optimizer's step, with the same result. The weights after
    /// the step show the direction of the update, so a measurement takes about one copy of the weights, and no second
    /// set of moments. In a few [cases](crate::SharpnessConfig::with_step_first), the probe falls back to `measure`.
    ///
    /// ```
    /// use burn::module::{Module, Param};
    /// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// #[derive(Module, Debug)]
    /// struct Point {
    ///     theta: Param<Tensor<1>>,
    /// }
    ///
    /// // L = 3θ², whose second derivative is 6.
    /// let loss = |point: &Point| (point.theta.val().square() * 3.0).sum();
    /// let device = Device::flex().autodiff();
    /// let point = Point { theta: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    /// let mut optim: ModuleOptimizer = SgdConfig::new().init();
    ///
    /// let probe = SharpnessProbe::new(SharpnessConfig::new())?;
    /// let grads = GradientsParams::from_grads(loss(&point).backward(), &point);
    /// let point = probe.optimize(point, &mut optim, 0.1, grads, loss);
    /// assert!((point.theta.val().into_scalar::<f64>() - 0.8).abs() < 1e-6); // 2 - 0.1 * 12
    /// let measured = probe.latest("train").unwrap();
    /// assert!((measured.critical_sharpness.unwrap() - 6.0).abs() < 0.1);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn optimize<M: Module + 'static, L: IntoLoss>(
        &self,
        model: M,
        optim: &mut ModuleOptimizer,
        learning_rate: impl Into<ModuleLearningRate>,
        grads: GradientsParams,
        loss: impl FnMut(&M) -> L,
    ) -> M {
        self.optimize_step(Step::new(model, optim, learning_rate, grads), loss)
    }

    /// Makes and measures a step like [`optimize`](Self::optimize), given the loss of the training step, a loss to
    /// differentiate for the curvature, or both.
    pub fn optimize_step<M: Module + 'static, L: IntoLoss>(
        &self,
        step: Step<'_, M>,
        loss: impl FnMut(&M) -> L,
    ) -> M {
        let (model, grads, known) = (step.model, step.grads, step.known);
        let Some(place) = self.begin_step(&model, &known.learning_rate) else {
            return step.optim.step(known.learning_rate, model, grads);
        };
        let kept = copy_gradients(&model, &grads, |_| true);
        let mut closure = Closure { loss, known };
        let session = self.session(place, &mut closure, kept);
        session.step(model, step.optim, |model, optim, rate| {
            optim.step(rate, model, grads)
        })
    }

    fn begin_step<M: Module>(&self, model: &M, rate: &ModuleLearningRate) -> Option<Place> {
        if !self.is_enabled() {
            return None;
        }
        let notice = self.measuring().calls.note(model);
        if let Some(notice) = notice {
            self.tell(notice.to_string());
            say(notice);
        }
        self.run().begin_step(rate.base(), self.config())
    }

    fn session<'a, M, L: IntoLoss, F: FnMut(&M) -> L>(
        &'a self,
        place: Place,
        closure: &'a mut Closure<'_, M, F>,
        grads: GradientsParams,
    ) -> Session<'a, M> {
        let training_loss = closure.known.training_loss.take().map(|loss| vec![loss]);
        let facts = Facts {
            place,
            learning_rate: closure.known.learning_rate.clone(),
            batches: 1,
            coverage: Coverage {
                share: 1.0,
                workers: None,
            },
            squared_gradients: Vec::new(),
            training_loss: training_loss.and_then(|losses| BatchLosses::new(losses).ok()),
            is_on_one_device: true,
            batches_home: None,
            advice: COMPUTES_ANOTHER,
        };
        Session {
            probe: self,
            door: Door::Loop,
            facts,
            grads,
            losses: closure,
            seat: None,
            kept: self.shared.kept.clone(),
            copy: None,
            is_alone: true,
            is_of_this_thread: true,
            may_step_first: true,
        }
    }
}

struct Closure<'a, M, F> {
    loss: F,
    known: Known<'a, M>,
}

impl<M, L: IntoLoss, F: FnMut(&M) -> L> Losses<M> for Closure<'_, M, F> {
    fn losses(&mut self, model: &M, _at: &Point) -> Result<BatchLosses, Failure> {
        let loss = (self.loss)(model).into_loss()?;
        Ok(BatchLosses::new(vec![loss])?)
    }

    fn gradient(&mut self) -> Option<Gradient<'_, M>> {
        let gradient = self.known.gradient.as_mut()?;
        Some(Box::new(move |model| gradient(model)))
    }
}
