//! Checks that modules use each other in no circle, and only along the layers declared in ARCHITECTURE.md.

mod source;

use source::{Sources, circle, misplaced};
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

const LAYERED: [&str; 4] = [
    "critical-search",
    "sharpness-record",
    "burn-sharpness",
    "sharpness-report",
];
const LONG: usize = 350;

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn architecture() -> String {
    fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap()
}

fn files() -> Vec<String> {
    let folders = ["crates", "examples", "tests"].map(|name| workspace().join(name));
    let entries = folders.into_iter().flat_map(WalkDir::new);
    let paths = entries.map(|entry| entry.unwrap().into_path());
    let files = paths.filter_map(|path| {
        let file = path.strip_prefix(workspace()).unwrap().to_str().unwrap();
        file.ends_with(".rs").then(|| file.to_owned())
    });
    let mut files: Vec<String> = files.collect();
    files.sort();
    files
}

#[test]
fn no_crate_has_a_circle() {
    let files = files();
    let mut roots: Vec<_> = files
        .iter()
        .filter_map(|file| file.rsplit_once('/'))
        .collect();
    roots.retain(|(_, name)| ["lib.rs", "main.rs"].contains(name));
    roots.dedup_by_key(|(root, _)| *root);
    assert!(roots.len() >= 12, "{roots:?}");
    for (root, _) in roots {
        for (parent, graph) in Sources::read(&workspace().join(root)).graphs() {
            let circle = circle(&graph).join(", ");
            let how = "use each other in a circle; move what both need into a module of its own";
            assert!(
                circle.is_empty(),
                "{root}, in crate::{parent}: {circle} {how}"
            );
        }
    }
}

/// In a row such as "| `package` | a → b, c → d |".
fn layers(page: &str, package: &str) -> Vec<Vec<String>> {
    let start = format!("| `{package}` | ");
    let rows = page.lines().filter_map(|line| line.strip_prefix(&start));
    let mut rows = rows.filter_map(|row| row.strip_suffix(" |"));
    // Another table has a row of each package, too.
    let row = rows.find(|row| row.contains(" → "));
    let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no layers of {package}"));
    let layers = row.split(" → ");
    let layers = layers.map(|layer| layer.split(", ").map(str::to_owned).collect());
    layers.collect()
}

#[test]
fn architecture_declares_the_layers() {
    let page = architecture();
    for package in LAYERED {
        let sources = Sources::read(&workspace().join("crates").join(package).join("src"));
        let misplaced = misplaced(&sources.graphs()[""], &layers(&page, package));
        let rule = "in ARCHITECTURE.md, where a room uses only rooms to its right";
        assert!(
            misplaced.is_empty(),
            "the layers of {package} {rule}: {misplaced:?}"
        );
    }
}

#[test]
fn a_long_file_has_a_reason() {
    let page = architecture();
    let mut without_reason = files();
    without_reason.retain(|file| {
        let text = fs::read_to_string(workspace().join(file)).unwrap();
        text.lines().count() > LONG && !page.contains(&format!("`{file}`"))
    });
    let what = format!("above {LONG} lines, without a reason in ARCHITECTURE.md");
    assert!(without_reason.is_empty(), "{what}: {without_reason:?}");
}
