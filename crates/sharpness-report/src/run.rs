use sharpness_record::shown::one_line;
use sharpness_record::{
    MEASUREMENTS_FILE, Measurement, MeasurementOutcome, ReadError, SharpnessSummary, TRAIN_TASK,
    WentBack, file_of, read,
};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The measurements and the configuration of a run. Its name and its tasks' names fit on one line ([`one_line`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// The name of its folder, or of a file that is not `measurements.jsonl`.
    pub name: String,
    /// The measurements by rising step, the last for each step and task.
    pub measurements: Vec<Measurement>,
    /// Notes on lines left out.
    pub notes: Vec<String>,
    /// The text of its `config.json`, if any.
    pub config: Option<String>,
}

impl Run {
    /// Reads a run, given as its folder or as its file of measurements.
    ///
    /// # Errors
    ///
    /// Fails if there is no measurement to read.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let reading = read(path)?;
        let file = file_of(path)?;
        let config = file.parent().map(|folder| folder.join("config.json"));
        let mut run = Self {
            notes: reading.notes,
            config: config.and_then(|config| std::fs::read_to_string(config).ok()),
            ..Self::of_file(&file)
        };
        run.extend(reading.measurements);
        Ok(run)
    }

    /// Creates a run without measurements, named after its file, which may not exist yet.
    pub fn of_file(file: &Path) -> Self {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
        let folder = match file.ends_with(MEASUREMENTS_FILE) {
            true => file.parent().and_then(Path::file_name),
            false => None,
        };
        let name = folder.or(file.file_name()).unwrap_or(file.as_os_str());
        Self {
            name: one_line(&name.to_string_lossy()).into_owned(),
            ..Self::default()
        }
    }

    /// Adds measurements, which replace earlier ones of their step and task.
    pub fn extend(&mut self, measurements: impl IntoIterator<Item = Measurement>) {
        let new = measurements.into_iter().map(with_names_on_one_line);
        self.measurements.extend(new);
        // The sort is stable: the last measurement of a step still comes last.
        self.measurements.sort_by_key(|m| m.step);
        let mut places = HashMap::new();
        let mut kept: Vec<Measurement> = Vec::with_capacity(self.measurements.len());
        for measurement in self.measurements.drain(..) {
            match places.entry((measurement.step, measurement.task.clone())) {
                Entry::Occupied(place) => kept[*place.get()] = measurement,
                Entry::Vacant(place) => {
                    place.insert(kept.len());
                    kept.push(measurement);
                }
            }
        }
        self.measurements = kept;
    }

    /// Iterates over the measurements of a task.
    pub fn of_task<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a Measurement> {
        let all = self.measurements.iter();
        all.filter(move |measurement| measurement.task == task)
    }

    /// Iterates over the measurements of the training loss.
    pub fn training(&self) -> impl Iterator<Item = &Measurement> {
        self.of_task(TRAIN_TASK)
    }

    /// Returns the names of the other tasks, by first occurrence.
    pub fn tasks(&self) -> Vec<&str> {
        let mut known = HashSet::from([TRAIN_TASK]);
        let tasks = self.measurements.iter().map(|m| m.task.as_str());
        tasks.filter(|task| known.insert(task)).collect()
    }

    /// Summarizes the measurements.
    pub fn summary(&self) -> SharpnessSummary {
        let mut summary = SharpnessSummary::default();
        for measurement in &self.measurements {
            summary.push(measurement);
        }
        summary
    }

    /// Explains why the run gives no number, such as `no number since step 5: the loss is not finite`.
    pub fn no_number(&self) -> Option<String> {
        let (step, _) = self.summary().no_number_since?;
        let why = self.training().last()?.no_number()?;
        Some(format!("no number since step {step}: {}", one_line(&why)))
    }

    pub(crate) fn evaluations(&self) -> u64 {
        let evaluations = self.measurements.iter().map(|m| m.evaluations as u64);
        evaluations.fold(0, u64::saturating_add)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.measurements.iter().map(|m| m.seconds).sum()
    }
}

fn with_names_on_one_line(mut measurement: Measurement) -> Measurement {
    let clean = |name: &mut String| {
        if let std::borrow::Cow::Owned(shown) = one_line(name) {
            *name = shown;
        }
    };
    clean(&mut measurement.task);
    measurement.limiting_task.as_mut().map(clean);
    if let MeasurementOutcome::Other(name) = &mut measurement.outcome {
        clean(name);
    }
    measurement
}

/// Tells the user why a run went back, and after which step: the first `kept` of the `followed` measurements stand.
pub fn told(cause: WentBack, followed: &[Measurement], kept: usize) -> String {
    let count = followed.len().saturating_sub(kept);
    let measurements = format!("measurement{}", if count == 1 { "" } else { "s" });
    match kept.checked_sub(1).and_then(|last| followed.get(last)) {
        Some(Measurement { step, .. }) => {
            format!("{cause} after step {step}; {count} later {measurements} dropped")
        }
        None => format!("{cause}; all {count} {measurements} dropped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(step: u64, task: &str, loss: f64) -> Measurement {
        let mut measurement = Measurement::new(step, None, task, MeasurementOutcome::NoIncrease);
        measurement.base_loss = Some(loss);
        measurement
    }

    #[test]
    fn measurements_are_in_order_and_the_last_of_a_step_counts() {
        let mut run = Run::default();
        run.extend([measurement(5, "train", 1.0), measurement(0, "code", 2.0)]);
        run.extend([
            measurement(0, "train", 3.0),
            measurement(5, "train", 4.0),
            measurement(0, "code", 5.0),
        ]);
        let all = run.measurements.iter();
        let all = all.map(|m| (m.step, m.task.as_str(), m.base_loss));
        let expected = [
            (0, "code", Some(5.0)),
            (0, "train", Some(3.0)),
            (5, "train", Some(4.0)),
        ];
        assert!(all.eq(expected), "{run:?}");
        assert_eq!(run.tasks(), ["code"]);
    }

    #[test]
    fn a_run_is_named_by_its_folder_or_by_a_file_of_another_name() {
        let named = |file: &str| Run::of_file(Path::new(file)).name;
        assert_eq!(named("runs/a/measurements.jsonl"), "a");
        assert_eq!(named("runs/a\u{7}/measurements.jsonl"), "a\\u0007");
        assert_eq!(named("records/old.jsonl"), "old.jsonl");
        assert_eq!(named("/dev/stdin"), "stdin");
        assert_eq!(named("/measurements.jsonl"), "measurements.jsonl");
    }
}
