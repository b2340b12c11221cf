//! Text to train on: the sources of the packages that this project is built from, or the user's.

use anyhow::{Context, Result, bail, ensure};
use cargo_lock::Lockfile;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use sha2::{Digest, Sha256};
use std::fmt::{Display, Formatter};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The packages that every build of the examples compiles, and that hold the most documentation.
const PACKAGES: [&str; 41] = [
    "aho-corasick",
    "burn-backend",
    "burn-core",
    "burn-flex",
    "burn-ir",
    "burn-nn",
    "burn-optim",
    "burn-std",
    "burn-tensor",
    "burn-train",
    "bytes",
    "chrono",
    "clap",
    "clap_builder",
    "crossterm",
    "csv",
    "flate2",
    "half",
    "indexmap",
    "memchr",
    "num-traits",
    "parquet",
    "rand_distr",
    "ratatui",
    "ratatui-core",
    "ratatui-widgets",
    "rayon",
    "rayon-core",
    "regex",
    "regex-automata",
    "regex-syntax",
    "serde",
    "serde_core",
    "serde_json",
    "time",
    "tokenizers",
    "tracing",
    "tracing-core",
    "tracing-subscriber",
    "uuid",
    "winnow",
];

/// Which part of the packages' sources to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The documentation comments: English prose about software.
    Prose,
    /// Everything else: Rust.
    Code,
}

/// Text and where it comes from.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text.
    pub content: String,
    /// A short name of the source, for people.
    pub source: String,
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let megabytes = self.content.len() as f64 / 1e6;
        let digest = self.digest();
        write!(f, "{}: {megabytes:.1} MB, digest {digest}", self.source)
    }
}

impl Text {
    /// The first 16 hexadecimal digits of the SHA-256 of the text: equal texts, equal digests.
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.content.as_bytes());
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Reads the documentation or the code of the packages that Cargo.lock pins, which cargo has put
    /// on disk to build this program. Nothing is downloaded.
    ///
    /// At most `limit` bytes are read, in the order of the packages' and the files' names.
    ///
    /// # Errors
    ///
    /// If cargo's folder of sources cannot be found.
    pub fn of_packages(domain: Domain, limit: usize) -> Result<Self> {
        let lock: Lockfile = include_str!("../../../Cargo.lock")
            .parse()
            .context("Cargo.lock cannot be read")?;
        let registries = home::cargo_home()?.join("registry").join("src");
        let mut content = String::new();
        let mut found = 0;
        for name in PACKAGES {
            let versions = lock.packages.iter().filter(|p| p.name.as_str() == name);
            for package in versions {
                let folder = format!("{}-{}", package.name, package.version);
                let Some(folder) = find_package(&registries, &folder)? else {
                    continue;
                };
                found += 1;
                for path in files_below(&folder, &["rs"])? {
                    if content.len() >= limit {
                        break;
                    }
                    // Sources are UTF-8, but for a few test data files.
                    let Ok(source) = std::fs::read_to_string(&path) else {
                        continue;
                    };
                    extract(&source, domain, &mut content);
                }
            }
        }
        truncate(&mut content, limit);
        ensure!(
            !content.is_empty(),
            "no sources of packages were found in {}: run `cargo fetch`, or give a text with --data",
            registries.display(),
        );
        let part = match domain {
            Domain::Prose => "documentation",
            Domain::Code => "code",
        };
        Ok(Self {
            content,
            source: format!("the {part} of {found} packages of Cargo.lock"),
        })
    }

    /// Reads a text file (`.jsonl` and `.parquet` by their field `text`, anything else as it is), or
    /// all `.txt`, `.md`, `.jsonl` and `.parquet` files below a folder in the order of their names.
    /// At most `limit` bytes are read.
    ///
    /// # Errors
    ///
    /// If the path does not exist, a file cannot be read, or there is no text.
    pub fn of_path(path: &Path, limit: usize) -> Result<Self> {
        let unreadable = || format!("the data {} cannot be read", path.display());
        let metadata = std::fs::metadata(path).with_context(unreadable)?;
        let files = if metadata.is_dir() {
            files_below(path, &["txt", "md", "jsonl", "parquet"])?
        } else {
            vec![path.to_path_buf()]
        };
        ensure!(
            !files.is_empty(),
            "the folder {} holds no .txt, .md, .jsonl or .parquet file",
            path.display()
        );
        let mut content = String::new();
        for file in files {
            if content.len() >= limit {
                break;
            }
            read_file(&file, limit, &mut content)
                .with_context(|| format!("the data {} cannot be read", file.display()))?;
        }
        truncate(&mut content, limit);
        ensure!(
            !content.trim().is_empty(),
            "the data {} holds no text",
            path.display()
        );
        Ok(Self {
            content,
            source: path.display().to_string(),
        })
    }
}

/// The sources of a package, in whichever registry's folder they are.
fn find_package(registries: &Path, package: &str) -> Result<Option<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(registries) else {
        return Ok(None);
    };
    for entry in entries {
        let folder = entry?.path().join(package);
        if folder.is_dir() {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// The files with one of these extensions, sorted by path.
fn files_below(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("the folder {} cannot be read", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.is_dir() {
            files.extend(files_below(&path, extensions)?);
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Appends the documentation comments of a source file, without the code that they quote, or all
/// the other lines.
fn extract(source: &str, domain: Domain, content: &mut String) {
    let start = content.len();
    let mut quoting = false;
    for line in source.lines() {
        let trimmed = line.trim_start();
        let comment = trimmed
            .strip_prefix("///")
            .or_else(|| trimmed.strip_prefix("//!"));
        let line = match (domain, comment) {
            (Domain::Prose, Some(comment)) => {
                let comment = comment.strip_prefix(' ').unwrap_or(comment);
                if comment.trim_start().starts_with("```") {
                    quoting = !quoting;
                    continue;
                }
                if quoting {
                    continue;
                }
                comment
            }
            (Domain::Code, None) => line,
            (Domain::Prose, None) => {
                quoting = false;
                continue;
            }
            (Domain::Code, Some(_)) => continue,
        };
        content.push_str(line);
        content.push('\n');
    }
    if content.len() > start {
        content.push('\n');
    }
}

fn read_file(path: &Path, limit: usize, content: &mut String) -> Result<()> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => {
            for (index, line) in BufReader::new(File::open(path)?).lines().enumerate() {
                if content.len() >= limit {
                    break;
                }
                let line = line?;
                if line.trim().is_empty() {
                    continue;
                }
                let number = index + 1;
                let value: serde_json::Value =
                    serde_json::from_str(&line).with_context(|| format!("line {number}"))?;
                match value.get("text").and_then(|text| text.as_str()) {
                    Some(text) => push_document(text, content),
                    None => bail!("line {number} has no string named \"text\""),
                }
            }
        }
        Some("parquet") => {
            let reader = SerializedFileReader::new(File::open(path)?)?;
            for row in reader.get_row_iter(None)? {
                if content.len() >= limit {
                    break;
                }
                let row = row?;
                let mut columns = row.get_column_iter();
                match columns.find(|(name, _)| *name == "text") {
                    Some((_, Field::Str(text))) => push_document(text, content),
                    _ => bail!("a row has no string column named \"text\""),
                }
            }
        }
        _ => push_document(&std::fs::read_to_string(path)?, content),
    }
    Ok(())
}

fn push_document(text: &str, content: &mut String) {
    content.push_str(text);
    content.push_str("\n\n");
}

/// Cuts a text down to a number of bytes, at the end of a character.
fn truncate(content: &mut String, limit: usize) {
    content.truncate(content.floor_char_boundary(limit));
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

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

    #[test]
    fn a_folder_is_read_in_order_whatever_its_formats() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("b.txt"), "second").unwrap();
        std::fs::write(
            path("c.jsonl"),
            "{\"text\":\"third\"}\n\n{\"text\":\"fourth\"}\n",
        )
        .unwrap();
        std::fs::write(path("ignored.bin"), [0xff, 0xfe]).unwrap();
        std::fs::create_dir(path("a")).unwrap();
        std::fs::write(path("a").join("x.md"), "first").unwrap();
        write_parquet(&path("d.parquet"), &["fifth", "sixth"]);

        let text = Text::of_path(folder.path(), 1000).unwrap();
        let words: Vec<&str> = text.content.split_whitespace().collect();
        assert_eq!(
            words,
            ["first", "second", "third", "fourth", "fifth", "sixth"]
        );
        let cut = Text::of_path(folder.path(), 9).unwrap();
        assert_eq!(cut.content, "first\n\nse");
    }

    fn write_parquet(path: &Path, texts: &[&str]) {
        let schema = "message schema { REQUIRED BYTE_ARRAY text (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
        let mut rows = writer.next_row_group().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let texts: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
        let typed = column.typed::<ByteArrayType>();
        typed.write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        rows.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn bad_data_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| format!("{:#}", Text::of_path(path, 1000).unwrap_err());
        let path = |name: &str| folder.path().join(name);

        assert!(refused(&path("missing")).contains("missing cannot be read"));
        assert!(refused(folder.path()).contains("holds no .txt"));
        std::fs::write(path("empty.txt"), " \n").unwrap();
        assert!(refused(&path("empty.txt")).contains("holds no text"));
        std::fs::write(path("bad.jsonl"), "{\"body\":1}\n").unwrap();
        assert!(refused(&path("bad.jsonl")).contains("line 1 has no string"));
        std::fs::write(path("bad.parquet"), "not parquet").unwrap();
        assert!(refused(&path("bad.parquet")).contains("bad.parquet cannot be read"));
        std::fs::write(path("binary.txt"), [0xff, 0xfe, 0x00]).unwrap();
        assert!(refused(&path("binary.txt")).contains("binary.txt cannot be read"));
    }
}
