//! The built program with a full output and on a full disk.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &str) -> Output {
    let script = format!("$P --only full --steps 8 {arguments}; exit ${{PIPESTATUS[0]}}");
    let mut shell = Command::new("bash");
    let shell = shell.current_dir(folder).args(["-c", &script]);
    let shell = shell.env("P", env!("CARGO_BIN_EXE_search-bench"));
    shell.output().unwrap()
}

#[test]
fn a_full_output_is_an_error_and_a_closed_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let full = run(folder.path(), ">/dev/full");
    assert_eq!(full.status.code(), Some(1));
    let error = String::from_utf8(full.stderr).unwrap();
    let said = "error: the output cannot be written: No space";
    assert!(error.contains(said), "{error}");
    for closed in ["--json | true", "2>/dev/full | true"] {
        assert!(run(folder.path(), closed).status.success(), "{closed}");
    }
}

#[test]
fn a_file_that_cannot_be_written_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.json");
    std::fs::write(&path, "old").unwrap();
    let script = "--lines lines.json";
    let limit = "--json >/dev/null; trap '' XFSZ; ulimit -f 0; $P --only full --steps 8";
    let limited = run(folder.path(), &format!("{limit} {script}"));
    assert_eq!(limited.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert!(run(folder.path(), script).status.success());
    assert!(std::fs::read_to_string(&path).unwrap().starts_with('['));
}
