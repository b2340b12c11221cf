//! Writes the measurements of a run's critical sharpness to a file, and reads them, even while the run goes on.
//!
//! [burn-sharpness] writes the record, and [sharpness-report] reads it. This crate depends on no machine learning
//! framework.
//!
//! ```
//! use sharpness_record::{Measurement, MeasurementOutcome, MeasurementWriter, TRAIN_TASK, read};
//!
//! let folder = std::env::temp_dir().join("sharpness-record-example");
//! let mut measurement = Measurement::new(0, Some(1), TRAIN_TASK, MeasurementOutcome::Bracketed);
//! measurement.learning_rate = Some(0.001);
//! measurement.critical_lr = Some(0.008);
//! measurement.critical_sharpness = Some(250.0);
//!
//! let mut writer = MeasurementWriter::open(&folder, 0)?;
//! writer.append(&measurement)?;
//! assert_eq!(read(&folder)?.measurements, [measurement]);
//! # drop(writer);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The file
//!
//! A run's folder holds [`MEASUREMENTS_FILE`]: JSON Lines, one [`Measurement`] a line. If a run goes back to a
//! checkpoint, the lines of repeated steps move to [`SUPERSEDED_FILE`]; no line is ever changed.
//!
//! Every line states its [version](RECORD_VERSION). A version may gain fields; readers skip unknown fields.
//!
//! [burn-sharpness]: https://docs.rs/burn-sharpness
//! [sharpness-report]: https://docs.rs/sharpness-report

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

/// Makes `unwrap`, and `?` in `main`, show an error's sentence.
macro_rules! debug_is_the_sentence {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

mod checkpoint;
mod curvature;
mod edge;
mod files;
mod follow;
mod line;
mod lock;
mod measurement;
mod outcome;
mod quantity;
mod read;
pub mod shown;
mod summary;
mod whole;
mod write;

pub use checkpoint::CheckpointNote;
pub use curvature::{CurvatureMeasurement, CurvatureOutcome, CurvatureValue};
pub use edge::{Edge, NEAR_EDGE, edge_ratio, edge_threshold};
pub use files::{CHECKPOINTS_FILE, LOCK_FILE, MEASUREMENTS_FILE, SUPERSEDED_FILE};
pub use follow::{Followed, Follower, WentBack};
pub use line::LinePoint;
pub use lock::{FolderLock, LockError};
pub use measurement::{
    BaseLossSource, Measurement, RECORD_VERSION, SlopeSource, TRAIN_TASK, WorkerShare,
};
pub use outcome::MeasurementOutcome;
pub use quantity::{About, Against, Quantity, Scale};
pub use read::{ReadError, Reading, file_of, parse, read};
pub use summary::{CappedSteps, NoNumber, SharpnessSummary};
pub use whole::write_whole;
pub use write::{MeasurementWriter, WriteError, supersede_from};

/// Runs the code of README.md as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
