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

pub const TEXT_FIELD: &str = "text";

pub fn limit(megabytes: f64) -> Result<usize> {
    let bytes = megabytes * 1e6;
    ensure!(
        bytes >= 1.0,
        "--megabytes is {megabytes}, but must be above 0"
    );
    // Saturates: no text is as long.
    Ok(bytes as usize)
}

#[derive(Clone, Debug)]
pub struct Text {
    pub content: String,
    pub source: String,
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
    /// Returns the first 16 hexadecimal digits of the SHA-256.
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.content.as_bytes());
        let digits = digest[..8].iter().map(|byte| format!("{byte:02x}"));
        digits.collect()
    }

    /// Reads up to `limit` bytes of the documentation or the code of packages in Cargo.lock, in the order of their
    /// names.
    pub fn of_packages(domain: Domain, limit: usize) -> Result<Self> {
        packages::read(domain, limit)
    }

    /// Reads a file, or the training files below a folder by name, up to `limit` bytes of text.
    ///
    /// docs/your-own-text.md describes the formats. Records have their text in `field`; dots lead into nested records.
    /// Records without text and lines that are not UTF-8 are left out and counted. A byte-order mark identifies UTF-16.
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
            let (path, why) = (shown::path(path), collector.why_empty());
            bail!("the data {path} holds no text: {why}");
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
