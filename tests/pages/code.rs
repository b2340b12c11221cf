//! Checks that the Rust code of README and the book is an excerpt of a program that compiles.

use crate::page::{pages, root};
use std::path::Path;

#[test]
fn the_rust_of_the_pages_is_excerpts_of_programs() {
    let redraws = std::env::var_os("REDRAW").is_some();
    let mut count = 0;
    for page in pages() {
        if !page.path.starts_with("docs") && page.path != Path::new("README.md") {
            continue;
        }
        let folder = root().join(page.path.parent().unwrap());
        let name = page.path.display();
        let mut redrawn = String::new();
        let mut rest = page.text.as_str();
        while let Some((before, block)) = rest.split_once("\n```rust") {
            let (kind, block) = block.split_once('\n').unwrap();
            let (code, after) = block.split_once("```").unwrap();
            // `<!-- ../tests/suite/FILE.rs:ANCHOR -->` before a block names its excerpt, which may have several parts.
            let source = before.lines().next_back().unwrap_or_default();
            let named = source.strip_prefix("<!-- ");
            let named = named.and_then(|source| source.strip_suffix(" -->")?.split_once(':'));
            let (file, anchor) =
                named.unwrap_or_else(|| panic!("{name}: {source} names no program of: {code}"));
            let excerpt = excerpt(&folder.join(file), anchor);
            let how = "`REDRAW=1 cargo test --test pages code` copies the excerpt again";
            let is_same = redraws || code == excerpt;
            assert!(is_same, "{name}: {source} differs: {how}");
            redrawn += &format!("{before}\n```rust{kind}\n{excerpt}```");
            rest = after;
            count += 1;
        }
        if redraws {
            std::fs::write(root().join(&page.path), redrawn + rest).unwrap();
        }
    }
    assert!(count > 5, "{count} excerpts");
}

fn excerpt(path: &Path, anchor: &str) -> String {
    let name = path.display();
    let source = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(is_a_program(path), "{name} is compiled by nothing");
    let [start, end] = ["ANCHOR", "ANCHOR_END"].map(|mark| format!("// {mark}: {anchor}\n"));
    let parts = source.split(&start).skip(1).map(|part| {
        let part = part.split_once(&end);
        let (part, _) = part.unwrap_or_else(|| panic!("{name}: {anchor} has no end"));
        unindented(part)
    });
    let parts: Vec<String> = parts.collect();
    assert!(!parts.is_empty(), "{name} has no {anchor}");
    parts.join("\n")
}

fn unindented(part: &str) -> String {
    let lines = part.trim_end().lines();
    let lines: Vec<&str> = lines.filter(|line| !line.contains("// ANCHOR")).collect();
    let texts = lines.iter().filter(|line| !line.is_empty());
    let indentation = texts.map(|line| line.len() - line.trim_start().len()).min();
    let indentation = indentation.unwrap_or(0);
    let cut = |line: &&str| format!("{}\n", line.get(indentation..).unwrap_or_default());
    lines.iter().map(cut).collect()
}

fn is_a_program(path: &Path) -> bool {
    let (path, root) = (path.canonicalize().unwrap(), root().canonicalize().unwrap());
    let programs = [
        "crates/burn-sharpness/examples",
        "tests/suite",
        "tests/opentelemetry",
    ];
    programs
        .iter()
        .any(|folder| path.starts_with(root.join(folder)))
}
