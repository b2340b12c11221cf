//! Reads text to train on: the sources of the packages behind this project, or the user's text.

mod collect;
mod columns;
mod file;
mod folder;
mod json;
mod open;
mod packages;
mod parts;
mod plain;
mod values;

pub use open::stands_for_another;
pub use packages::Domain;

use anyhow::{Context, Result, bail, ensure};
use collect::Collector;
use sha2::{Digest, Sha256};
use sharpness_record::shown;
use std::fmt::{Display, Formatter};
use std::path::Path;

/// The default field for the text of a record.
pub const TEXT_FIELD: &str = "text";

/// Converts millions of bytes to bytes.
pub fn limit(megabytes: f64) -> Result<usize> {
    let bytes = megabytes * 1e6;
    ensure!(
        bytes >= 1.0,
        "--megabytes is {megabytes}, but must be above 0"
    );
    // Saturates: no text is as long.
    Ok(bytes as usize)
}

/// A text and its source.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text.
    pub content: String,
    /// A short name of the source, for people.
    pub source: String,
    /// Notes on the parts left out or not read.
    pub notes: Vec<String>,
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let megabytes = self.content.len() as f64 / 1e6;
        let digest = self.digest();
        write!(f, "{}: {megabytes:.1} MB, digest {digest}", self.source)?;
        for note in &self.notes {
            write!(f, "\nnote    {note}")?;
        }
        Ok(())
    }
}

impl Text {
    /// Returns the first 16 hexadecimal digits of the SHA-256 of the text, to compare texts.
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.content.as_bytes());
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Reads the documentation or the code of the packages that Cargo.lock pins, which cargo has put
    /// on disk to build this program. It downloads nothing.
    ///
    /// It reads at most `limit` bytes, in the order of the packages' and the files' names.
    pub fn of_packages(domain: Domain, limit: usize) -> Result<Self> {
        let packages::PackageText { content, name } = packages::read(domain, limit)?;
        Ok(Self {
            content,
            source: name,
            notes: Vec::new(),
        })
    }

    /// Reads a file, or all files of text below a folder by name, up to `limit` bytes of text. If a data
    /// set has parts, it reads the training part.
    ///
    /// - `.jsonl`, `.ndjson`, `.json` and `.parquet` hold records with their text in `field`; dots lead
    ///   into nested records. A record without text is left out and counted.
    /// - `.txt` and `.md` are plain text. A line that is not UTF-8 is left out and counted.
    /// - A single file with another ending is read as records if its first line is a record, and otherwise
    ///   as plain text; the notes say so.
    /// - Endings count in any case, also before `.gz` or `.zst`. A byte-order mark identifies UTF-16.
    ///
    /// It reads little more than the text that it keeps, whatever the size of the input.
    pub fn of_path(path: &Path, field: &str, limit: usize) -> Result<Self> {
        let unreadable = || format!("the data {} cannot be read", shown::path(path));
        let metadata = std::fs::metadata(path).with_context(unreadable)?;
        let mut collector = Collector::new(field, limit);
        let mut notes = Vec::new();
        if metadata.is_dir() {
            notes = folder::read(path, &mut collector)?;
        } else {
            if !metadata.is_file() {
                say!("text    {} is no file: waiting for it", shown::path(path));
            }
            file::read_file(path, file::format_of(path), &mut collector);
        }
        if collector.content.trim().is_empty() {
            bail!(
                "the data {} holds no text: {}",
                shown::path(path),
                collector.why_empty()
            );
        }
        notes.splice(0..0, collector.notes());
        Ok(Self {
            content: collector.content,
            source: shown::path(path),
            notes,
        })
    }
}

#[cfg(test)]
mod tests;
