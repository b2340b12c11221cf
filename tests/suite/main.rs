//! The test suite of burn-sharpness: see the modules.

mod checkpoint;
mod curvature;
mod dashboard;
mod finder;
mod identity;
mod kinds_of_training;
mod learner;
mod oracle;
mod readme;
mod robustness;
mod schedule;
mod tasks;
mod training_mode;
mod update;
