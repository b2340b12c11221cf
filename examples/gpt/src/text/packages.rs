//! Reads the sources of packages in Cargo.lock, which every build has on disk.

use super::Text;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Documentation comments: English prose about software.
    Prose,
    /// Everything else: Rust.
    Code,
}

impl Domain {
    pub fn other(self) -> Self {
        match self {
            Self::Prose => Self::Code,
            Self::Code => Self::Prose,
        }
    }
}

/// Every build of the examples compiles these packages, and they hold the most documentation.
const PACKAGES: &str = "\
    aho-corasick burn-backend burn-core burn-flex burn-ir burn-nn burn-optim burn-std burn-tensor \
    burn-train bytes chrono clap clap_builder crossterm csv flate2 half indexmap memchr num-traits \
    parquet rand_distr ratatui ratatui-core ratatui-widgets rayon rayon-core regex regex-automata \
    regex-syntax serde serde_core serde_json time tokenizers tracing tracing-core tracing-subscriber \
    uuid winnow";

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

pub(super) fn read(domain: Domain, limit: usize) -> Result<Text> {
    let lock: Lock = toml::from_str(include_str!("../../../../Cargo.lock"))
        .context("Cargo.lock cannot be read")?;
    let registries = home::cargo_home()?.join("registry").join("src");
    let mut content = String::new();
    let mut found = 0;
    for name in PACKAGES.split_whitespace() {
        let versions = lock.package.iter().filter(|p| p.name == name);
        for package in versions {
            let folder = format!("{}-{}", package.name, package.version);
            let Some(folder) = find_package(&registries, &folder)? else {
                continue;
            };
            found += 1;
            for entry in WalkDir::new(&folder).sort_by_file_name() {
                let path = entry?.into_path();
                if content.len() >= limit {
                    break;
                }
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                // Sources are UTF-8, except a few test data files.
                let Ok(source) = std::fs::read_to_string(&path) else {
                    continue;
                };
                extract(&source, domain, &mut content);
            }
        }
    }
    content.truncate(content.floor_char_boundary(limit));
    ensure!(
        !content.is_empty(),
        "no sources of packages were found in {}: run `cargo fetch`, or give a text of your own",
        registries.display(),
    );
    let part = match domain {
        Domain::Prose => "documentation",
        Domain::Code => "code",
    };
    Ok(Text {
        content,
        source: format!("the {part} of {found} packages of Cargo.lock"),
        notes: Vec::new(),
    })
}

fn find_package(registries: &Path, package: &str) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(registries).into_iter().flatten();
    for entry in entries {
        let folder = entry?.path().join(package);
        if folder.is_dir() {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// Appends the documentation comments without their code, or all other lines.
fn extract(source: &str, domain: Domain, content: &mut String) {
    let start = content.len();
    let mut quoting = false;
    for line in source.lines() {
        let trimmed = line.trim_start();
        let comment = trimmed.strip_prefix("///").or(trimmed.strip_prefix("//!"));
        let kept = match (domain, comment) {
            (Domain::Prose, Some(comment)) => {
                let comment = comment.strip_prefix(' ').unwrap_or(comment);
                let is_fence = comment.trim_start().starts_with("```");
                quoting ^= is_fence;
                (!is_fence && !quoting).then_some(comment)
            }
            (Domain::Prose, None) => {
                quoting = false;
                None
            }
            (Domain::Code, None) => Some(line),
            (Domain::Code, Some(_)) => None,
        };
        if let Some(line) = kept {
            content.push_str(line);
            content.push('\n');
        }
    }
    if content.len() > start {
        content.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_split_into_prose_and_code() {
        let source = "//! Crate.\n\n/// Adds.\n/// ```\n/// add(1, 2);\n/// ```\n/// Twice.\nfn add() {} // not documentation\n";
        let mut prose = String::new();
        extract(source, Domain::Prose, &mut prose);
        assert_eq!(prose, "Crate.\nAdds.\nTwice.\n\n");
        let mut code = String::new();
        extract(source, Domain::Code, &mut code);
        assert_eq!(code, "\nfn add() {} // not documentation\n\n");
    }

    #[test]
    fn the_packages_of_cargo_lock_hold_megabytes_of_both() {
        for domain in [Domain::Prose, Domain::Code] {
            let text = Text::of_packages(domain, 2_000_000).unwrap();
            assert!(text.content.len() > 1_999_000, "{}", text.source);
            let again = Text::of_packages(domain, 2_000_000).unwrap();
            assert_eq!(text.digest(), again.digest());
        }
    }
}
