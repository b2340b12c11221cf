use anyhow::{Result, bail};
use sharpness_record::shown;
use std::path::{Path, PathBuf};

/// The reading of a file ends after this many records without text at its start: the field or the file is wrong.
const HOPELESS: u64 = 100_000;
/// The reading of a folder ends after this many records if none holds text.
const ALL_HOPELESS: u64 = 3 * HOPELESS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Record,
    Line,
    /// A file, or the rest of it.
    File,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    seen: u64,
    left_out: u64,
    /// The place of the first unit left out, and the reason.
    first: Option<String>,
}

impl Tally {
    fn is_hopeless(&self, many: u64) -> bool {
        self.left_out >= many && self.left_out == self.seen
    }
}

#[derive(Debug, Default)]
pub(super) struct Collector<'a> {
    pub(super) content: String,
    pub(super) field: &'a str,
    limit: usize,
    file: PathBuf,
    in_file: Tally,
    /// About the first file whose name did not tell its format.
    remark: Option<String>,
    has_pieces: bool,
    /// By unit.
    tallies: [Tally; 3],
    /// The file that reached the limit, if it holds more.
    cut_in: Option<PathBuf>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(field: &'a str, limit: usize) -> Self {
        Self {
            field,
            limit,
            ..Self::default()
        }
    }

    pub(super) fn begin(&mut self, file: &Path) {
        self.file = file.to_path_buf();
        self.in_file = Tally::default();
    }

    pub(super) fn remark(&mut self, how: &str) {
        let file = shown::path(&self.file);
        self.remark.get_or_insert_with(|| format!("{file} {how}"));
    }

    /// Pieces of a long line count as lines.
    pub(super) fn note_pieces(&mut self) {
        self.has_pieces = true;
    }

    pub(super) fn room(&self) -> usize {
        self.limit - self.content.len()
    }

    pub(super) fn is_done(&self) -> bool {
        self.room() == 0 || self.in_file.is_hopeless(HOPELESS)
    }

    pub(super) fn wants_no_file(&self) -> bool {
        self.room() == 0
            || (self.content.is_empty()
                && self.tallies[Unit::Record as usize].is_hopeless(ALL_HOPELESS))
    }

    /// Ends a file early: at the limit, or with an error if none of its records holds text.
    pub(super) fn cut(&mut self) -> Result<()> {
        if self.room() > 0 {
            bail!("none of its first {HOPELESS} records holds text: the rest is not read");
        }
        self.cut_in.get_or_insert_with(|| self.file.clone());
        Ok(())
    }

    pub(super) fn push(&mut self, text: &str) {
        let end = text.floor_char_boundary(self.room());
        self.content.push_str(&text[..end]);
        if end < text.len() {
            // The next character does not fit, so no later character may.
            self.limit = self.content.len();
            self.cut_in.get_or_insert_with(|| self.file.clone());
        }
    }

    pub(super) fn end_document(&mut self) {
        let end = self.room().min(2);
        self.content.push_str(&"\n\n"[..end]);
    }

    pub(super) fn count(&mut self, unit: Unit) {
        self.tallies[unit as usize].seen += 1;
        if unit == Unit::Record {
            self.in_file.seen += 1;
        }
    }

    pub(super) fn leave_out(&mut self, unit: Unit, place: Option<(&str, u64)>, why: &str) {
        let place = place.map(|(name, number)| format!(", {name} {number}"));
        let place = format!("{}{}", shown::path(&self.file), place.unwrap_or_default());
        self.count(unit);
        if unit == Unit::Record {
            self.in_file.left_out += 1;
        }
        let tally = &mut self.tallies[unit as usize];
        tally.left_out += 1;
        tally.first.get_or_insert_with(|| format!("{place}: {why}"));
    }

    /// Takes the text of a record, or leaves the record out with this reason.
    pub(super) fn take(&mut self, text: Result<&str, &str>, place: (&str, u64)) {
        match text {
            Ok(text) => {
                self.push(text);
                self.end_document();
                self.count(Unit::Record);
            }
            Err(why) => self.leave_out(Unit::Record, Some(place), why),
        }
    }

    /// Describes the units left out of each kind, with this verb.
    fn left_out(&self, files: &str, verb: &str) -> Vec<String> {
        let lines = match self.has_pieces {
            true => "lines of plain text, or pieces of long ones,",
            false => "lines of plain text",
        };
        let tallies = self.tallies.iter().zip(["records", lines, files]);
        let said = tallies.filter_map(|(tally, units)| {
            let (seen, left_out, first) = (tally.seen, tally.left_out, tally.first.as_ref()?);
            Some(format!(
                "{left_out} of {seen} {units} {verb}, the first in {first}"
            ))
        });
        said.collect()
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let left_out = self.left_out("files or their rests", "left out");
        let remark = self.remark.iter().cloned();
        let cut = self.cut_in.iter().map(|file| {
            let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
            format!(
                "the limit of {:.1} MB was reached in {} ({:.1} MB): the rest of it is not read",
                self.limit as f64 / 1e6,
                shown::path(file),
                size as f64 / 1e6
            )
        });
        remark.chain(left_out).chain(cut).collect()
    }

    pub(super) fn why_empty(&self) -> String {
        let reasons = self.left_out("files", "could not be used");
        match reasons.is_empty() {
            true => "it is empty or white space".to_string(),
            false => reasons.join("; "),
        }
    }
}
