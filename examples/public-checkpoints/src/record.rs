//! The record of a sweep: `measurements.jsonl` as a training run writes it, so that `sharpness` reads it,
//! and what a sweep alone can say of a measurement.

use crate::checkpoint::Checkpoint;
use crate::direction::{Direction, Warming};
use anyhow::{Result, ensure};
use serde::Serialize;
use sharpness_record::{MEASUREMENTS_FILE, Measurement, MeasurementWriter};
use std::path::Path;

/// The task under which the measurement along the gradient stands. Along AdamW's update, the loss of the
/// batch itself is the training task, and the other tasks have their own names.
pub const GRADIENT_TASK: &str = "gradient";

/// A line of the record.
#[derive(Clone, Debug)]
pub struct Line {
    measurement: Measurement,
    about: About,
}

/// What a line says besides its measurement.
#[derive(Clone, Debug, Serialize)]
struct About {
    /// The folder of the checkpoint.
    checkpoint: String,
    /// `adamw` or `gradient`.
    direction: &'static str,
    /// The steps that warmed AdamW's moments; absent along the gradient, which needs none.
    warm_steps: Option<u64>,
    /// The learning rate of those steps.
    warm_rate: Option<f64>,
}

impl Line {
    /// A measurement at a checkpoint, along a direction.
    pub fn new(
        checkpoint: &Checkpoint,
        direction: Direction,
        warming: Warming,
        measurement: &Measurement,
    ) -> Self {
        let mut measurement = measurement.clone();
        measurement.step = checkpoint.step;
        let is_adamw = direction == Direction::AdamW;
        let warm_rate = Some(checkpoint.warm_rate).filter(|_| is_adamw);
        // The rate that the probe was given only starts its search. In use was that of the warming, if any
        // was; the one in use when the checkpoint was saved is not in its files.
        let is_warm = warming.steps > 0;
        measurement.learning_rate = warm_rate.filter(|rate| is_warm && *rate > 0.0);
        if !is_adamw {
            measurement.task = GRADIENT_TASK.to_string();
        }
        let about = About {
            checkpoint: checkpoint.folder.display().to_string(),
            direction: if is_adamw { "adamw" } else { "gradient" },
            warm_steps: is_adamw.then_some(warming.steps),
            warm_rate,
        };
        Self { measurement, about }
    }

    /// The measurement.
    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    /// η_c, if it was measured.
    pub fn critical_lr(&self) -> Option<f64> {
        self.measurement.critical_lr
    }
}

/// The record of a sweep under way.
pub struct Record(MeasurementWriter);

impl Record {
    /// Begins the record in a folder.
    ///
    /// # Errors
    ///
    /// If the folder holds one already, or cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        ensure!(
            !folder.join(MEASUREMENTS_FILE).exists(),
            "{} already holds measurements: choose another --out",
            folder.display()
        );
        Ok(Self(MeasurementWriter::open(folder, 0)?))
    }

    /// Appends a line.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn append(&mut self, line: &Line) -> Result<()> {
        Ok(self.0.append_with(&line.measurement, &line.about)?)
    }
}
