//! Shared parts of the tests.

#![allow(missing_docs, reason = "the crate is unpublished")]

mod clipped;
mod close;
mod data;
pub mod device;
mod fixture;
mod gradients;
mod line;
mod mlp;
mod random;
mod recorder;
mod replicas;
mod scan;
mod start;
mod training;
mod zoo;

pub use clipped::clipped;
pub use close::assert_close;
pub use data::{Batch, Data};
pub use fixture::{Fixture, OptimizerSpec, Row};
pub use gradients::{copied_gradients, gradients_of, mapped_gradients};
pub use line::{Line, bits};
pub use mlp::{LossKind, Mlp, MlpConfig};
pub use random::Random;
pub use recorder::{Recorder, TRAIN_SERIES};
pub use replicas::{Reduce, Replicas, Stop, reduced, wait_until};
pub use scan::Scan;
pub use start::{adam, direction, every, gradients, in_folder, model, sgd};
pub use training::{Trainable, Training, Weights, measurements, values, weights};
pub use zoo::{Block, Kind, Network, Objective, Sample, Zoo};
