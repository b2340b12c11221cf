//! Reads event files back by a decoder of its own, and by TensorBoard's reader in an ignored test, which needs Python
//! (`$PYTHON`) with `tensorboard`:
//!
//! ```sh
//! cargo test --test tensorboard -- --ignored
//! ```

#[path = "../common/mod.rs"]
mod common;
mod decoder;

use decoder::{Points, frames, read};
use sharpness_record::Quantity;
use sharpness_report::tensorboard::EventFiles;
use sharpness_report::{MEASUREMENTS_FILE, Measurement};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn measurement(step: u64, task: &str, is_known: bool) -> Measurement {
    let sharpness = 50.0 + (step as f64 / 7.0).sin() / 3.0;
    let curvature = serde_json::json!({
        "directional_sharpness": {"outcome": "measured", "value": sharpness / 3.0},
        "hessian_sharpness": {"outcome": "failed"},
    });
    let mut measurement: Measurement =
        common::line(step, task, 0.01, is_known.then_some(sharpness));
    if step.is_multiple_of(20) && task == "train" {
        measurement.curvature = serde_json::from_value(curvature).unwrap();
    }
    measurement
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
    for measurement in measurements.iter().filter(|m| m.task == task) {
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
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).append(true);
    let mut file = file.open(run.join(MEASUREMENTS_FILE)).unwrap();
    for measurement in measurements {
        let line = serde_json::to_string(measurement).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// A folder with a run `a` of these measurements, and a place for its event files.
fn setting(measurements: &[Measurement]) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("a"), folder.path().join("out"));
    fs::create_dir(&run).unwrap();
    append(&run, measurements);
    (folder, run, out)
}

fn export(run: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharpness"));
    command.args(["export", "--to", "tensorboard"]);
    command.arg(run).arg("-o").arg(out);
    command
}

fn exported() -> (tempfile::TempDir, PathBuf) {
    let (folder, run, out) = setting(&measurements());
    let output = export(&run, &out).output().unwrap();
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
        assert!(expected.keys().all(|tag| said.names.contains_key(tag)));
        let name = &said.names["sharpness/critical_sharpness"];
        assert_eq!(name, "Critical Sharpness λ_c");
        assert_eq!(said.layouts.len(), 1);
        let both = ["critical_sharpness", "edge_threshold"].map(|tag| format!("^sharpness/{tag}$"));
        let has_both = |tags: &Vec<String>| both.iter().all(|tag| tags.contains(tag));
        assert!(said.layouts[0].iter().any(has_both), "{said:?}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_read_up_to_there() {
    let (_folder, out) = exported();
    let whole = fs::read(event_file(&out.join("a/train"))).unwrap();
    let count = frames(&whole).len();
    // The version, the layout, and an event a measurement.
    assert_eq!(count, 22);
    let mut before = 0;
    for end in 0..=whole.len() {
        let complete = frames(&whole[..end]).len();
        let is_next = (before..=before + 1).contains(&complete);
        assert!(is_next, "{complete} frames of {end} bytes");
        before = complete;
    }
    assert_eq!(before, count);
}

#[test]
fn a_run_that_goes_back_takes_its_points_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = EventFiles::new(folder.path(), "a", &[]);
    let all = (0..10).map(|step| measurement(step, "train", true));
    let all: Vec<Measurement> = all.collect();
    all[..6].iter().for_each(|m| files.push(m));
    files.flush().unwrap();
    files.go_back(3);
    all[3..].iter().for_each(|m| files.push(m));
    files.flush().unwrap();
    let said = read(&fs::read(event_file(&folder.path().join("a/train"))).unwrap());
    assert_eq!(said.points, expected(&all, "train"));
    assert_eq!(said.layouts.len(), 2);
}

#[test]
fn event_files_grow_with_the_run_and_are_whole_when_the_export_is_killed() {
    let all = measurements();
    let (first, rest) = all.split_at(12);
    let (_folder, run, out) = setting(first);
    let file = event_file(&out.join("a/train"));
    let wait_for = |measurements: &[Measurement]| {
        let (expected, begun) = (expected(measurements, "train"), Instant::now());
        while !fs::read(&file).is_ok_and(|bytes| read(&bytes).points == expected) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{file:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for _ in 0..2 {
        let mut follow = export(&run, &out);
        let follow = follow.arg("--follow").stdout(Stdio::null());
        let mut child = follow.spawn().unwrap();
        wait_for(first);
        append(&run, rest);
        wait_for(&all);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(run.join(MEASUREMENTS_FILE)).unwrap();
        append(&run, first);
    }
    let mut csv = Command::new(env!("CARGO_BIN_EXE_sharpness"));
    let csv = csv.args(["csv", "--follow"]).arg(&run).output().unwrap();
    assert_eq!(csv.status.code(), Some(2));
    let error = String::from_utf8_lossy(&csv.stderr);
    assert!(error.contains("--to tensorboard"), "{error}");
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
    points: Points,
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
        assert_eq!(read.points, expected(&measurements(), of_task));
        for tag in ["edge_threshold", "critical_sharpness"] {
            assert!(read.charts[0].contains(&format!("^sharpness/{tag}$")));
        }
    }
    let cut = out.join("cut");
    fs::create_dir(&cut).unwrap();
    let whole = fs::read(event_file(&out.join("a/train"))).unwrap();
    fs::write(event_file(&cut), &whole[..whole.len() - 9]).unwrap();
    let read = read_by_tensorboard(&cut);
    assert_eq!(read.points["sharpness/edge_threshold"].len(), 19);
}
