use crate::{Batch, Data, Mlp, Recorder, device, model, probe_of, sgd};
use burn::data::dataloader::Progress;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::ModuleOptimizer;
use burn::train::metric::{Adaptor, LearningRateMetric, LossInput, LossMetric, MetricMetadata};
use burn::train::renderer::MetricsRenderer;
use burn::train::{
    ExecutionStrategy, InferenceStep, Learner, LearnerModel, MultiDeviceOptim, SupervisedTraining,
    TrainStep,
};
use burn_sharpness::{
    MEASUREMENTS_FILE, Measurement, SharpnessConfig, SharpnessMetrics, SharpnessProbe,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub trait Trainable:
    LearnerModel
    + TrainStep<Input = Batch, Output: Adaptor<LossInput>>
    + InferenceStep<Input = Batch, Output: Adaptor<LossInput>>
{
}

impl<M> Trainable for M where
    M: LearnerModel
        + TrainStep<Input = Batch, Output: Adaptor<LossInput>>
        + InferenceStep<Input = Batch, Output: Adaptor<LossInput>>
{
}

/// A run of burn's supervised training on [`Data`], without output.
pub struct Training {
    pub directory: PathBuf,
    pub data: Data,
    pub epochs: usize,
    pub accumulation: Option<usize>,
    pub checkpoint: Option<usize>,
    /// The place of the optimizer for two workers, each with all batches; `None` for a single worker.
    pub workers: Option<MultiDeviceOptim>,
    pub has_dashboard: bool,
    pub has_panel: bool,
}

impl Training {
    /// Two epochs of seven batches.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_path_buf(),
            data: Data::new(7, 16, &device::autodiff()),
            epochs: 2,
            accumulation: None,
            checkpoint: None,
            workers: None,
            has_dashboard: false,
            has_panel: false,
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Attaches the probe to the model.
    pub fn fit<M: Trainable>(
        self,
        model: M,
        optim: ModuleOptimizer,
        scheduler: impl Into<ModuleLrScheduler>,
        probe: Option<&SharpnessProbe>,
    ) -> (M, Recorder) {
        let Some(of_model) = probe else {
            return self.launch(model, optim, scheduler, None);
        };
        let (model, recorder) = self.launch(of_model.attach(model), optim, scheduler, probe);
        (model.into_inner(), recorder)
    }

    pub fn launch<M: Trainable>(
        self,
        model: M,
        optim: ModuleOptimizer,
        scheduler: impl Into<ModuleLrScheduler>,
        probe: Option<&SharpnessProbe>,
    ) -> (M, Recorder) {
        let (training, recorder) = self.prepare(probe);
        let result = training.launch(Learner::new(model, optim, scheduler));
        assert!(result.error.is_none(), "{:?}", result.error);
        (result.model, recorder)
    }

    /// With the probe's metrics.
    pub fn prepare<M: Trainable>(
        self,
        probe: Option<&SharpnessProbe>,
    ) -> (SupervisedTraining<M>, Recorder) {
        let recorder = Recorder::default();
        let renderer: Box<dyn MetricsRenderer> = match probe {
            Some(probe) if self.has_dashboard => probe.dashboard(Box::new(recorder.clone())),
            _ => Box::new(recorder.clone()),
        };
        let valid = Data::new(2, 16, &device::plain());
        let mut training =
            SupervisedTraining::new(&self.directory, self.data.loader(), valid.loader())
                .metrics((LossMetric::new(),))
                .metric_train_numeric(LearningRateMetric::new())
                .num_epochs(self.epochs)
                .with_default_checkpointers()
                .with_application_logger(None)
                .renderer(renderer);
        if let Some(accumulation) = self.accumulation {
            training = training.grads_accumulation(accumulation);
        }
        if let Some(checkpoint) = self.checkpoint {
            training = training.checkpoint(checkpoint);
        }
        if let Some(optim) = self.workers {
            let strategy = ExecutionStrategy::multi(device::two().to_vec(), optim);
            training = training.with_training_strategy(strategy.into());
        }
        if let Some(probe) = probe {
            training = training.metrics_sharpness(probe);
            if self.has_panel {
                training = training.metrics_panel(probe);
            }
        }
        (training, recorder)
    }
}

/// What a metric is told at an item.
pub fn metadata(learning_rate: Option<f64>) -> MetricMetadata {
    MetricMetadata {
        progress: Progress::new(1, 1, None),
        iteration: Some(1),
        lr: learning_rate.map(Into::into),
    }
}

/// Without output.
pub fn silent<M: LearnerModel>(training: SupervisedTraining<M>) -> SupervisedTraining<M> {
    let renderer = Box::new(Recorder::default());
    training.renderer(renderer).with_application_logger(None)
}

pub fn measurements(directory: &Path) -> Vec<Measurement> {
    let content = std::fs::read_to_string(directory.join(MEASUREMENTS_FILE)).unwrap();
    let lines = content.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

pub fn steps(directory: &Path) -> Vec<u64> {
    measurements(directory).iter().map(|m| m.step).collect()
}

/// Asserts that records are the same except for times, and for fields whose names contain one of these words.
#[track_caller]
pub fn assert_same_records(measured: &[Measurement], expected: &[Measurement], except: &[&str]) {
    fn strip(value: &mut Value, except: &[&str]) {
        if let Value::Object(fields) = value {
            let is_left_out = |name: &str| except.iter().any(|word| name.contains(word));
            fields.retain(|name, _| name != "seconds" && !is_left_out(name));
            fields.values_mut().for_each(|value| strip(value, except));
        }
    }
    let stripped = |measurement: &Measurement| {
        let mut value = serde_json::to_value(measurement).unwrap();
        strip(&mut value, except);
        value
    };
    assert_eq!(measured.len(), expected.len());
    for (measured, expected) in measured.iter().zip(expected) {
        assert_eq!(stripped(measured), stripped(expected));
    }
}

/// A run with a probe, in a folder of its own.
pub struct Ran {
    pub folder: TempDir,
    pub probe: SharpnessProbe,
    pub model: Mlp,
    pub recorder: Recorder,
    pub measured: Vec<Measurement>,
}

impl Ran {
    /// Measures every so many steps, of gradient descent at a learning rate of 0.1.
    pub fn new(every: u64, change: impl FnOnce(&mut Training)) -> Self {
        Self::every(every, (model(), sgd(), 0.1), change)
    }

    pub fn every(
        steps: u64,
        start: (Mlp, ModuleOptimizer, impl Into<ModuleLrScheduler>),
        change: impl FnOnce(&mut Training),
    ) -> Self {
        Self::of(|config| probe_of(config.with_every(steps)), start, change)
    }

    /// `probe` gets a configuration with the folder.
    pub fn of(
        probe: impl FnOnce(SharpnessConfig) -> SharpnessProbe,
        (model, optim, scheduler): (Mlp, ModuleOptimizer, impl Into<ModuleLrScheduler>),
        change: impl FnOnce(&mut Training),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let probe = probe(SharpnessConfig::new().with_directory(folder.path()));
        let training = Training::new(folder.path()).with(change);
        let (model, recorder) = training.fit(model, optim, scheduler, Some(&probe));
        let measured = measurements(folder.path());
        Self {
            folder,
            probe,
            model,
            recorder,
            measured,
        }
    }

    pub fn parts(self) -> (Recorder, Vec<Measurement>) {
        (self.recorder, self.measured)
    }
}
