use super::collect::{Collector, Unit};
use super::open::{TextReader, UNDECODABLE};
use anyhow::Result;
use std::io::{BufRead, Read};

/// Reads plain text. A line with bytes that are not UTF-8 is left out.
pub(super) fn read(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    let mut is_read = Ok(());
    let start = out.content.len();
    while !out.is_done() {
        // No more than there is room for, be the line as long as it may: and one byte, to know that
        // there is more.
        let most = out.room() + 1;
        line.clear();
        match reader
            .by_ref()
            .take(most as u64)
            .read_until(b'\n', &mut line)
        {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                is_read = Err(error.into());
                break;
            }
        }
        number += 1;
        match std::str::from_utf8(&line) {
            Ok(text) if !(reader.is_transcoded && text.contains(UNDECODABLE)) => {
                out.push(text);
                out.keep(Unit::Line);
            }
            // The limit cuts the last character.
            Err(error) if error.error_len().is_none() && line.len() == most => {
                let (whole, _) = line.split_at(error.valid_up_to());
                out.push(&String::from_utf8_lossy(whole));
                out.fill();
            }
            _ => out.leave_out(
                Unit::Line,
                Some(("line", number)),
                "it holds bytes that are not valid in its encoding",
            ),
        }
    }
    if out.content.len() > start {
        out.end_document();
    }
    if is_read.is_ok() && out.is_done() && !reader.fill_buf()?.is_empty() {
        out.cut();
    }
    is_read
}
