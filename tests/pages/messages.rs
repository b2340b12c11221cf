//! Checks that troubleshooting explains real messages, and that the record's page lists all its fields and outcomes.

use crate::page::root;
use walkdir::WalkDir;

const PACKAGES: [&str; 2] = ["burn-sharpness", "sharpness-record"];

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn sources(package: &str) -> String {
    let files = WalkDir::new(root().join("crates").join(package).join("src"));
    let files = files.sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap());
    texts.collect()
}

#[test]
fn every_message_that_is_explained_is_one_of_the_library() {
    let sources = PACKAGES.map(sources).concat();
    let page = page("docs/troubleshooting.md");
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    // Backquotes mark a message, with N for a number.
    let messages = headings.flat_map(|heading| heading.split('`').skip(1).step_by(2));
    let parts = messages.flat_map(|message| message.split(" N: "));
    let parts: Vec<&str> = parts.collect();
    assert!(parts.len() > 10, "{parts:?}");
    for part in parts {
        assert!(sources.contains(part), "no message says: {part}");
    }
}

#[test]
fn every_field_and_outcome_of_the_record_is_explained() {
    let page = page("docs/record.md");
    let sources = sources("sharpness-record");
    let between = |from: &str, to: &str| {
        let (_, rest) = sources.split_once(from).unwrap();
        rest.split_once(to).unwrap().0
    };
    let fields = between("pub struct Measurement {", "\n}").lines();
    let fields = fields.filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let outcomes = between("Self::Bracketed => ", "Self::Other");
    let outcomes = outcomes.split('"').skip(1).step_by(2);
    let names: Vec<&str> = fields.chain(outcomes).collect();
    assert!(names.contains(&"critical_lr") && names.contains(&"bracketed"));
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is missing");
    }
}

#[test]
fn every_error_shows_its_sentence_where_it_is_debugged() {
    for package in PACKAGES {
        let sources = sources(package);
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
