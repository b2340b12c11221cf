//! The test suite of burn-sharpness: see the modules.

mod batch_statistics;
mod checkpoint;
mod cost;
mod curvature;
mod dashboard;
mod devices;
mod finder;
mod identity;
mod kinds;
mod kinds_of_training;
mod learner;
mod life;
mod limited;
mod oracle;
mod readme;
mod robustness;
mod schedule;
mod shared_parameters;
mod sixteen_bits;
mod step_first;
mod step_first_in_learner;
mod tasks;
mod training_mode;
mod update;
