use super::collect::{Collector, Unit};
use super::open::{TextReader, UNDECODABLE};
use anyhow::Result;
use serde_json::Value;
use std::io::{BufRead, Read};

/// A record of more bytes is left out: nobody writes one by intent.
const LONGEST_RECORD: usize = 64 << 20;
/// How many names of fields a message lists.
const LISTED_FIELDS: usize = 20;

/// Reads records: one a line, one after another, or the elements of an array.
pub(super) fn read(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    let is_read = match layout(reader)? {
        Layout::Lines => read_lines(reader, out),
        Layout::Values => read_values(reader, out),
    };
    if is_read.is_ok() && out.is_done() && !reader.fill_buf()?.is_empty() {
        out.cut();
    }
    is_read
}

enum Layout {
    /// A record a line, so that a damaged one ends with its line.
    Lines,
    /// Elements of an array, or records of several lines.
    Values,
}

/// A file is of lines unless it begins with an array, or with a record that goes on in a second line.
fn layout(reader: &mut TextReader) -> Result<Layout> {
    let head = reader.fill_buf()?.trim_ascii_start();
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let goes_on = lines.next().is_some_and(|second| !second.starts_with(b"{"));
    let is_open = serde_json::from_slice::<Value>(first).is_err_and(|error| error.is_eof());
    Ok(match head.starts_with(b"[") || (goes_on && is_open) {
        true => Layout::Values,
        false => Layout::Lines,
    })
}

fn read_lines(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    while !out.is_done() {
        line.clear();
        let mut limited = reader.by_ref().take(LONGEST_RECORD as u64);
        if limited.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        if line.len() == LONGEST_RECORD && !line.ends_with(b"\n") {
            reader.skip_until(b'\n')?;
            out.leave_out(
                Unit::Record,
                Some(("line", number)),
                "it is longer than 64 MiB",
            );
        } else if !line.trim_ascii().is_empty() {
            take(&line, reader.is_transcoded, ("line", number), out);
        }
    }
    Ok(())
}

fn read_values(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    let mut values = Values::default();
    let mut number = 0;
    let mut value = Vec::new();
    while !out.is_done() {
        number += 1;
        match values.next(reader, &mut value)? {
            Found::Nothing => break,
            Found::Value => take(&value, reader.is_transcoded, ("record", number), out),
            Found::TooLong => out.leave_out(
                Unit::Record,
                Some(("record", number)),
                "it is longer than 64 MiB",
            ),
        }
    }
    Ok(())
}

/// Takes the text out of a record.
fn take(bytes: &[u8], is_transcoded: bool, place: (&str, u64), out: &mut Collector) {
    let text = match serde_json::from_slice::<Value>(bytes.trim_ascii_end()) {
        Ok(value) => text_of(value, out.field),
        Err(error) if error.is_eof() => Err("it is JSON that is cut short".to_string()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    };
    let text = text.and_then(|text| match is_transcoded && text.contains(UNDECODABLE) {
        true => Err("it holds bytes that are not valid in its encoding".to_string()),
        false => Ok(text),
    });
    match text {
        Ok(text) => {
            out.push(&text);
            out.end_document();
            out.keep(Unit::Record);
        }
        Err(why) => out.leave_out(Unit::Record, Some(place), &why),
    }
}

/// The text of a record: of the field, or of the record itself if it is a string.
fn text_of(record: Value, field: &str) -> Result<String, String> {
    let found = match &record {
        Value::String(_) => Some(&record),
        record => record.get(field).or_else(|| {
            field
                .split('.')
                .try_fold(record, |record, name| record.get(name))
        }),
    };
    let kind = match found {
        Some(Value::String(text)) => return Ok(text.clone()),
        None => {
            let mut fields = Vec::new();
            list_fields(&record, "", &mut fields);
            return Err(missing(field, &fields));
        }
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "a record itself",
    };
    Err(format!("its field \"{field}\" is {kind} and no string"))
}

/// Says that a field is missing, and which ones there are.
pub(super) fn missing(field: &str, fields: &[String]) -> String {
    let listed = fields.iter().take(LISTED_FIELDS);
    let listed: Vec<&str> = listed.map(String::as_str).collect();
    let more = fields.len().saturating_sub(LISTED_FIELDS);
    match (listed.is_empty(), more) {
        (true, _) => format!("there is no field \"{field}\", nor any other"),
        (false, 0) => format!(
            "there is no field \"{field}\", but {}: choose one with --text-field",
            listed.join(", ")
        ),
        (false, more) => format!(
            "there is no field \"{field}\", but {} and {more} more: choose one with --text-field",
            listed.join(", ")
        ),
    }
}

fn list_fields(record: &Value, prefix: &str, fields: &mut Vec<String>) {
    for (name, value) in record.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match value.is_object() {
            true => list_fields(value, &format!("{name}."), fields),
            false => fields.push(name),
        }
    }
}

enum Found {
    Value,
    TooLong,
    Nothing,
}

/// Splits a stream into JSON values, without parsing them: a damaged one takes no other along, unless
/// its brackets do not match.
#[derive(Default)]
struct Values {
    /// Whether the values are the elements of an array.
    in_array: bool,
}

impl Values {
    /// Puts the next value into `value`; the last one may be cut short.
    fn next(&mut self, reader: &mut TextReader, value: &mut Vec<u8>) -> std::io::Result<Found> {
        value.clear();
        let (mut depth, mut in_string, mut is_escaped, mut length) = (0_usize, false, false, 0);
        loop {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(found(value, length));
            }
            let mut used = 0;
            let mut is_whole = false;
            for byte in bytes {
                let is_outside = depth == 0 && !in_string;
                if is_outside && matches!(byte, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
                    if length > 0 {
                        // The end of a number, or of true, false or null.
                        is_whole = true;
                        break;
                    }
                    self.in_array &= *byte != b']';
                    used += 1;
                    continue;
                }
                used += 1;
                if is_outside && length == 0 && *byte == b'[' && !self.in_array {
                    self.in_array = true;
                    continue;
                }
                length += 1;
                if length <= LONGEST_RECORD {
                    value.push(*byte);
                }
                if in_string {
                    // A line end within a string is where a line was cut short.
                    in_string = (*byte != b'"' || is_escaped) && *byte != b'\n';
                    is_escaped = *byte == b'\\' && !is_escaped;
                    is_whole = !in_string && (depth == 0 || *byte == b'\n');
                } else {
                    match byte {
                        b'"' => in_string = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => {
                            depth = depth.saturating_sub(1);
                            is_whole = depth == 0;
                        }
                        _ => {}
                    }
                }
                if is_whole {
                    break;
                }
            }
            reader.consume(used);
            if is_whole {
                return Ok(found(value, length));
            }
        }
    }
}

fn found(value: &[u8], length: usize) -> Found {
    match length {
        0 => Found::Nothing,
        length if length > value.len() => Found::TooLong,
        _ => Found::Value,
    }
}
