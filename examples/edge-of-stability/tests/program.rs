//! The built program with a full output and on a full disk.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, before: &str, flags: &str) -> Output {
    let script = format!(
        "{before} exec {} --width 8 --examples 20 --layers 2 --hessian-every 1000 --out run {flags}",
        env!("CARGO_BIN_EXE_edge-of-stability")
    );
    let mut shell = Command::new("bash");
    let shell = shell.current_dir(folder).args(["-c", &script]);
    shell.output().unwrap()
}

#[test]
fn a_training_needs_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "", "--steps 20 >/dev/full 2>/dev/full");
    assert!(output.status.success());
    assert!(folder.path().join("run/summary.json").exists());
}

#[test]
fn a_disk_that_is_full_within_an_epoch_ends_the_training_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "trap '' XFSZ; ulimit -f 4;", "--steps 5000");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.starts_with("error: the training broke off before step"),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(out.contains("λ_c    first above 2/η"), "{out}");
    assert!(
        out.contains("note: measurements cannot be written to the run's folder"),
        "{out}"
    );
}
