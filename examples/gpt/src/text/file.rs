use super::collect::{Collector, Unit};
use super::open::{self, Content};
use super::{columns, json, plain};
use std::path::Path;

/// The endings of packed files. Those that are not unpacked here are known too: their files then count
/// as left out.
const PACKED: [&str; 7] = ["gz", "zst", "zstd", "xz", "bz2", "zip", "lz4"];

/// How the text lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Records,
    Parquet,
}

/// The format that the ending of a name says.
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

/// Reads a file. What cannot be read of it is counted, and ends nothing.
pub(super) fn read_file(path: &Path, format: Format, out: &mut Collector) {
    out.begin(path);
    let is_read = match open::open(path) {
        Ok(Content::Parquet(file)) => columns::read(file, out),
        Ok(Content::Text(mut reader)) => match format {
            // A file that is no parquet file does not become one by its name.
            Format::Parquet => Err(anyhow::anyhow!("it is not a parquet file")),
            Format::Plain => plain::read(&mut reader, out),
            Format::Records => json::read(&mut reader, out),
        },
        Err(error) => Err(error),
    };
    match is_read {
        Ok(()) => out.keep(Unit::File),
        Err(error) => out.leave_out(Unit::File, None, &format!("{error:#}")),
    }
}
