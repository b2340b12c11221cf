//! Checks that troubleshooting explains real messages, and that the record's page lists all its fields and outcomes.

use crate::page::{Page, pages, root};
use std::path::Path;

fn page(path: &str) -> Page {
    let page = pages()
        .into_iter()
        .find(|page| page.path == Path::new(path));
    page.unwrap_or_else(|| panic!("there is no {path}"))
}

#[test]
fn every_message_that_is_explained_is_one_of_the_library() {
    let mut sources = String::new();
    for package in ["burn-sharpness", "sharpness-record"] {
        read(
            &root().join("crates").join(package).join("src"),
            &mut sources,
        );
    }
    let page = page("docs/troubleshooting.md");
    let headings = page
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    // Backquotes mark a message, with N for a number.
    let messages = headings.flat_map(|heading| heading.split('`').skip(1).step_by(2));
    let parts = messages.flat_map(|message| message.split(" N: "));
    let parts: Vec<&str> = parts.collect();
    assert!(parts.len() > 10, "{parts:?}");
    for part in parts {
        assert!(
            sources.contains(part),
            "no message of the library says: {part}"
        );
    }
}

#[test]
fn every_field_and_outcome_of_the_record_is_explained() {
    let page = page("docs/record.md");
    let source = root().join("crates/sharpness-record/src");
    let source = |file: &str| std::fs::read_to_string(source.join(file)).unwrap();
    let measurement = source("measurement.rs");
    let fields = measurement
        .split("pub struct Measurement {")
        .nth(1)
        .unwrap();
    let fields = fields.split("\n}").next().unwrap().lines();
    let fields = fields.filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let outcome = source("outcome.rs");
    let outcomes = outcome.split("match self {").nth(1).unwrap();
    let outcomes = outcomes.split("Self::Other").next().unwrap();
    let names: Vec<&str> = fields
        .chain(outcomes.split('"').skip(1).step_by(2))
        .collect();
    assert!(
        names.contains(&"critical_lr") && names.contains(&"bracketed"),
        "{names:?}"
    );
    for name in names {
        assert!(
            page.text.contains(&format!("`{name}`")),
            "{name} is not explained"
        );
    }
}

#[test]
fn every_error_shows_its_sentence_where_it_is_debugged() {
    for package in ["burn-sharpness", "sharpness-record"] {
        let mut sources = String::new();
        let folder = root().join("crates").join(package).join("src");
        read(&folder, &mut sources);
        let derives = sources.lines().filter(|line| line.starts_with("#[derive("));
        let errors: Vec<&str> = derives.filter(|line| line.contains("Error")).collect();
        assert!(!errors.is_empty(), "{package}");
        for error in &errors {
            assert!(!error.contains("Debug"), "{package}: {error}");
        }
        let shown = sources.matches("debug_is_the_sentence!(").count();
        assert_eq!(shown, errors.len(), "{package}");
    }
}

fn read(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, sources);
        } else {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
