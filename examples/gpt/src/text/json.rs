use super::collect::Collector;
use super::open::{TextReader, UNDECODED};
use super::values::{Found, LONGEST_RECORD, Values};
use anyhow::Result;
use serde_json::Value;
use sharpness_record::shown::one_line;
use std::io::{BufRead, Read};

const TOO_LONG: Result<&str, &str> = Err("it is longer than 64 MiB");
const LISTED_FIELDS: usize = 20;
const LISTED_CHARACTERS: usize = 60;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    match has_a_record_per_line(reader) {
        true => read_lines(reader, out),
        false => read_values(reader, out),
    }
}

pub(super) fn is_record(beginning: &[u8]) -> bool {
    let beginning = beginning.trim_ascii_start();
    let line = beginning.split(|byte| *byte == b'\n').next();
    beginning.starts_with(b"{") && line.is_some_and(|line| parse(line).is_ok())
}

/// Returns false if the file begins with an array, or with a record that goes on in a second line.
fn has_a_record_per_line(reader: &mut TextReader) -> bool {
    let head = reader.peek().trim_ascii_start();
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let goes_on = lines.next().is_some_and(|second| !second.starts_with(b"{"));
    let is_open = parse(first).is_err_and(|error| error.is_eof());
    !(head.starts_with(b"[") || (goes_on && is_open))
}

/// A damaged record ends with its line.
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
            out.take(TOO_LONG, ("line", number));
        } else if !line.trim_ascii().is_empty() {
            take(&line, reader, ("line", number), out);
        }
    }
    Ok(())
}

/// Reads the elements of an array, or records of several lines.
fn read_values(reader: &mut TextReader, out: &mut Collector) -> Result<()> {
    let mut values = Values::default();
    let mut number = 0;
    let mut value = Vec::new();
    while !out.is_done() {
        number += 1;
        match values.next(reader, &mut value)? {
            Found::Nothing => break,
            Found::Value => {
                let is_json = take(&value, reader, ("record", number), out);
                if let Some(rest) = values.rest_after_damage(is_json, &mut value) {
                    reader.put_back(rest);
                }
            }
            Found::TooLong => out.take(TOO_LONG, ("record", number)),
        }
    }
    Ok(())
}

/// Returns whether the record is JSON.
fn take(bytes: &[u8], reader: &TextReader, place: (&str, u64), out: &mut Collector) -> bool {
    let bytes = bytes.trim_ascii_end();
    // A mark in the middle shows a joint of two files.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let record = parse(bytes);
    let is_json = record.is_ok();
    let text = match record {
        Ok(value) => text_of(value, out.field),
        Err(error) if error.is_eof() => Err("it is JSON that is cut short".to_string()),
        Err(error) => Err(format!("it is not JSON ({error} of the record)")),
    };
    let text = match text {
        Ok(text) if reader.has_undecodable(&text) => Err(UNDECODED.to_string()),
        text => text,
    };
    out.take(text.as_deref().map_err(String::as_str), place);
    is_json
}

/// Reads foreign words, such as Python's `NaN`, as null.
fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).or_else(|error: serde_json::Error| match error.is_eof() {
        true => Err(error),
        false => serde_json::from_slice(&with_null_for_words(bytes)),
    })
}

fn with_null_for_words(json: &[u8]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(json.len());
    let (mut in_string, mut is_escaped, mut in_word) = (false, false, false);
    for &byte in json {
        let is_part_of_word = !in_string && !b"{}[],:\" \t\r\n".contains(&byte);
        match is_part_of_word {
            true if in_word => {}
            true => changed.extend(b"null"),
            false => changed.push(byte),
        }
        in_word = is_part_of_word;
        in_string ^= byte == b'"' && !is_escaped;
        is_escaped = in_string && byte == b'\\' && !is_escaped;
    }
    changed
}

/// Returns the text of the field, or of a record that is a string.
fn text_of(record: Value, field: &str) -> Result<String, String> {
    let found = match &record {
        Value::String(_) => Some(&record),
        record => record.get(field).or_else(|| {
            let mut names = field.split('.');
            names.try_fold(record, |record, name| record.get(name))
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

pub(super) fn missing(field: &str, fields: &[String]) -> String {
    let listed = fields.iter().take(LISTED_FIELDS).map(|field| {
        let listed: String = field.chars().take(LISTED_CHARACTERS).collect();
        one_line(&listed).into_owned()
    });
    let listed: Vec<String> = listed.collect();
    let more = match fields.len().saturating_sub(LISTED_FIELDS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match listed.join(", ") {
        listed if listed.is_empty() => format!("there is no field \"{field}\", nor any other"),
        listed => format!(
            "there is no field \"{field}\", but {listed}{more}: choose one with --text-field"
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
