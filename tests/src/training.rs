use crate::{Batch, Data, Recorder, device};
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::ModuleOptimizer;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use burn::train::metric::{Adaptor, LearningRateMetric, LossInput, LossMetric};
use burn::train::renderer::MetricsRenderer;
use burn::train::{
    ExecutionStrategy, InferenceStep, Learner, LearnerModel, MultiDeviceOptim, SupervisedTraining,
    TrainStep,
};
use burn_sharpness::{MEASUREMENTS_FILE, Measurement, SharpnessMetrics, SharpnessProbe};
use std::path::{Path, PathBuf};

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

    pub fn launch<M>(
        self,
        model: M,
        optim: ModuleOptimizer,
        scheduler: impl Into<ModuleLrScheduler>,
        probe: Option<&SharpnessProbe>,
    ) -> (M, Recorder)
    where
        M: Trainable,
    {
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
        let result = training.launch(Learner::new(model, optim, scheduler));
        assert!(result.error.is_none(), "{:?}", result.error);
        (result.model, recorder)
    }
}

pub fn measurements(directory: &Path) -> Vec<Measurement> {
    let content = std::fs::read_to_string(directory.join(MEASUREMENTS_FILE)).unwrap();
    let lines = content.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub type Weights = Vec<(String, Vec<u8>)>;

/// Of 32-bit tensors.
pub fn values<M: Module>(model: &M) -> Vec<f32> {
    let weights = weights(model).into_iter();
    let bytes: Vec<u8> = weights.flat_map(|(_, bytes)| bytes).collect();
    let values = bytes.as_chunks().0.iter();
    values.map(|value| f32::from_ne_bytes(*value)).collect()
}

pub fn weights<M: Module>(model: &M) -> Weights {
    #[derive(Default)]
    struct Collector {
        path: Vec<String>,
        weights: Weights,
    }

    impl Collector {
        fn push(&mut self, data: TensorData) {
            let bytes = data.as_bytes().to_vec();
            self.weights.push((self.path.join("."), bytes));
        }
    }

    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_string());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.push(param.val().into_data());
        }

        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.push(param.val().into_data());
        }

        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            self.push(param.val().into_data());
        }
    }

    let mut collector = Collector::default();
    model.visit(&mut collector);
    collector.weights
}
