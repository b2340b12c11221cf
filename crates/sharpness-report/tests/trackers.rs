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

type Tasks = BTreeMap<String, BTreeMap<String, Vec<(i64, f64)>>>;

fn measurement(step: u64, task: &str) -> Measurement {
    let sharpness = 50.0 + (step as f64 / 7.0).sin() / 3.0;
    let is_known = !step.is_multiple_of(30);
    let line = serde_json::json!({
        "version": 1, "step": step, "task": task, "learning_rate": 0.01, "base_loss": 3.0 / (1.0 + step as f64),
        "outcome": if is_known { "bracketed" } else { "no_increase" },
        "critical_lr": is_known.then_some(2.0 / sharpness),
        "critical_sharpness": is_known.then_some(sharpness),
    });
    serde_json::from_value(line).unwrap()
}

/// Pandas could take the name of a task for a missing value.
fn expected(measurements: &[Measurement]) -> Tasks {
    let mut tasks = Tasks::new();
    for measurement in measurements {
        let fields = tasks.entry(format!("a-{}", measurement.task)).or_default();
        for quantity in [
            Quantity::CriticalSharpness,
            Quantity::EdgeThreshold,
            Quantity::LearningRate,
            Quantity::BaseLoss,
        ] {
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
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reading-the-curves.md"
    );
    let page = fs::read_to_string(path).unwrap();
    let begin = page
        .find(&format!("```python\n{first}\n"))
        .unwrap_or_else(|| panic!("no Python on the page begins with {first}"));
    let block = &page[begin + "```python\n".len()..];
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
    if !python(folder, &format!("import {packages}"))
        .status
        .success()
    {
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
    for script in [&snippet(first), reader] {
        let output = python(folder, script);
        assert!(output.status.success(), "{output:?}");
        if script == reader {
            let text = String::from_utf8(output.stdout).unwrap();
            let last = text.lines().last().unwrap();
            let found: BTreeMap<String, BTreeMap<String, Vec<(i64, Value)>>> =
                serde_json::from_str(last).unwrap();
            return Some((numbers(found), expected(&all)));
        }
    }
    None
}

fn numbers(found: BTreeMap<String, BTreeMap<String, Vec<(i64, Value)>>>) -> Tasks {
    let compared = [
        "critical_sharpness",
        "edge_threshold",
        "learning_rate",
        "base_loss",
    ];
    let tasks = found.into_iter().map(|(task, fields)| {
        let fields = fields
            .into_iter()
            .filter(|(field, _)| compared.contains(&field.as_str()));
        let fields = fields.map(|(field, points)| {
            let points = points.into_iter();
            let points = points.map(|(step, value)| (step, value.as_f64().unwrap()));
            (field, points.collect())
        });
        (task, fields.collect())
    });
    tasks.collect()
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
