use burn::train::logger::MetricLogger;
use burn::train::metric::store::{EpochSummary, MetricsUpdate, Split};
use burn::train::metric::{MetricDefinition, MetricEntry, MetricId, NumericEntry};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes the files of burn's `FileMetricLogger`: `train/epoch-1/Loss.log` and so on.
///
/// If burn's logger (0.22.1) cannot write a value, its thread panics, then its destructor panics, and the process
/// aborts. This logger reports the first failure and stops writing.
pub struct MetricFiles<F> {
    folder: PathBuf,
    names: HashMap<MetricId, String>,
    files: HashMap<PathBuf, File>,
    on_failure: Option<F>,
}

impl<F: FnOnce(String)> MetricFiles<F> {
    /// The first failure calls `on_failure` with its reason.
    pub fn new(folder: &Path, on_failure: F) -> Self {
        Self {
            folder: folder.to_path_buf(),
            names: HashMap::new(),
            files: HashMap::new(),
            on_failure: Some(on_failure),
        }
    }

    fn path(&self, name: &str, epoch: usize, split: &Split) -> PathBuf {
        let folder = self.folder.join(split.to_string());
        let name = format!("{}.log", name.replace(' ', "_"));
        folder.join(format!("epoch-{epoch}")).join(name)
    }

    fn write(&mut self, entry: &MetricEntry, epoch: usize, split: &Split) {
        let value = &entry.serialized_entry;
        let Some(name) = self.names.get(&entry.metric_id) else {
            return;
        };
        if self.on_failure.is_none() || value.is_not_available() {
            return;
        }
        let path = self.path(name, epoch, split);
        if let Err(error) = append(&mut self.files, &path, &value.serialized)
            && let Some(on_failure) = self.on_failure.take()
        {
            on_failure(format!("{} cannot be written: {error}", path.display()));
        }
    }
}

fn append(files: &mut HashMap<PathBuf, File>, path: &Path, value: &str) -> io::Result<()> {
    let file = match files.entry(path.to_path_buf()) {
        Entry::Occupied(file) => file.into_mut(),
        Entry::Vacant(file) => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            file.insert(File::create(path)?)
        }
    };
    file.write_all(format!("{value}\n").as_bytes())
}

impl<F: FnOnce(String) + Send> MetricLogger for MetricFiles<F> {
    fn log(&mut self, update: MetricsUpdate, epoch: usize, split: &Split) {
        let numeric = update.entries_numeric.iter().map(|numeric| &numeric.entry);
        for entry in update.entries.iter().chain(numeric) {
            self.write(entry, epoch, split);
        }
    }

    fn read_numeric(
        &mut self,
        name: &str,
        epoch: usize,
        split: &Split,
    ) -> Result<Vec<NumericEntry>, String> {
        let values = fs::read_to_string(self.path(name, epoch, split)).unwrap_or_default();
        // A line without an end is incomplete.
        let lines = values.split_inclusive('\n');
        let lines = lines.filter_map(|line| line.strip_suffix('\n'));
        Ok(lines.flat_map(NumericEntry::deserialize).collect())
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        let name = definition.name.to_string();
        self.names.insert(definition.metric_id, name);
    }

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {
        self.files.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::train::metric::store::NumericMetricUpdate;
    use burn::train::metric::{NumericAttributes, SerializedEntry};
    use std::sync::{Arc, Mutex};

    fn update(values: &[f64]) -> (MetricDefinition, MetricsUpdate) {
        let id = MetricId::new(Arc::new("λ_c".to_string()));
        let definition = MetricDefinition {
            metric_id: id.clone(),
            name: Arc::new("Loss of all".to_string()),
            description: None,
            attributes: NumericAttributes::default().into(),
        };
        let numeric = values.iter().map(|value| {
            let value = NumericEntry::Value(*value);
            let text = SerializedEntry::new(String::new(), value.serialize());
            NumericMetricUpdate {
                entry: MetricEntry::new(id.clone(), text),
                numeric_entry: Some(value),
                running_entry: None,
            }
        });
        let update = MetricsUpdate {
            entries: Vec::new(),
            entries_numeric: numeric.collect(),
        };
        (definition, update)
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let fail = |why: String| panic!("{why}");
        let mut files = MetricFiles::new(folder.path(), fail);
        let (definition, values) = update(&[2.5, f64::NAN]);
        files.log_metric_definition(definition);
        files.log(values.clone(), 3, &Split::Valid);
        files.log(values, 3, &Split::Valid);
        let path = folder.path().join("valid/epoch-3/Loss_of_all.log");
        assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 4);
        let read = files.read_numeric("Loss of all", 3, &Split::Valid).unwrap();
        let read: Vec<f64> = read.iter().map(NumericEntry::current).collect();
        assert!(read[0] == 2.5 && read[1].is_nan() && read.len() == 4);
        let other = files.read_numeric("Loss", 3, &Split::Valid).unwrap();
        assert!(other.is_empty());
    }

    #[test]
    fn the_first_failure_is_reported_and_nothing_panics() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train"), "a file, no folder").unwrap();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let told = failures.clone();
        let on_failure = move |why| told.lock().unwrap().push(why);
        let mut files = MetricFiles::new(folder.path(), on_failure);
        let (definition, values) = update(&[1.0, 2.0]);
        files.log_metric_definition(definition);
        files.log(values, 1, &Split::Train);
        let failures = failures.lock().unwrap();
        assert_eq!(failures.len(), 1);
        assert!(failures[0].contains("Loss_of_all.log cannot be written"));
    }
}
