//! Reads event files back by a decoder of its own, and by TensorBoard's reader in an ignored test, which needs Python
//! (`$PYTHON`) with `tensorboard`:
//!
//! ```sh
//! cargo test --test tensorboard -- --ignored
//! ```

mod decoder;

use decoder::{Points, frames, read};
use sharpness_record::Quantity;
use sharpness_report::tensorboard::EventFiles;
use sharpness_report::{MEASUREMENTS_FILE, Measurement};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn measurement(step: u64, task: &str, is_known: bool) -> Measurement {
    let sharpness = 50.0 + (step as f64 / 7.0).sin() / 3.0;
    let curvature = serde_json::json!({
        "directional_sharpness": {"outcome": "measured", "value": sharpness / 3.0},
        "hessian_sharpness": {"outcome": "failed"},
    });
    let line = serde_json::json!({
        "version": 1, "step": step, "task": task, "learning_rate": 0.01, "base_loss": 3.0 / (1.0 + step as f64),
        "outcome": if is_known { "bracketed" } else { "no_increase" },
        "critical_lr": is_known.then_some(2.0 / sharpness),
        "critical_sharpness": is_known.then_some(sharpness),
        "evaluations": 3, "seconds": 0.1,
        "curvature": (step.is_multiple_of(20) && task == "train").then_some(curvature),
    });
    serde_json::from_value(line).unwrap()
}

fn measurements() -> Vec<Measurement> {
    let steps = (0..200).step_by(10);
    let known = |step: u64| !step.is_multiple_of(70);
    let both = steps.flat_map(|step| ["train", "code/val"].map(|task| (step, task)));
    both.map(|(step, task)| measurement(step, task, known(step)))
        .collect()
}

fn expected(measurements: &[Measurement], task: &str) -> Points {
    let mut points = Points::new();
    for measurement in measurements
        .iter()
        .filter(|measurement| measurement.task == task)
    {
        for quantity in Quantity::TABLE {
            if let Some(value) = quantity.of(measurement) {
                let tag = format!("sharpness/{}", quantity.about().field);
                let point = (measurement.step as i64, value as f32);
                points.entry(tag).or_default().push(point);
            }
        }
    }
    points
}

fn append(run: &Path, measurements: &[Measurement]) {
    let mut file = fs::OpenOptions::new();
    let mut file = file
        .create(true)
        .append(true)
        .open(run.join(MEASUREMENTS_FILE))
        .unwrap();
    for measurement in measurements {
        let line = serde_json::to_string(measurement).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

fn sharpness(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharpness"));
    command.args(arguments);
    command
}

fn exported() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("a"), folder.path().join("out"));
    fs::create_dir(&run).unwrap();
    append(&run, &measurements());
    let (run, to) = (run.to_str().unwrap(), out.to_str().unwrap());
    let output = sharpness(&["export", "--to", "tensorboard", run, "-o", to])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    (folder, out)
}

fn event_file(folder: &Path) -> PathBuf {
    folder.join("events.out.tfevents.sharpness")
}

#[test]
fn every_quantity_of_every_task_is_read_back_and_what_was_not_measured_is_no_point() {
    let (_folder, out) = exported();
    for (task, of_task) in [("train", "train"), ("code_val", "code/val")] {
        let said = read(&fs::read(event_file(&out.join("a").join(task))).unwrap());
        let expected = expected(&measurements(), of_task);
        assert_eq!(said.points, expected);
        assert_eq!(said.points["sharpness/critical_sharpness"].len(), 17);
        assert_eq!(said.points["sharpness/edge_threshold"].len(), 20);
        assert!(!said.points.contains_key("sharpness/hessian_sharpness"));
        let names: Vec<&String> = said
            .names
            .keys()
            .filter(|tag| expected.contains_key(*tag))
            .collect();
        assert_eq!(names, expected.keys().collect::<Vec<_>>());
        assert_eq!(
            said.names["sharpness/critical_sharpness"],
            "Critical Sharpness λ_c"
        );
        let both = ["critical_sharpness", "edge_threshold"].map(|tag| format!("^sharpness/{tag}$"));
        let [charts] = said.layouts.as_slice() else {
            panic!("{:?}", said.layouts)
        };
        assert!(
            charts
                .iter()
                .any(|tags| both.iter().all(|tag| tags.contains(tag))),
            "{charts:?}"
        );
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_read_up_to_there() {
    let (_folder, out) = exported();
    let whole = fs::read(event_file(&out.join("a/train"))).unwrap();
    let count = frames(&whole).len();
    assert_eq!(
        count, 22,
        "the version, the layout, and an event a measurement"
    );
    let mut before = 0;
    for end in 0..=whole.len() {
        let complete = frames(&whole[..end]).len();
        assert!(
            (before..=before + 1).contains(&complete),
            "{complete} frames of {end} bytes"
        );
        before = complete;
    }
    assert_eq!(before, count);
}

#[test]
fn a_run_that_goes_back_takes_its_points_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = EventFiles::new(folder.path(), "a", &[]);
    let all: Vec<Measurement> = (0..10)
        .map(|step| measurement(step, "train", true))
        .collect();
    all[..6]
        .iter()
        .for_each(|measurement| files.push(measurement));
    files.flush().unwrap();
    files.go_back(3);
    all[3..]
        .iter()
        .for_each(|measurement| files.push(measurement));
    files.flush().unwrap();
    let said = read(&fs::read(event_file(&folder.path().join("a/train"))).unwrap());
    assert_eq!(said.points, expected(&all, "train"));
    assert_eq!(said.layouts.len(), 2);
}

#[test]
fn event_files_grow_with_the_run_and_are_whole_when_the_export_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("a"), folder.path().join("out"));
    fs::create_dir(&run).unwrap();
    let all = measurements();
    let (first, rest) = all.split_at(12);
    append(&run, first);
    let file = event_file(&out.join("a/train"));
    let wait_for = |measurements: &[Measurement]| {
        let (expected, begun) = (expected(measurements, "train"), Instant::now());
        while !fs::read(&file).is_ok_and(|bytes| read(&bytes).points == expected) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{file:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for _ in 0..2 {
        let (run_path, to) = (run.to_str().unwrap(), out.to_str().unwrap());
        let arguments = [
            "export",
            "--to",
            "tensorboard",
            "--follow",
            run_path,
            "-o",
            to,
        ];
        let mut child = sharpness(&arguments).stdout(Stdio::null()).spawn().unwrap();
        wait_for(first);
        append(&run, rest);
        wait_for(&all);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(run.join(MEASUREMENTS_FILE)).unwrap();
        append(&run, first);
    }
    let csv: Output = sharpness(&["csv", "--follow", run.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(csv.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&csv.stderr).contains("--to tensorboard"),
        "{csv:?}"
    );
}

const READER: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
points = {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]}
layout = layout_pb2.Layout()
if tags["tensors"]:
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
charts = [list(chart.multiline.tag) for category in layout.category for chart in category.chart]
print(json.dumps({"points": points, "charts": charts}))
"#;

#[derive(Debug, serde::Deserialize)]
struct ReadByTensorBoard {
    points: BTreeMap<String, Vec<(i64, f64)>>,
    charts: Vec<Vec<String>>,
}

fn read_by_tensorboard(folder: &Path) -> ReadByTensorBoard {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_string());
    let output = Command::new(&python)
        .args(["-c", READER])
        .arg(folder)
        .output();
    let output = output.unwrap_or_else(|error| panic!("{python} does not start: {error}"));
    assert!(output.status.success(), "{output:?}");
    let read: Result<ReadByTensorBoard, _> = serde_json::from_slice(&output.stdout);
    read.unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
#[ignore = "needs Python with TensorBoard"]
fn tensorboard_reads_every_value_and_what_a_killed_export_leaves() {
    let (_folder, out) = exported();
    for (task, of_task) in [("train", "train"), ("code_val", "code/val")] {
        let read = read_by_tensorboard(&out.join("a").join(task));
        let points = read.points.into_iter().map(|(tag, points)| {
            let points = points.into_iter();
            (
                tag,
                points.map(|(step, value)| (step, value as f32)).collect(),
            )
        });
        assert_eq!(
            points.collect::<Points>(),
            expected(&measurements(), of_task)
        );
        assert!(read.charts[0].contains(&"^sharpness/edge_threshold$".to_string()));
        assert!(read.charts[0].contains(&"^sharpness/critical_sharpness$".to_string()));
    }
    let cut = out.join("cut");
    fs::create_dir(&cut).unwrap();
    let whole = fs::read(event_file(&out.join("a/train"))).unwrap();
    fs::write(event_file(&cut), &whole[..whole.len() - 9]).unwrap();
    let read = read_by_tensorboard(&cut);
    assert_eq!(read.points["sharpness/edge_threshold"].len(), 19);
}
