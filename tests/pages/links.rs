//! Checks that links between pages lead to a file, and to a heading in it.

use crate::page::{Page, pages, root};
use std::path::{Component, Path, PathBuf};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    let mut count = 0;
    let mut faults = Vec::new();
    for page in &pages {
        for target in targets(page) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            if let Some(fault) = fault(&target, page, &pages) {
                faults.push(format!("{}: ({target}) {fault}", page.path.display()));
            }
        }
    }
    assert!(count > 20, "{count} links");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_book_has_every_page_of_its_folder_once() {
    let pages = pages();
    let book = Path::new("docs");
    let mut pages_of_book = pages.iter();
    let summary = pages_of_book.find(|page| page.path == book.join("SUMMARY.md"));
    let mut listed: Vec<String> = targets(summary.unwrap());
    listed.sort();
    let in_book = pages.iter().filter(|page| page.path.starts_with(book));
    let names = in_book.map(|page| page.path.file_name().unwrap().to_str().unwrap());
    let names: Vec<&str> = names.filter(|name| *name != "SUMMARY.md").collect();
    assert_eq!(listed, names);
}

fn targets(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let prose: String = prose.split('`').step_by(2).collect();
    let links = prose.split("](").skip(1);
    let ends = links.filter_map(|link| link.split_once(')'));
    ends.map(|(target, _)| target.to_string()).collect()
}

fn fault(target: &str, page: &Page, pages: &[Page]) -> Option<&'static str> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => page.path.clone(),
        _ => normal(&page.path.parent().unwrap().join(file)),
    };
    if !root().join(&path).exists() {
        return Some("leads to no file");
    }
    if page.path.starts_with("docs") && !path.starts_with("docs") {
        return Some("leads out of the book, which is read without the repository");
    }
    if heading.is_empty() {
        return None;
    }
    let Some(target) = pages.iter().find(|page| page.path == path) else {
        return Some("leads to a heading in a file that is no page");
    };
    let text = target.prose();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let mut names = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
    (!names.any(|name| name == heading)).then_some("leads to no heading of the page")
}

fn anchor(heading: &str) -> String {
    let mut kept = heading.to_lowercase();
    kept.retain(|c| c.is_alphanumeric() || " -_".contains(c));
    kept.replace(' ', "-")
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
