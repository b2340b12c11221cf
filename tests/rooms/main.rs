//! The structure of every crate, read from its own source: no circle between modules, and the drawings of
//! ARCHITECTURE.md.

mod graph;
mod source;

use source::Source;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The root files of all crates of the workspace: libraries, programs, and tests of several files.
fn roots() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for folder in ["crates", "examples", "tests"] {
        add_roots(&workspace().join(folder), &mut roots);
    }
    roots.sort();
    roots
}

fn add_roots(folder: &Path, roots: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" {
            add_roots(&path, roots);
        } else if name == "lib.rs" || name == "main.rs" {
            roots.push(path);
        }
    }
}

#[test]
fn no_crate_has_a_circle() {
    let roots = roots();
    for expected in [
        "crates/burn-sharpness/src/lib.rs",
        "examples/gpt-pretrain/src/main.rs",
    ] {
        let expected = workspace().join(expected);
        assert!(roots.contains(&expected), "{expected:?} was not looked at");
    }
    let circles: Vec<_> = roots
        .iter()
        .filter_map(|root| {
            let circle = graph::circle(&Source::read(root).unwrap())?;
            Some(format!("{}: {circle}", root.display()))
        })
        .collect();
    assert!(
        circles.is_empty(),
        "modules use each other in a circle; move what both need into a module of its own:\n{}",
        circles.join("\n")
    );
}
