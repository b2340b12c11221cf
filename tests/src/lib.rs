//! Shared parts of the tests.

#![allow(missing_docs, reason = "the crate is unpublished")]

mod at_step;
mod clipped;
mod close;
mod data;
pub mod device;
mod fixture;
mod gradients;
mod line;
mod mlp;
mod point;
mod random;
mod recorder;
mod replicas;
mod scan;
mod start;
mod told;
mod training;
mod weights;
mod zoo;

pub use at_step::AtStep;
pub use clipped::clipped;
pub use close::{assert_close, assert_near};
pub use data::{Batch, Data};
pub use fixture::{Fixture, OptimizerSpec, Row};
pub use gradients::{copied_gradients, gradients_of, mapped_gradients, numbers};
pub use line::Line;
pub use mlp::{LossKind, Mlp, MlpConfig};
pub use point::Point;
pub use random::Random;
pub use recorder::{Recorder, TRAIN_SERIES};
pub use replicas::{Reduce, Replicas, Stop, reduced, wait_until};
pub use scan::{Scan, bisected};
pub use start::*;
pub use told::{assert_says, assert_silent, says};
pub use training::{
    Ran, Trainable, Training, assert_same_records, measurements, metadata, silent, steps,
};
pub use weights::{Weights, bits, values, weights};
pub use zoo::{Block, Kind, Network, Objective, Sample, Zoo};

/// The names that most tests use.
pub mod prelude {
    pub use crate::*;
    pub use burn::data::dataloader::DataLoader;
    pub use burn::grad_clipping::GradientClippingConfig;
    pub use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
    pub use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
    pub use burn::module::{Lora, Module, ModuleMapper, ModuleVisitor, Param, ParamGroup, ParamId};
    pub use burn::nn::{Linear, LinearConfig};
    pub use burn::optim::{decay::WeightDecayConfig, momentum::MomentumConfig, *};
    pub use burn::tensor::{Device, Distribution, FloatDType, Int, Tensor, TensorData};
    pub use burn::train::metric::{LossMetric, NumericEntry};
    pub use burn::train::{
        ExecutionStrategy, InferenceStep, Learner, LearnerModel, MultiDeviceOptim,
        SupervisedTraining, TrainStep, TrainingStrategy,
    };
    pub use burn_sharpness::MeasurementOutcome::{
        Bracketed, Failed, NoIncrease, NonFiniteBaseLoss, NonFiniteSlope, NotDescent,
    };
    pub use burn_sharpness::{hessian::*, *};
    pub use std::collections::{BTreeMap, HashMap};
    pub use std::path::Path;
    pub use std::sync::atomic::{AtomicUsize, Ordering};
    pub use std::sync::{Arc, Mutex};
}
