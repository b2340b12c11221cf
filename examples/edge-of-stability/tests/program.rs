//! The built program with a full output and on a full disk.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};
use tempfile::TempDir;

fn run(folder: &TempDir, before: &str, flags: &str) -> Output {
    let script = format!(
        "{before} exec {} --width 8 --layers 2 --out run {flags}",
        env!("CARGO_BIN_EXE_edge-of-stability")
    );
    let mut shell = Command::new("bash");
    let shell = shell.current_dir(folder.path()).args(["-c", &script]);
    shell.output().unwrap()
}

#[test]
fn a_training_needs_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--examples 20 --hessian-every 1000 --steps 20 >/dev/full 2>/dev/full";
    let output = run(&folder, "", flags);
    assert!(output.status.success());
    assert!(folder.path().join("run/summary.json").exists());
}

#[test]
fn batch_sharpness_is_measured_at_four_sizes_and_two_momenta() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--stochastic --examples 64 --steps 40 --hessian-every 10 --lr 0.01";
    let output = run(&folder, "", flags);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{err}");
    let table = std::fs::read_to_string(folder.path().join("run/table.md")).unwrap();
    for batch in [64, 16, 4, 1] {
        for momentum in [0.0, 0.9] {
            let row = format!("\n| {momentum} | {batch} | ");
            assert!(table.contains(&row) && out.contains(&row[1..]), "{table}");
        }
    }
    let charts = ["batch-sharpness-0.svg", "batch-sharpness-0.9.svg"];
    for file in ["summary.json"].iter().chain(&charts) {
        assert!(folder.path().join("run").join(file).exists(), "{file}");
    }
}

#[test]
fn a_disk_that_is_full_within_an_epoch_ends_the_training_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--examples 20 --hessian-every 1000 --steps 5000";
    let output = run(&folder, "trap '' XFSZ; ulimit -f 4;", flags);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(1), "{err}");
    let broke_off = "error: the training broke off before step";
    assert!(err.starts_with(broke_off), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    let note = "note: measurements cannot be written to the run's folder";
    for said in ["λ_c    first above 2/η", note] {
        assert!(out.contains(said), "{out}");
    }
}
