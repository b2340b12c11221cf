use crate::batches::TaskBatches;
use crate::config::{BatchSharpnessConfig, ConfigError, SharpnessConfig};
use crate::journal::ClaimedFolder;
use crate::loss::IntoLoss;
use crate::probe::{Measuring, SharpnessProbe};
use crate::task::{Task, TaskKind, on_batches, validate_name};
use burn::module::{Module, ParamGroup};
use burn::tensor::Tensor;
use sharpness_record::WriteError;

/// Builds a [`SharpnessProbe`] that measures other losses along the training's update, or single parameter groups.
#[must_use]
pub struct SharpnessProbeBuilder {
    config: SharpnessConfig,
    measuring: Measuring,
    refused: Option<ConfigError>,
}

impl SharpnessProbe {
    /// Creates a probe that measures the training loss.
    ///
    /// # Errors
    ///
    /// Returns an error for an invalid value, and for a folder that cannot be written or that another probe writes to.
    pub fn new(config: SharpnessConfig) -> Result<Self, ConfigError> {
        Self::builder(config).build()
    }

    /// Begins a probe that also measures other losses or single parameter groups.
    pub fn builder(config: SharpnessConfig) -> SharpnessProbeBuilder {
        SharpnessProbeBuilder {
            config,
            measuring: Measuring::default(),
            refused: None,
        }
    }
}

impl SharpnessProbeBuilder {
    /// Measures another loss along each measured update: the **relative critical sharpness** λ_c^{1→2} = 2/η_c^{1→2}
    /// with η_c^{1→2} = min { η > 0 : L₁(θ − ηΔθ₂) > L₁(θ) }, for the training's update Δθ₂ and the loss L₁ of this
    /// task (arXiv 2601.16979).
    ///
    /// `batches` are the task's own: a `Vec`, or a data loader of burn's. `loss` computes the loss of one batch, with
    /// the model in validation mode. The measurements are lines of the record with `task` = `name`, and a chart in
    /// burn's dashboard. The outcome is `no_increase` if the update helps the task without limit, and `not_descent` if
    /// it hurts the task immediately.
    ///
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// // Moves the outputs for the input 1 towards a target.
    /// fn loss(model: &Linear, target: f32) -> Tensor<1> {
    ///     let x = Tensor::<2>::ones([1, 1], &model.weight.device());
    ///     (model.forward(x) - target).square().mean()
    /// }
    ///
    /// let model = LinearConfig::new(1, 1).init(&Device::flex().autodiff());
    /// let probe = SharpnessProbe::builder(SharpnessConfig::new())
    ///     .with_task("nearer", vec![50.0], loss)
    ///     .build()?;
    ///
    /// // Measures along the update that training for 100 would make, without the update.
    /// let optim: ModuleOptimizer = SgdConfig::new().init();
    /// let grads = GradientsParams::from_grads(loss(&model, 100.0).backward(), &model);
    /// let train = probe.measure(&model, &optim, 0.1, &grads, |model| loss(model, 100.0)).unwrap();
    /// let nearer = probe.latest("nearer").unwrap();
    /// assert!(nearer.critical_lr < train.critical_lr);
    /// assert_eq!(train.limiting_task.as_deref(), Some("nearer"));
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    ///
    /// [`build`](Self::build) refuses a name that is taken, or that cannot be part of a file name.
    pub fn with_task<M, B, L>(
        self,
        name: &str,
        batches: impl Into<TaskBatches<B>>,
        loss: impl Fn(&M, B) -> L + Send + 'static,
    ) -> Self
    where
        M: Module + 'static,
        B: Clone + Send + 'static,
        L: IntoLoss + 'static,
    {
        let loss = move |model: &M, batch| loss(model, batch).into_loss();
        self.with(name, TaskKind::Loss(on_batches(batches.into(), loss)))
    }

    /// Lists the training loss as a task of this name in the record, without another evaluation.
    pub fn with_training_task(self, name: &str) -> Self {
        self.with(name, TaskKind::Training)
    }

    /// Measures the training loss along the update of a parameter group while all others stay. The group costs one more
    /// search, and as many gradients again if the probe measures the [curvature](SharpnessConfig::with_curvature).
    ///
    /// The record and the dashboard show a group like a task, but never as the limiting task.
    ///
    /// ```
    /// use burn::module::ParamGroup;
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// let probe = SharpnessProbe::builder(SharpnessConfig::new())
    ///     .with_group("embedding", ParamGroup::from_predicate("embedding"))
    ///     .build()?;
    /// assert_eq!(&*probe.task_names()[0], "embedding");
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn with_group(self, name: &str, group: ParamGroup) -> Self {
        self.with(name, TaskKind::Group(group.into()))
    }

    /// Measures **batch sharpness** at some of the steps: `E[gᵀHg/‖g‖²]` and its interaction-aware form
    /// `E[gᵀHg]/E‖g‖²`, with the gradient g and the Hessian H of the loss on one of several batches (arXiv 2412.20553).
    /// SGD on such batches tends towards a batch sharpness of 2/η.
    ///
    /// Give fresh batches of the training's size: a `Vec`, or a data loader of burn's that the training does not use.
    /// `loss` computes the mean loss of one batch, with the model in validation mode, and is differentiated over the
    /// parameters that have a gradient in the step. A batch costs a gradient and about six evaluations of the loss.
    ///
    /// ```
    /// use burn::nn::{Initializer, Linear, LinearConfig};
    /// use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_sharpness::hessian::BatchSharpnessConfig;
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// // (w − x)²x: its gradient 2(w − x)x has the curvature 2x along itself.
    /// fn loss(model: &Linear, x: f64) -> Tensor<1> {
    ///     ((model.weight.val() - x).square() * x).sum()
    /// }
    ///
    /// let device = Device::flex().autodiff();
    /// let model = LinearConfig::new(1, 1).with_bias(false).with_initializer(Initializer::Ones);
    /// let model = model.init(&device);
    /// let config = BatchSharpnessConfig::new(10).with_batches(2);
    /// let probe = SharpnessProbe::builder(SharpnessConfig::new())
    ///     .with_batch_sharpness(config, vec![3.0, 5.0], loss)
    ///     .build()?;
    ///
    /// let optim: ModuleOptimizer = SgdConfig::new().init();
    /// let grads = GradientsParams::from_grads(loss(&model, 4.0).backward(), &model);
    /// let measured = probe.measure(&model, &optim, 0.1, &grads, |model| loss(model, 4.0)).unwrap();
    /// let batch_sharpness = measured.batch_sharpness.clone().unwrap();
    /// // The mean of 6 and 10.
    /// assert!((batch_sharpness.value.unwrap() - 8.0).abs() < 0.05);
    /// assert!((batch_sharpness.standard_error.unwrap() - 2.0).abs() < 0.05);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn with_batch_sharpness<M, B>(
        mut self,
        config: BatchSharpnessConfig,
        batches: impl Into<TaskBatches<B>>,
        loss: impl Fn(&M, B) -> Tensor<1> + Send + 'static,
    ) -> Self
    where
        M: Module + 'static,
        B: Clone + Send + 'static,
    {
        self.config.batch_sharpness = Some(config);
        self.measuring.batch_loss = Some(on_batches(batches.into(), loss));
        self
    }

    fn with(mut self, name: &str, kind: TaskKind) -> Self {
        let tasks = &mut self.measuring.tasks;
        match validate_name(name, tasks) {
            Ok(()) => tasks.push(Task {
                name: name.into(),
                kind,
            }),
            Err(error) => self.refused = self.refused.or(Some(error)),
        }
        self
    }

    /// Builds the probe.
    ///
    /// # Errors
    ///
    /// Returns an error for an invalid value or name, and for a folder that cannot be written or that another probe
    /// writes to.
    pub fn build(self) -> Result<SharpnessProbe, ConfigError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let search = self.config.validate()?;
        let folder = self.config.directory.as_deref();
        let folder = folder
            .map(ClaimedFolder::claim)
            .transpose()
            .map_err(|error| {
                let directory = self.config.directory.clone().unwrap_or_default();
                match error {
                    WriteError::Busy { .. } => ConfigError::DirectoryInUse { directory },
                    error => ConfigError::Directory {
                        directory,
                        source: std::io::Error::other(error),
                    },
                }
            })?;
        let (config, measuring) = (self.config, self.measuring);
        Ok(SharpnessProbe::from_parts(
            config,
            Some(search),
            measuring,
            folder,
        ))
    }
}
