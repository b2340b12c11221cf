use super::collect::{Collector, Unit};
use super::open::{self, Content};
use super::{columns, json, plain};
use crate::guard;
use anyhow::{Result, bail};
use std::io::BufRead;
use std::path::Path;

/// Includes formats that cannot be unpacked, so that their files count as left out.
const PACKED: [&str; 7] = ["gz", "zst", "zstd", "xz", "bz2", "zip", "lz4"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Records,
    Parquet,
}

pub(super) fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let (stem, ending) = name.rsplit_once('.')?;
    let ending = match PACKED.contains(&ending) {
        true => stem.rsplit_once('.')?.1,
        false => ending,
    };
    match ending {
        "txt" | "text" | "md" | "markdown" => Some(Format::Plain),
        "jsonl" | "ndjson" | "json" => Some(Format::Records),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

/// Counts unreadable parts and goes on.
pub(super) fn read_file(path: &Path, format: Option<Format>, out: &mut Collector) {
    out.begin(path);
    match read_content(path, format, out) {
        Ok(()) => out.count(Unit::File),
        Err(error) => out.leave_out(Unit::File, None, &format!("{error:#}")),
    }
}

fn read_content(path: &Path, format: Option<Format>, out: &mut Collector) -> Result<()> {
    let mut reader = match open::open(path)? {
        // The parquet reader panics on some damaged files.
        Content::Parquet(file) => return guard::without_panic(|| columns::read(file, out)),
        Content::Text(reader) => reader,
    };
    let holds_records = json::is_record(reader.peek());
    match format {
        Some(Format::Parquet) => bail!("it is not a parquet file"),
        Some(Format::Plain) if holds_records => out.remark("looks like JSON, but is read as plain text for its ending: rename it to .jsonl to read a field of its records"),
        None if holds_records => out.remark("holds records, so its lines are read as JSON"),
        None => out.remark("has no ending of text, and is read as plain text, line by line"),
        _ => {}
    }
    match format.map_or(holds_records, |format| format == Format::Records) {
        true => json::read(&mut reader, out)?,
        false => plain::read(&mut reader, out)?,
    }
    if out.is_done() && !reader.fill_buf()?.is_empty() {
        out.cut()?;
    }
    Ok(())
}
