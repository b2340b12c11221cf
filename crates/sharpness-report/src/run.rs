use sharpness_record::{
    Measurement, ReadError, SharpnessSummary, TRAIN_TASK, WentBack, file_of, read,
};
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
        let config = file.parent().map(|folder| folder.join("config.json"));
        let mut run = Self {
            notes: reading.notes,
            config: config.and_then(|config| std::fs::read_to_string(config).ok()),
            ..Self::of_file(&file)
        };
        for measurement in reading.measurements {
            run.push(measurement);
        }
        Ok(run)
    }

    /// A run without measurements, by the name of the folder of its file of measurements, which need not
    /// exist yet.
    pub fn of_file(file: &Path) -> Self {
        let folder = file.parent().unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let name = folder.file_name().unwrap_or(file.as_os_str());
        Self {
            name: name.to_string_lossy().into_owned(),
            ..Self::default()
        }
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

    /// Its measurements in a few numbers.
    pub fn summary(&self) -> SharpnessSummary {
        let mut summary = SharpnessSummary::default();
        for measurement in &self.measurements {
            summary.push(measurement);
        }
        summary
    }

    /// That the run gives no number any more, since when and why; `None` if its last measurement of the
    /// training loss gave one.
    ///
    /// The text is such as `no number since step 5: the loss is not finite`.
    pub fn no_number(&self) -> Option<String> {
        let (step, outcome) = self.summary().no_number_since?;
        Some(format!("no number since step {step}: {outcome}"))
    }
}

/// A sentence for the user about a run that went back: why, and after which step it goes on. Of the measurements
/// that were `followed` so far, the first `kept` are still part of the record.
pub fn told(cause: WentBack, followed: &[Measurement], kept: usize) -> String {
    let count = followed.len().saturating_sub(kept);
    let measurements = if count == 1 {
        "measurement"
    } else {
        "measurements"
    };
    match kept.checked_sub(1).and_then(|last| followed.get(last)) {
        Some(last) => {
            let step = last.step;
            format!("{cause} after step {step}; {count} later {measurements} dropped")
        }
        None => format!("{cause}; all {count} {measurements} dropped"),
    }
}
