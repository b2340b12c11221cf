//! Runs the book's Python for Weights & Biases and for MLflow, and reads back the measurements.
//!
//! Ignored by default; it needs Python (`$PYTHON`), and skips an absent package:
//!
//! ```sh
//! cargo test --test trackers -- --ignored --nocapture
//! ```

use serde_json::Value;
use sharpness_record::{Measurement, Quantity};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

mod common;

const COMPARED: [Quantity; 4] = [
    Quantity::CriticalSharpness,
    Quantity::EdgeThreshold,
    Quantity::LearningRate,
    Quantity::BaseLoss,
];

type Tasks = BTreeMap<String, BTreeMap<String, Vec<(i64, f64)>>>;

fn measurement(step: u64, task: &str) -> Measurement {
    let sharpness = 50.0 + (step as f64 / 7.0).sin() / 3.0;
    let is_known = !step.is_multiple_of(30);
    common::line(step, task, 0.01, is_known.then_some(sharpness))
}

/// Pandas could take the name of a task for a missing value.
fn expected(measurements: &[Measurement]) -> Tasks {
    let mut tasks = Tasks::new();
    for measurement in measurements {
        let fields = tasks.entry(format!("a-{}", measurement.task)).or_default();
        for quantity in COMPARED {
            if let Some(value) = quantity.of(measurement) {
                let points = fields.entry(quantity.about().field.to_string());
                points.or_default().push((measurement.step as i64, value));
            }
        }
    }
    tasks
}

/// The Python on the book's page that begins with this line.
fn snippet(first: &str) -> String {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = fs::read_to_string(book.join("reading-the-curves.md")).unwrap();
    let mut blocks = page.split("```python\n").skip(1);
    let block = blocks.find(|block| block.lines().next() == Some(first));
    let block = block.unwrap_or_else(|| panic!("no Python on the page begins with {first}"));
    block[..block.find("```").unwrap()].to_string()
}

fn python(folder: &Path, script: &str) -> Output {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_string());
    let command = Command::new(&python)
        .current_dir(folder)
        .args(["-c", script])
        .envs([("WANDB_MODE", "offline"), ("WANDB_SILENT", "true")])
        .env("MLFLOW_TRACKING_URI", "file:mlruns")
        // MLflow asks for a database, and the small package has none.
        .env("MLFLOW_ALLOW_FILE_STORE", "true")
        .env("HOME", folder)
        .output();
    command.unwrap_or_else(|error| panic!("{python} does not start: {error}"))
}

/// Returns `None` if a package is absent.
fn kept(packages: &str, first: &str, reader: &str) -> Option<(Tasks, Tasks)> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let import = python(folder, &format!("import {packages}"));
    if !import.status.success() {
        println!("left out: Python lacks one of {packages}");
        return None;
    }
    let steps = (0..100).step_by(10);
    let all = steps.flat_map(|step| ["train", "NA"].map(|task| measurement(step, task)));
    let all: Vec<Measurement> = all.collect();
    let run = folder.join("a");
    fs::create_dir(&run).unwrap();
    let lines = all.iter().map(|m| serde_json::to_string(m).unwrap() + "\n");
    let record = run.join(sharpness_report::MEASUREMENTS_FILE);
    fs::write(record, lines.collect::<String>()).unwrap();
    let csv = Command::new(env!("CARGO_BIN_EXE_sharpness"))
        .args(["csv", run.to_str().unwrap()])
        .output()
        .unwrap();
    fs::write(folder.join("runs.csv"), csv.stdout).unwrap();
    let [_, output] = [&snippet(first), reader].map(|script| {
        let output = python(folder, script);
        assert!(output.status.success(), "{output:?}");
        output
    });
    let text = String::from_utf8(output.stdout).unwrap();
    let found = serde_json::from_str(text.lines().last().unwrap());
    // Other fields hold texts, too.
    let mut found: BTreeMap<String, BTreeMap<String, Value>> = found.unwrap();
    for fields in found.values_mut() {
        fields.retain(|field, _| COMPARED.iter().any(|other| other.about().field == field));
    }
    let found = serde_json::to_value(found).unwrap();
    Some((serde_json::from_value(found).unwrap(), expected(&all)))
}

/// Reads the log of an offline run: blocks of 32 KiB with parts of records, each behind a header.
const WANDB: &str = r#"
import glob, json, struct
from wandb.proto import wandb_internal_pb2
def records(log):
    place, record = 7, b""
    while place + 7 <= len(log):
        rest = 32768 - place % 32768
        if rest < 7:
            place += rest
            continue
        _, length, kind = struct.unpack("<IHB", log[place:place + 7])
        record += log[place + 7:place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""
tasks = {}
for path in glob.glob("wandb/offline-run-*/*.wandb"):
    name, fields = None, {}
    for data in records(open(path, "rb").read()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            name = record.run.display_name
        if kind == "history":
            items = {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            for field, value in items.items():
                fields.setdefault(field, []).append([items["_step"], value])
    tasks[name] = fields
print(json.dumps(tasks))
"#;

const MLFLOW: &str = r#"
import json
from mlflow.tracking import MlflowClient
client, tasks = MlflowClient(), {}
experiment = client.get_experiment_by_name("sharpness")
for run in client.search_runs([experiment.experiment_id]):
    history = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    tasks[run.info.run_name] = {
        name: sorted([point.step, point.value] for point in points) for name, points in history.items()
    }
print(json.dumps(tasks))
"#;

#[test]
#[ignore = "needs Python with wandb and pandas"]
fn weights_and_biases_keeps_every_value() {
    if let Some((found, expected)) = kept("wandb, pandas", "import pandas, wandb", WANDB) {
        assert_eq!(found, expected);
    }
}

#[test]
#[ignore = "needs Python with mlflow and pandas"]
fn mlflow_keeps_every_value() {
    if let Some((found, expected)) = kept("mlflow, pandas", "import mlflow, pandas", MLFLOW) {
        assert_eq!(found, expected);
    }
}
