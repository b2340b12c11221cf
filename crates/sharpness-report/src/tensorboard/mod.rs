//! Writes TensorBoard's event files: a run for each task, and a layout of charts.
//!
//! ```
//! use sharpness_report::tensorboard::EventFiles;
//! use sharpness_report::{Measurement, MeasurementOutcome};
//!
//! let folder = std::env::temp_dir().join("sharpness-report-tensorboard-example");
//! let mut measurement = Measurement::new(0, None, "train", MeasurementOutcome::Bracketed);
//! measurement.critical_sharpness = Some(250.0);
//!
//! let mut files = EventFiles::new(&folder, "first-run", &[]);
//! files.push(&measurement);
//! files.flush()?;
//! assert!(folder.join("first-run/train/events.out.tfevents.sharpness").exists());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod folders;
mod messages;

use crate::Measurement;
use crate::charts::{Chart, charts};
use folders::free;
use messages::{
    Category, Event, Layout, Metadata, Multiline, Plugin, SessionLog, Shape, Summary, Tensor, Value,
};
use prost::Message;
use sharpness_record::{Quantity, shown, write_whole};
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// TensorBoard reads every file whose name contains `tfevents`.
const FILE: &str = "events.out.tfevents.sharpness";
const VERSION: &str = "brain.Event:2";
const GROUP: &str = "sharpness";
/// The tag under which TensorBoard looks for the layout of custom scalars.
const LAYOUT_TAG: &str = "custom_scalars__config__";
const LAYOUT_PLUGIN: &str = "custom_scalars";
const STRINGS: i32 = 7;
const START: i32 = 1;
const SCALAR: i32 = 1;

/// Writes the event files of a run, a folder a task.
///
/// TensorBoard shows each folder as a run. Values beyond single precision are left out. Events carry the time of the
/// export, since the record has no times.
#[derive(Debug)]
pub struct EventFiles {
    folder: PathBuf,
    tasks: Vec<Task>,
}

#[derive(Debug, Default)]
struct Task {
    name: String,
    path: PathBuf,
    pending: Vec<u8>,
    is_begun: bool,
    described: HashSet<Quantity>,
}

impl EventFiles {
    /// Creates the event files of a run within a folder; [`flush`](Self::flush) writes them.
    ///
    /// `_` replaces characters that a path cannot have, and a number follows a name that one of the `others` has.
    pub fn new(folder: &Path, run: &str, others: &[Self]) -> Self {
        let is_taken = |folder: &Path| others.iter().any(|other| other.folder == folder);
        Self {
            folder: free(folder, run, is_taken),
            tasks: Vec::new(),
        }
    }

    /// Returns the folder of these files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a measurement. The measurements of a task come by rising step.
    pub fn push(&mut self, measurement: &Measurement) {
        let known = |task: &Task| task.name == measurement.task;
        let index = self.tasks.iter().position(known).unwrap_or_else(|| {
            let task = self.new_task(&measurement.task);
            self.tasks.push(task);
            self.tasks.len() - 1
        });
        self.tasks[index].push(measurement);
    }

    fn new_task(&self, name: &str) -> Task {
        let is_taken = |folder: &Path| {
            let mut tasks = self.tasks.iter();
            tasks.any(|task| task.path.parent() == Some(folder))
        };
        let mut task = Task {
            name: name.to_string(),
            path: free(&self.folder, name, is_taken).join(FILE),
            ..Task::default()
        };
        task.add(0, |event| event.file_version = Some(VERSION.to_string()));
        task.add_layout();
        task
    }

    /// Makes TensorBoard drop the measurements from this step on.
    pub fn go_back(&mut self, step: u64) {
        for task in &mut self.tasks {
            task.add(step, |event| {
                event.session_log = Some(SessionLog { status: START });
            });
            // The layout belongs to step 0, so TensorBoard may have dropped it.
            task.add_layout();
        }
    }

    /// Writes the pending measurements. The first call replaces earlier files, later calls append. The files are always
    /// readable.
    ///
    /// # Errors
    ///
    /// Fails, and names the file, if it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        for task in &mut self.tasks {
            task.flush().map_err(|error| {
                let text = format!("{} cannot be written: {error}", shown::path(&task.path));
                io::Error::new(error.kind(), text)
            })?;
        }
        Ok(())
    }
}

impl Task {
    fn push(&mut self, measurement: &Measurement) {
        let mut summary = Summary::default();
        for quantity in Quantity::TABLE {
            if let Some(value) = quantity.of(measurement).and_then(single) {
                let is_new = self.described.insert(*quantity);
                summary.value.push(Value {
                    tag: tag(*quantity),
                    simple_value: Some(value),
                    metadata: is_new.then(|| description(*quantity)),
                    ..Value::default()
                });
            }
        }
        if !summary.value.is_empty() {
            self.add(measurement.step, |event| event.summary = Some(summary));
        }
    }

    fn add_layout(&mut self) {
        let tensor = Tensor {
            dtype: STRINGS,
            shape: Some(Shape {}),
            string_val: vec![layout().encode_to_vec()],
        };
        let value = vec![Value {
            tag: LAYOUT_TAG.to_string(),
            tensor: Some(tensor),
            metadata: Some(Metadata {
                plugin: plugin(LAYOUT_PLUGIN),
                ..Metadata::default()
            }),
            ..Value::default()
        }];
        self.add(0, |event| event.summary = Some(Summary { value }));
    }

    fn add(&mut self, step: u64, fill: impl FnOnce(&mut Event)) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut event = Event {
            wall_time: now.map_or(0.0, |now| now.as_secs_f64()),
            step: i64::try_from(step).unwrap_or(i64::MAX),
            ..Event::default()
        };
        fill(&mut event);
        add_frame(&event.encode_to_vec(), &mut self.pending);
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_begun && !self.pending.is_empty() {
            let mut file = OpenOptions::new().append(true).open(&self.path)?;
            file.write_all(&self.pending)?;
        } else if !self.is_begun {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            write_whole(&self.path, &self.pending)?;
            self.is_begun = true;
        }
        self.pending.clear();
        Ok(())
    }
}

/// Adds a frame of a TFRecord: length and data, each followed by its checksum.
fn add_frame(data: &[u8], to: &mut Vec<u8>) {
    let masked = |part: &[u8]| {
        let sum = crc32c::crc32c(part).rotate_right(15);
        sum.wrapping_add(0xa282_ead8).to_le_bytes()
    };
    let length = (data.len() as u64).to_le_bytes();
    to.extend(length);
    to.extend(masked(&length));
    to.extend(data);
    to.extend(masked(data));
}

/// Converts a number to single precision, unless it would become infinite or 0.
fn single(value: f64) -> Option<f32> {
    let single = value as f32;
    (single.is_finite() && (single != 0.0 || value == 0.0)).then_some(single)
}

fn tag(quantity: Quantity) -> String {
    format!("{GROUP}/{}", quantity.about().field)
}

fn plugin(name: &str) -> Option<Plugin> {
    let name = name.to_string();
    Some(Plugin { name })
}

fn description(quantity: Quantity) -> Metadata {
    let about = quantity.about();
    let unit = match about.unit {
        "" => String::new(),
        unit => format!(" (unit: {unit})"),
    };
    Metadata {
        plugin: plugin("scalars"),
        display_name: about.title(),
        description: format!("{}{unit}", about.words),
        data_class: SCALAR,
    }
}

fn layout() -> Layout {
    let chart = |chart: Chart| {
        let quantities = chart.curves.into_iter().chain(chart.threshold);
        let tags = quantities.map(|quantity| format!("^{}$", tag(quantity)));
        let tag = tags.collect();
        messages::Chart {
            title: chart.title,
            multiline: Some(Multiline { tag }),
        }
    };
    let category = vec![Category {
        title: GROUP.to_string(),
        chart: charts().into_iter().map(chart).collect(),
    }];
    Layout { category }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_single_precision_does_not_have_is_none() {
        assert_eq!(single(0.1), Some(0.1f32));
        assert_eq!(single(-0.0), Some(0.0));
        for value in [1e39, -1e39, 1e-50, f64::NAN, f64::INFINITY] {
            assert_eq!(single(value), None, "{value}");
        }
    }

    #[test]
    fn runs_and_tasks_whose_names_become_the_same_have_folders_of_their_own() {
        let root = Path::new("out");
        let long = &*"a".repeat(300);
        for names in [["a/b", "a:b", "a_b"], ["a"; 3], [long; 3]] {
            let mut all: Vec<EventFiles> = Vec::new();
            for name in names {
                all.push(EventFiles::new(root, name, &all));
                for task in names {
                    let outcome = crate::MeasurementOutcome::NoIncrease;
                    let measurement = Measurement::new(0, None, task, outcome);
                    all[0].push(&measurement);
                }
            }
            let runs: HashSet<&Path> = all.iter().map(EventFiles::folder).collect();
            let tasks: HashSet<&PathBuf> = all[0].tasks.iter().map(|task| &task.path).collect();
            let different: HashSet<&str> = names.into_iter().collect();
            assert_eq!((runs.len(), tasks.len()), (3, different.len()));
        }
    }
}
