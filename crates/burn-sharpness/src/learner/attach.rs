use super::hook::Hook;
use super::objective::{Batch, Objective, TrainingLoss};
use super::probed::Probed;
use crate::loss::{IntoLoss, Loss, LossError};
use crate::probe::SharpnessProbe;
use burn::data::dataloader::Progress;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn::train::metric::{Adaptor, LossInput, LossMetric, Metric, MetricMetadata, Numeric};
use burn::train::{InferenceStep, LearnerModel, TrainStep};
use std::sync::Arc;

impl SharpnessProbe {
    /// Attaches the probe to a model, for burn's `Learner`.
    ///
    /// The probe takes the loss that the model's inference step reports to burn's `LossMetric` on the training batch.
    /// If the training step reports the same loss to rounding, its loss serves as L(θ), which saves a forward pass. If
    /// the model's inference takes another input or reports no loss, use [`attach_with`](Self::attach_with).
    ///
    /// A probe measures the model that it was attached to last. Attaching a used probe begins a new run.
    pub fn attach<M>(&self, model: M) -> Probed<M>
    where
        M: ReportsLoss,
        <M as TrainStep>::Input: Clone,
    {
        let objective: Objective<M> = Arc::new(|model: &M, batch: Batch<M>| {
            reported_loss(&model.loss_of_inference(batch), model)
        });
        let training_loss: TrainingLoss<M> =
            Arc::new(|model, output| reported_loss(&M::loss_of_training(output), model));
        let hook = Hook::new(self, &model, objective, Some(training_loss));
        Probed::new(model, hook)
    }

    /// Attaches the probe to a model whose training loss on a batch is `loss(model, batch)`.
    ///
    /// `loss` gets the model in validation mode and free of autodiff. If it returns the losses of the examples, the
    /// record has an interval for η_c. If it uses only a part of the batch, it must say so by
    /// [`Loss::with_batch_fraction`].
    ///
    /// ```
    /// use burn::module::{Module, Param};
    /// use burn::tensor::{Device, Tensor};
    /// use burn::train::{InferenceStep, RegressionOutput, TrainOutput, TrainStep};
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// #[derive(Module, Debug)]
    /// struct Scale {
    ///     factor: Param<Tensor<1>>,
    /// }
    ///
    /// impl Scale {
    ///     /// The losses of the examples.
    ///     fn losses(&self, x: Tensor<2>) -> Tensor<2> {
    ///         (x.clone() * self.factor.val().unsqueeze() - x).square()
    ///     }
    /// }
    ///
    /// impl TrainStep for Scale {
    ///     type Input = Tensor<2>;
    ///     type Output = RegressionOutput;
    ///
    ///     fn step(&self, x: Tensor<2>) -> TrainOutput<RegressionOutput> {
    ///         let loss = self.losses(x.clone()).mean();
    ///         TrainOutput::new(self, loss.backward(), RegressionOutput::new(loss, x.clone(), x))
    ///     }
    /// }
    /// # impl InferenceStep for Scale {
    /// #     type Input = Tensor<2>;
    /// #     type Output = RegressionOutput;
    /// #     fn step(&self, x: Tensor<2>) -> RegressionOutput {
    /// #         RegressionOutput::new(self.losses(x.clone()).mean(), x.clone(), x)
    /// #     }
    /// # }
    ///
    /// let device = Device::flex().autodiff();
    /// let model = Scale { factor: Param::from_tensor(Tensor::from_floats([0.5], &device)) };
    /// let probe = SharpnessProbe::new(SharpnessConfig::new())?;
    /// let model = probe.attach_with(model, |model: &Scale, x| model.losses(x));
    /// // Give `model` to burn's `Learner`; afterwards the bare model is `model.into_inner()`.
    /// assert_eq!(model.into_inner().factor.val().into_scalar::<f64>(), 0.5);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn attach_with<M, L>(
        &self,
        model: M,
        loss: impl Fn(&M, <M as TrainStep>::Input) -> L + Send + Sync + 'static,
    ) -> Probed<M>
    where
        M: LearnerModel,
        <M as TrainStep>::Input: Clone,
        L: IntoLoss,
    {
        let objective: Objective<M> = Arc::new(move |model, batch| loss(model, batch).into_loss());
        let hook = Hook::new(self, &model, objective, None);
        Probed::new(model, hook)
    }
}

/// Marks a model that [`attach`](SharpnessProbe::attach) accepts: its inference takes the training batch, and both
/// training and inference report a loss to burn's `LossMetric`. Every such model implements it.
#[diagnostic::on_unimplemented(
    message = "`attach` cannot find the training loss of `{Self}`",
    label = "it has no `InferenceStep`, or its inference takes another input than its training, or one of the two reports no loss to burn's `LossMetric`",
    note = "if it has no `InferenceStep`, implement one first: burn's `Learner` needs it to validate, and so does `attach_with`",
    note = "otherwise return the loss of the model on a training batch yourself: `probe.attach_with(model, |model, batch| …)`"
)]
pub trait ReportsLoss: LearnerModel {
    /// Returns the loss that the inference step reports on a training batch.
    #[doc(hidden)]
    fn loss_of_inference(&self, batch: <Self as TrainStep>::Input) -> LossInput;

    /// Returns the loss that the training step has reported.
    #[doc(hidden)]
    fn loss_of_training(output: &<Self as TrainStep>::Output) -> LossInput;
}

#[diagnostic::do_not_recommend]
impl<M> ReportsLoss for M
where
    M: LearnerModel + InferenceStep<Input = <M as TrainStep>::Input>,
    <M as TrainStep>::Output: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    fn loss_of_inference(&self, batch: <Self as TrainStep>::Input) -> LossInput {
        InferenceStep::step(self, batch).adapt()
    }

    fn loss_of_training(output: &<Self as TrainStep>::Output) -> LossInput {
        output.adapt()
    }
}

/// Burn does not report the loss's type, so the parameters' type stands in.
fn reported_loss<M: Module>(input: &LossInput, model: &M) -> Result<Loss, LossError> {
    let metadata = MetricMetadata {
        progress: Progress::new(0, 0, None),
        iteration: None,
        lr: None,
    };
    let mut metric = LossMetric::new();
    let updated = metric.update(input, &metadata);
    updated.map_err(|error| LossError::Read(error.to_string()))?;
    let value = metric.value().ok_or(LossError::NotReported)?;
    Ok(Loss::new(value.current(), parameter_epsilon(model)))
}

fn parameter_epsilon<M: Module>(model: &M) -> f64 {
    struct Coarsest(f64);

    impl ModuleVisitor for Coarsest {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(precision) = param.base().dtype().finfo() {
                self.0 = self.0.max(precision.epsilon);
            }
        }
    }

    // A loss rarely has more than 32 bits, whatever the parameters have.
    let mut coarsest = Coarsest(f64::from(f32::EPSILON));
    model.visit(&mut coarsest);
    coarsest.0
}
