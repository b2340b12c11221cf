//! `measurements.jsonl` as in a training run, with additional fields.

use crate::checkpoint::Checkpoint;
use anyhow::{Result, ensure};
use serde::Serialize;
use sharpness_record::{MEASUREMENTS_FILE, Measurement, MeasurementWriter};
use std::path::Path;

/// The task along the gradient. Along AdamW's update, the batch itself is the training task.
pub const GRADIENT_TASK: &str = "gradient";

/// The steps that make AdamW's moments, which are not published.
#[derive(Clone, Copy, Debug)]
pub struct Warming {
    /// Without steps, the update is AdamW's first.
    pub steps: u64,
    pub weight_decay: f32,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub measurement: Measurement,
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
    /// Describes a measurement along AdamW's next update, or along the gradient if there is no `warming`.
    pub fn new(
        checkpoint: &Checkpoint,
        warming: Option<Warming>,
        measurement: &Measurement,
    ) -> Self {
        let mut measurement = measurement.clone();
        measurement.step = checkpoint.step;
        let warm_rate = warming.map(|_| checkpoint.warm_rate);
        // The probe's rate only starts its search, and the checkpoint's own rate is not in its files.
        let is_warm = warming.is_some_and(|warming| warming.steps > 0);
        measurement.learning_rate = warm_rate.filter(|rate| is_warm && *rate > 0.0);
        if warming.is_none() {
            measurement.task = GRADIENT_TASK.to_string();
        }
        let about = About {
            checkpoint: checkpoint.folder.display().to_string(),
            direction: warming.map_or("gradient", |_| "adamw"),
            warm_steps: warming.map(|warming| warming.steps),
            warm_rate,
        };
        Self { measurement, about }
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
