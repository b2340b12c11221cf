//! `measurements.jsonl` as in a training run, with additional fields.

use crate::checkpoint::Checkpoint;
use crate::direction::{Direction, Warming};
use anyhow::{Result, ensure};
use serde::Serialize;
use sharpness_record::{MEASUREMENTS_FILE, Measurement, MeasurementWriter};
use std::path::Path;

/// The task along the gradient. Along AdamW's update, the batch itself is the training task.
pub const GRADIENT_TASK: &str = "gradient";

#[derive(Clone, Debug)]
pub struct Line {
    measurement: Measurement,
    about: About,
}

#[derive(Clone, Debug, Serialize)]
struct About {
    checkpoint: String,
    direction: &'static str,
    /// Absent along the gradient.
    warm_steps: Option<u64>,
    warm_rate: Option<f64>,
}

impl Line {
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
        // The probe's rate only starts its search, and the checkpoint's own rate is not in its files.
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

    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    pub fn critical_lr(&self) -> Option<f64> {
        self.measurement.critical_lr
    }
}

pub struct Record(MeasurementWriter);

impl Record {
    pub fn create(folder: &Path) -> Result<Self> {
        ensure!(
            !folder.join(MEASUREMENTS_FILE).exists(),
            "{} already holds measurements: choose another --out",
            folder.display()
        );
        Ok(Self(MeasurementWriter::open(folder, 0)?))
    }

    pub fn append(&mut self, line: &Line) -> Result<()> {
        Ok(self.0.append_with(&line.measurement, &line.about)?)
    }
}
