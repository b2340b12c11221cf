use sharpness_record::{Measurement, ReadError, TRAIN_TASK, file_of, read};
use std::path::Path;

/// A run: its measurements and its configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// The name of its folder.
    pub name: String,
    /// The measurements, by rising step; of a step that occurs twice for a task, the last one.
    pub measurements: Vec<Measurement>,
    /// What was left out of its record.
    pub notes: Vec<String>,
    /// The text of `config.json` in its folder, if there is one.
    pub config: Option<String>,
}

impl Run {
    /// Reads a run, given as its folder or as its file of measurements.
    ///
    /// # Errors
    ///
    /// If there is no measurement to read.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let reading = read(path)?;
        let file = file_of(path)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let name = folder.file_name().unwrap_or(file.as_os_str());
        let config = std::fs::read_to_string(folder.join("config.json")).ok();
        let mut run = Self {
            name: name.to_string_lossy().into_owned(),
            notes: reading.notes,
            config,
            ..Self::default()
        };
        for measurement in reading.measurements {
            run.push(measurement);
        }
        Ok(run)
    }

    /// Adds a measurement at its step, in place of an earlier one of the same step and task.
    pub fn push(&mut self, measurement: Measurement) {
        let (step, all) = (measurement.step, &mut self.measurements);
        let end = all.partition_point(|other| other.step <= step);
        let start = all[..end].partition_point(|other| other.step < step);
        let mut same_step = all[start..end].iter_mut();
        match same_step.find(|other| other.task == measurement.task) {
            Some(same) => *same = measurement,
            None => all.insert(end, measurement),
        }
    }

    /// The measurements of a task.
    pub fn of_task<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a Measurement> {
        let all = self.measurements.iter();
        all.filter(move |measurement| measurement.task == task)
    }

    /// The measurements of the training loss.
    pub fn training(&self) -> impl Iterator<Item = &Measurement> {
        self.of_task(TRAIN_TASK)
    }

    /// The names of the other tasks, in the order in which they occur.
    pub fn tasks(&self) -> Vec<&str> {
        let mut tasks: Vec<&str> = Vec::new();
        for measurement in &self.measurements {
            if !measurement.is_of_training() && !tasks.contains(&measurement.task.as_str()) {
                tasks.push(&measurement.task);
            }
        }
        tasks
    }

    /// (step, value) of a quantity of a task's measurements, where it is known.
    pub fn points(&self, task: &str, of: impl Fn(&Measurement) -> Option<f64>) -> Vec<(f64, f64)> {
        let measured = self.of_task(task);
        measured
            .filter_map(|m| Some((m.step as f64, of(m).filter(|value| value.is_finite())?)))
            .collect()
    }
}
