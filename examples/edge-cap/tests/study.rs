//! A study that is cut and goes on.

use std::path::Path;
use std::process::{Command, Output};

fn study(folder: &Path, more: &[&str]) -> Output {
    let flags = "--only convolutional --steps 4 --seeds 1 --peaks 1,30 --caps 0.3";
    Command::new(env!("CARGO_BIN_EXE_edge-cap"))
        .arg(folder)
        .args(flags.split(' '))
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn a_study_goes_on_where_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let first = study(folder.path(), &[]);
    let said = String::from_utf8_lossy(&first.stderr);
    assert!(first.status.success(), "{said}");
    // Each of two peaks without a cap, with one, as long as that, and with clipped gradients.
    assert_eq!(said.matches('…').count(), 8, "{said}");
    let results = folder.path().join("results.jsonl");
    let lines = std::fs::read_to_string(&results).unwrap();
    let cut = lines.trim_end();
    std::fs::write(&results, &cut[..cut.len() - 9]).unwrap();

    let again = study(folder.path(), &[]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(said.matches('…').count(), 1, "{said}");
    assert_eq!(again.stdout, first.stdout);
    let table = study(folder.path(), &["--table"]);
    assert_eq!(table.stdout, first.stdout);
    assert!(table.stderr.is_empty());
    let figure = std::fs::read_to_string(folder.path().join("convolutional.svg"));
    assert!(figure.unwrap().contains("cap 0.3"));
}
