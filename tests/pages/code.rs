//! The Rust of the pages compiles: it is an excerpt of a program, or an example that rustdoc compiles.

use crate::page::{pages, root};
use std::path::Path;

#[test]
fn the_rust_of_the_book_is_excerpts_of_programs() {
    let mut count = 0;
    for page in pages().iter().filter(|page| page.path.starts_with("docs")) {
        for block in page.blocks() {
            if !block.kind.starts_with("rust") {
                continue;
            }
            count += 1;
            let name = page.path.display();
            let include = block.text.trim().strip_prefix("{{#include ");
            let include = include.and_then(|text| text.strip_suffix("}}"));
            let include = include.unwrap_or_else(|| panic!("{name}: no excerpt: {}", block.text));
            let (file, anchor) = include.split_once(':').unwrap_or_else(|| {
                panic!("{name}: {include} names no anchor");
            });
            let path = root().join("docs").join(file);
            let source = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{name}: {include}: {error}"));
            assert!(
                is_a_program(&path),
                "{name}: {include} is compiled by nothing"
            );
            for mark in ["ANCHOR", "ANCHOR_END"] {
                let marks = source.matches(&format!("// {mark}: {anchor}\n")).count();
                assert_eq!(marks, 1, "{name}: {include}: {mark} in the source");
            }
        }
    }
    assert!(count > 5, "{count} excerpts");
}

/// Whether a file is one that cargo compiles: an example, or a module of a test.
fn is_a_program(path: &Path) -> bool {
    let path = path.canonicalize().unwrap();
    let root = root().canonicalize().unwrap();
    let path = path.strip_prefix(&root).unwrap();
    let programs = [
        "crates/burn-sharpness/examples",
        "tests/suite",
        "tests/opentelemetry",
    ];
    programs.iter().any(|folder| path.starts_with(folder))
}
