//! Keeps the record of a sweep: `measurements.jsonl` as in a training run, readable by `sharpness`, with
//! additional fields of the sweep.

use crate::checkpoint::Checkpoint;
use crate::direction::{Direction, Warming};
use anyhow::{Result, ensure};
use serde::Serialize;
use sharpness_record::{MEASUREMENTS_FILE, Measurement, MeasurementWriter};
use std::path::Path;

/// The task of the measurement along the gradient. Along AdamW's update, the loss of the batch itself is
/// the training task, and the other tasks have their own names.
pub const GRADIENT_TASK: &str = "gradient";

/// A line of the record.
#[derive(Clone, Debug)]
pub struct Line {
    measurement: Measurement,
    about: About,
}

/// The fields of a line besides its measurement.
#[derive(Clone, Debug, Serialize)]
struct About {
    checkpoint: String,
    /// `adamw` or `gradient`.
    direction: &'static str,
    /// The steps that warmed AdamW's moments; absent along the gradient, which needs none.
    warm_steps: Option<u64>,
    /// The learning rate of those steps.
    warm_rate: Option<f64>,
}

impl Line {
    /// Creates the line of a measurement at a checkpoint, along a direction.
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
        // The probe's rate only starts its search. The rate in use is the rate of the warming, if any; the
        // checkpoint's own rate is not in its files.
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

    /// Returns the measurement.
    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    /// Returns η_c, if it was measured.
    pub fn critical_lr(&self) -> Option<f64> {
        self.measurement.critical_lr
    }
}

/// The record of a sweep in progress.
pub struct Record(MeasurementWriter);

impl Record {
    /// Begins the record in a folder.
    pub fn create(folder: &Path) -> Result<Self> {
        ensure!(
            !folder.join(MEASUREMENTS_FILE).exists(),
            "{} already holds measurements: choose another --out",
            folder.display()
        );
        Ok(Self(MeasurementWriter::open(folder, 0)?))
    }

    /// Appends a line.
    pub fn append(&mut self, line: &Line) -> Result<()> {
        Ok(self.0.append_with(&line.measurement, &line.about)?)
    }
}
