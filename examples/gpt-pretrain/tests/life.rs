//! Runs that are stopped, interrupted and resumed.
#![cfg(unix)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MODEL: &str = "--layers 1 --width 16 --heads 2 --context 16 --batch 2 --tokens bytes";

fn program(folder: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpt-pretrain"));
    command.current_dir(folder).args(flags);
    command
}

/// A folder with a text.
fn setting() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "The learning rate is above the critical learning rate.\n".repeat(100);
    fs::write(folder.path().join("text.txt"), text).unwrap();
    folder
}

fn start(folder: &Path, out: &str, flags: &[&str]) -> Child {
    let common = "--data text.txt --every 5 --epoch-steps 20 --out";
    let common: Vec<&str> = common.split(' ').chain([out]).collect();
    let model: Vec<&str> = MODEL.split(' ').collect();
    let mut command = program(folder, &[&model[..], &common, flags].concat());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn finish(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

#[track_caller]
fn assert_succeeds(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

/// Runs the program in bash, after commands that limit it.
#[track_caller]
fn assert_ends(folder: &TempDir, before: &str, flags: &str, code: i32) -> String {
    let program = env!("CARGO_BIN_EXE_gpt-pretrain");
    let script = format!("{before} exec {program} {MODEL} --data text.txt --out run {flags}");
    let mut shell = Command::new("bash");
    let shell = shell.current_dir(folder.path()).args(["-c", &script]);
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

#[track_caller]
fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "{text}");
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let mut kill = Command::new("kill");
    assert!(kill.args([name, &id]).status().unwrap().success());
}

fn wait_for_lines(record: &Path, lines: usize) {
    let started = Instant::now();
    while fs::read_to_string(record).map_or(0, |text| text.lines().count()) < lines {
        let is_late = started.elapsed() > Duration::from_secs(60);
        assert!(!is_late, "no measurement");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn weights(folder: &Path, run: &str, step: u64) -> BTreeMap<String, Vec<u8>> {
    let mut export = program(folder, &["--resume", run, "--export", "export"]);
    assert_succeeds(&export.output().unwrap());
    let file = folder.join(format!("export/step-{step}/model.safetensors"));
    let bytes = fs::read(file).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
    let tensors = header.into_iter();
    let tensors = tensors.filter(|(name, _)| name != "__metadata__");
    let tensors = tensors.map(|(name, tensor)| {
        let place = |index: usize| tensor["data_offsets"][index].as_u64().unwrap() as usize;
        (name, data[place(0)..place(1)].to_vec())
    });
    tensors.collect()
}

/// Dropout draws random numbers, and a stop must not cut an update of two batches.
#[test]
fn a_run_that_was_stopped_and_resumed_ends_with_the_same_weights() {
    let folder = setting();
    let folder = folder.path();
    let flags = ["--steps", "400", "--dropout", "0.1", "--accumulate", "2"];
    let whole = finish(start(folder, "whole", &flags));
    assert_succeeds(&whole);

    let cut = start(folder, "cut", &flags);
    wait_for_lines(&folder.join("cut/measurements.jsonl"), 3);
    signal(&cut, "-TERM");
    let cut = finish(cut);
    assert_succeeds(&cut);
    assert_has(&said(&cut), "of 400: --resume cut goes on");
    assert_succeeds(&program(folder, &["--resume", "cut"]).output().unwrap());
    let [whole, cut] = ["whole", "cut"].map(|run| weights(folder, run, 400));
    assert!(whole.len() > 10 && whole.keys().eq(cut.keys()));
    for (name, values) in whole {
        assert!(values == cut[&name], "{name} differs");
    }
}

#[test]
fn a_second_signal_ends_the_process() {
    let folder = setting();
    // An update takes minutes, so the first signal cannot end the run.
    let flags = ["--steps", "9", "--accumulate", "100000"];
    let run = start(folder.path(), "run", &flags);
    let started = Instant::now();
    while !folder.path().join("run/train").exists() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&run, "-TERM");
    std::thread::sleep(Duration::from_millis(200));
    signal(&run, "-TERM");
    assert_eq!(finish(run).status.code(), Some(128 + 15));
}

#[test]
fn a_disk_that_is_full_is_said_and_the_exit_code_tells() {
    let folder = setting();
    // Files of 20 KiB at most: less than a checkpoint, more than anything else.
    let limit = "trap '' XFSZ; ulimit -f 20;";
    let said = assert_ends(&folder, limit, "--epoch-steps 20 --steps 60 --every 50", 1);
    assert_has(&said, "error: the training broke off before step");
    assert_has(&said, "measurements  ");
}

/// burn's own metric logger would panic, and then abort the process.
#[test]
fn a_disk_that_is_full_within_an_epoch_ends_the_run_in_order() {
    let folder = setting();
    // Files of 4 KiB at most: a metric fills its file after some hundred steps.
    let limit = "trap '' XFSZ; ulimit -f 4;";
    let flags = "--epoch-steps 100000 --steps 100000 --every 50";
    let said = assert_ends(&folder, limit, flags, 1);
    assert_has(&said, "error: the training broke off before step");
    assert_has(&said, "run/train/epoch-1/");
    assert_has(&said, ".log cannot be written: ");
    assert_has(&said, "measurements  ");
    assert!(!said.contains("panicked"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_needs_no_output() {
    let folder = setting();
    let flags = "--epoch-steps 20 --steps 20 >/dev/full 2>/dev/full";
    assert_ends(&folder, "", flags, 0);
    assert!(folder.path().join("run/report.html").exists());
}

#[test]
fn a_run_outlives_its_reader() {
    let folder = setting();
    let mut run = start(folder.path(), "run", &["--steps", "30"]);
    drop(run.stdout.take());
    drop(run.stderr.take());
    assert!(run.wait().unwrap().success());
    let record = fs::read_to_string(folder.path().join("run/measurements.jsonl")).unwrap();
    assert_eq!(record.lines().count(), 6);
}
