use super::collect::{Collector, Unit};
use super::open::{TextReader, UNDECODED};
use anyhow::Result;
use std::io::{BufRead, Read};

/// A bad byte costs one piece and not the whole line, which may be the file.
const PIECE: usize = 1 << 16;

/// Leaves out lines that are not UTF-8.
pub(super) fn read(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    let start = out.content.len();
    let is_read = read_lines(reader, out);
    if out.content.len() > start {
        out.end_document();
    }
    is_read
}

fn read_lines(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    // A line or a piece of it, after the start of a character left over from the last piece.
    let mut line = Vec::new();
    let mut number = 1;
    while !out.is_done() {
        // A byte beyond the limit shows that there is more.
        let most = PIECE.min(out.room().saturating_add(1));
        let mut limited = reader.by_ref().take(most as u64);
        let read = limited.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let is_ended = line.ends_with(b"\n");
        let goes_on = read == most && !is_ended;
        let rest = match goes_on {
            true => line.split_off(line.len() - cut_character(&line)),
            false => Vec::new(),
        };
        if goes_on && most == PIECE {
            out.note_pieces();
        }
        let place = Some(("line", number));
        let zeros = line.iter().position(|byte| *byte == 0);
        if let Some(zeros) = zeros {
            line.truncate(zeros);
            line.extend((zeros > 0 && is_ended).then_some(b'\n'));
        }
        match std::str::from_utf8(&line) {
            // A partial character.
            Ok("") => {}
            Ok(text) if !reader.has_undecodable(text) => {
                out.push(text);
                out.count(Unit::Line);
            }
            _ => out.leave_out(Unit::Line, place, UNDECODED),
        }
        if zeros.is_some() {
            out.leave_out(Unit::Line, place, "it holds NUL bytes");
        }
        number += u64::from(is_ended);
        line = rest;
    }
    Ok(())
}

/// Returns the number of bytes at the end that begin a character.
fn cut_character(bytes: &[u8]) -> usize {
    let is_beginning = |length: &usize| {
        let end = &bytes[bytes.len() - length..];
        std::str::from_utf8(end)
            .is_err_and(|error| error.error_len().is_none() && error.valid_up_to() == 0)
    };
    (1..bytes.len().min(4)).find(is_beginning).unwrap_or(0)
}
