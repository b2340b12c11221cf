use anyhow::{Result, bail};
use sharpness_record::shown;
use std::path::{Path, PathBuf};

/// If the first so many records of a file hold no text, the rest of the file is not read: the field or the file is the
/// wrong one.
const HOPELESS: u64 = 100_000;
/// If so many records of a folder hold no text, and none before them held any, no further file is read.
const ALL_HOPELESS: u64 = 3 * HOPELESS;

/// What is kept or left out as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A record of a file of records.
    Record,
    /// A line of plain text.
    Line,
    /// A file, or what is left of it from a place on.
    File,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    seen: u64,
    left_out: u64,
    /// Where the first one that was left out is, and why it was.
    first: Option<String>,
}

impl Tally {
    /// Whether so many were left out, and none was kept.
    fn is_hopeless(&self, many: u64) -> bool {
        self.left_out >= many && self.left_out == self.seen
    }
}

/// The text so far, and what was left out of it.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    pub(super) content: String,
    /// The field of a record that holds its text.
    pub(super) field: &'a str,
    limit: usize,
    file: PathBuf,
    /// The records of this file, and how many of them were left out.
    in_file: Tally,
    /// How the first file was read whose name did not tell, in a sentence for the user.
    remark: Option<String>,
    /// Whether a line was so long that it was taken in pieces.
    has_pieces: bool,
    records: Tally,
    lines: Tally,
    files: Tally,
    /// The file in which the limit was reached, if there was more in it.
    cut_in: Option<PathBuf>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(field: &'a str, limit: usize) -> Self {
        Self {
            content: String::new(),
            field,
            limit,
            file: PathBuf::new(),
            in_file: Tally::default(),
            remark: None,
            has_pieces: false,
            records: Tally::default(),
            lines: Tally::default(),
            files: Tally::default(),
            cut_in: None,
        }
    }

    /// What follows is of this file.
    pub(super) fn begin(&mut self, file: &Path) {
        self.file = file.to_path_buf();
        self.in_file = Tally::default();
    }

    /// Says how this file is read.
    pub(super) fn remark(&mut self, how: &str) {
        let file = shown::path(&self.file);
        self.remark.get_or_insert_with(|| format!("{file} {how}"));
    }

    /// Notes that a long line is taken in pieces, which then are counted as lines are.
    pub(super) fn note_pieces(&mut self) {
        self.has_pieces = true;
    }

    /// How many bytes there is room for.
    pub(super) fn room(&self) -> usize {
        self.limit - self.content.len()
    }

    /// Whether nothing more of this file is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.room() == 0 || self.in_file.is_hopeless(HOPELESS)
    }

    /// Whether no further file is wanted.
    pub(super) fn wants_no_file(&self) -> bool {
        self.room() == 0 || (self.content.is_empty() && self.records.is_hopeless(ALL_HOPELESS))
    }

    /// Notes that a file is not read to its end, because nothing more of it is wanted.
    ///
    /// # Errors
    ///
    /// If that is for want of text in it.
    pub(super) fn cut(&mut self) -> Result<()> {
        if self.room() > 0 {
            bail!("none of its first {HOPELESS} records holds text: the rest is not read");
        }
        self.cut_in.get_or_insert_with(|| self.file.clone());
        Ok(())
    }

    /// Adds text, up to the limit.
    pub(super) fn push(&mut self, text: &str) {
        let room = self.room();
        if text.len() > room {
            let end = text.floor_char_boundary(room);
            self.content.push_str(&text[..end]);
            // There is no room for the next character, and so for none.
            self.limit = self.content.len();
            self.cut_in.get_or_insert_with(|| self.file.clone());
        } else {
            self.content.push_str(text);
        }
    }

    /// Adds the end of a document.
    pub(super) fn end_document(&mut self) {
        let end = self.room().min(2);
        self.content.push_str(&"\n\n"[..end]);
    }

    pub(super) fn keep(&mut self, unit: Unit) {
        self.tally(unit).seen += 1;
        if unit == Unit::Record {
            self.in_file.seen += 1;
        }
    }

    /// Counts what is left out; `place` says where in the file it is.
    pub(super) fn leave_out(&mut self, unit: Unit, place: Option<(&str, u64)>, why: &str) {
        let place = place.map(|(name, number)| format!(", {name} {number}"));
        let place = format!("{}{}", shown::path(&self.file), place.unwrap_or_default());
        if unit == Unit::Record {
            self.in_file.seen += 1;
            self.in_file.left_out += 1;
        }
        let tally = self.tally(unit);
        tally.seen += 1;
        tally.left_out += 1;
        tally.first.get_or_insert_with(|| format!("{place}: {why}"));
    }

    fn tally(&mut self, unit: Unit) -> &mut Tally {
        match unit {
            Unit::Record => &mut self.records,
            Unit::Line => &mut self.lines,
            Unit::File => &mut self.files,
        }
    }

    fn tallies(&self) -> [(&Tally, &'static str); 3] {
        [
            (&self.records, "records"),
            (
                &self.lines,
                match self.has_pieces {
                    true => "lines of plain text, or pieces of long ones,",
                    false => "lines of plain text",
                },
            ),
            (&self.files, "files"),
        ]
    }

    /// What was left out, one sentence for each kind.
    pub(super) fn notes(&self) -> Vec<String> {
        let left_out = self.tallies().into_iter().filter_map(|(tally, units)| {
            let first = tally.first.as_ref()?;
            let Tally { seen, left_out, .. } = tally;
            let rest = if units == "files" {
                " or their rests"
            } else {
                ""
            };
            Some(format!(
                "{left_out} of {seen} {units}{rest} left out, the first in {first}"
            ))
        });
        let remark = self.remark.iter().cloned();
        let cut = self.cut_in.iter().map(|file| {
            let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
            format!(
                "the limit of {:.1} MB was reached in {} ({:.1} MB), the rest of which is not read",
                self.limit as f64 / 1e6,
                shown::path(file),
                size as f64 / 1e6
            )
        });
        remark.chain(left_out).chain(cut).collect()
    }

    /// Why there is no text.
    pub(super) fn why_empty(&self) -> String {
        let reasons = self.tallies().into_iter().filter_map(|(tally, units)| {
            let first = tally.first.as_ref()?;
            let Tally { seen, left_out, .. } = tally;
            Some(format!(
                "{left_out} of {seen} {units} could not be used, the first in {first}"
            ))
        });
        let reasons: Vec<String> = reasons.collect();
        match reasons.is_empty() {
            true => "what was read is empty or white space".to_string(),
            false => reasons.join("; "),
        }
    }
}
