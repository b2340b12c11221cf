//! Makes reports, plots and tables from the records of [burn-sharpness]; the library of the command `sharpness`.
//!
//! ```no_run
//! use sharpness_report::{Run, report};
//!
//! let run = Run::open("runs/gpt-pretrain-1".as_ref())?;
//! std::fs::write("report.html", report::html(&[run]))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [burn-sharpness]: https://docs.rs/burn-sharpness

#![cfg_attr(test, recursion_limit = "256")]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod charts;
mod collect;
mod curve;
pub mod diff;
pub mod export;
pub mod figure;
pub mod line;
pub mod overlay;
pub mod plot;
pub mod report;
mod run;
pub mod table;
pub mod tensorboard;
pub mod terminal;

pub use collect::{Collected, collect, runs_within};
pub use run::{Run, told};
pub use sharpness_record::{
    MEASUREMENTS_FILE, Measurement, MeasurementOutcome, RECORD_VERSION, ReadError, Reading,
    TRAIN_TASK, file_of, read, shown,
};

/// Runs the code of README.md as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
