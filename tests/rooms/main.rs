//! The structure of the project, read from its own sources: no circle between modules, and the drawings of
//! ARCHITECTURE.md. `REDRAW=1 cargo test --workspace --test rooms` makes the drawings anew.

mod drawing;
mod graph;
mod source;

use drawing::{drawn, mermaid, redrawn};
use graph::Graph;
use source::CrateSource;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What ARCHITECTURE.md draws: the packages, and the rooms of the crates with these root files.
const DRAWN: [&str; 5] = [
    "packages",
    "crates/critical-search/src/lib.rs",
    "crates/sharpness-record/src/lib.rs",
    "crates/burn-sharpness/src/lib.rs",
    "crates/sharpness-report/src/lib.rs",
];
/// Above so many lines, a source file needs a reason in ARCHITECTURE.md.
const LONG: usize = 350;

/// The folder of the workspace.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn architecture() -> String {
    fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap()
}

/// All Rust files of the workspace, as paths from its folder with `/` between the names.
fn files() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["crates", "examples", "tests"] {
        add_files(folder, &mut files);
    }
    files.sort();
    files
}

fn add_files(folder: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(workspace().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            add_files(&path, files);
        } else if path.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// The root files of all libraries, of all programs, and of those tests that have several files.
fn roots() -> Vec<String> {
    let is_root = |path: &String| path.ends_with("/lib.rs") || path.ends_with("/main.rs");
    files().into_iter().filter(is_root).collect()
}

fn read(root: &str) -> CrateSource {
    CrateSource::read(&workspace().join(root)).unwrap()
}

/// The packages of the workspace and which of them each names in its sources.
fn packages() -> Graph {
    let roots = roots();
    // A library crate is named like its package, with underscores.
    let folders: BTreeSet<PathBuf> = roots
        .iter()
        .filter_map(|root| Some(Path::new(root).parent()?.parent()?.to_path_buf()))
        .filter(|folder| workspace().join(folder).join("Cargo.toml").exists())
        .collect();
    let name = |folder: &Path| folder.file_name().unwrap().to_str().unwrap().to_owned();
    let names: BTreeSet<String> = folders.iter().map(|folder| name(folder)).collect();
    let mut graph = Graph::default();
    for folder in &folders {
        let sources = roots
            .iter()
            .filter(|root| Path::new(root).starts_with(folder));
        let named: BTreeSet<String> = sources
            .flat_map(|root| read(root).modules)
            .flat_map(|module| {
                let imports = module.imports.into_iter().map(|import| import.path);
                imports.chain(module.mentions).collect::<Vec<_>>()
            })
            .filter(|path| path.len() > 1)
            .map(|path| path[0].replace('_', "-"))
            .filter(|used| names.contains(used) && *used != name(folder))
            .collect();
        graph.0.insert(name(folder), named);
    }
    graph
}

#[test]
fn no_crate_has_a_circle() {
    let roots = roots();
    for expected in &DRAWN[1..] {
        assert!(roots.iter().any(|root| root == expected), "{expected}");
    }
    let circles: Vec<_> = roots
        .iter()
        .filter_map(|root| Some(format!("{root}: {}", graph::circle(&read(root))?)))
        .collect();
    assert!(
        circles.is_empty(),
        "modules use each other in a circle; move what both need into a module of its own:\n{}",
        circles.join("\n")
    );
}

#[test]
fn architecture_draws_the_code() {
    let page = architecture();
    assert_eq!(drawn(&page), DRAWN);
    let fresh = redrawn(&page, |subject| match subject {
        "packages" => mermaid(&packages()),
        root => mermaid(&Graph::of_rooms(&read(root)).without("crate")),
    });
    if std::env::var_os("REDRAW").is_some() {
        fs::write(workspace().join("ARCHITECTURE.md"), fresh).unwrap();
    } else if page != fresh {
        panic!(
            "ARCHITECTURE.md does not draw what the code imports: look at the difference after \
             `REDRAW=1 cargo test --workspace --test rooms`"
        );
    }
}

#[test]
fn a_long_file_has_a_reason() {
    let page = architecture();
    let without_reason: Vec<_> = files()
        .into_iter()
        .filter(|file| {
            let text = fs::read_to_string(workspace().join(file)).unwrap();
            text.lines().count() > LONG && !page.contains(&format!("`{file}`"))
        })
        .collect();
    assert!(
        without_reason.is_empty(),
        "above {LONG} lines, without a reason in ARCHITECTURE.md: {without_reason:?}"
    );
}
