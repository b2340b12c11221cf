use std::io::BufRead;

/// Nobody writes a longer record on purpose.
pub(super) const LONGEST_RECORD: usize = 64 << 20;

pub(super) enum Found {
    Value,
    TooLong,
    Nothing,
}

/// Splits a stream into JSON values without parsing them, so that a damaged value costs no other.
///
/// A value ends with its brackets. If they do not match, it ends before the next line that begins like a value: with a
/// brace, no farther to the right than the value itself. Sound values may have such lines, so this holds only from the
/// first damaged value on.
#[derive(Default)]
pub(super) struct Values {
    in_array: bool,
    /// The column of the next byte, if its line has only white space before it.
    indent: Option<usize>,
    /// The place and column of a line in the last value that begins like a value.
    restart: Option<(usize, usize)>,
    has_damage: bool,
}

impl Values {
    /// Cuts off the bytes that a damaged last value has swallowed.
    pub(super) fn rest_after_damage(
        &mut self,
        is_json: bool,
        value: &mut Vec<u8>,
    ) -> Option<Vec<u8>> {
        let restart = self.restart.take().filter(|_| !is_json);
        self.has_damage |= restart.is_some();
        restart.map(|(place, indent)| {
            self.indent = Some(indent);
            value.split_off(place)
        })
    }

    /// The last value may be incomplete.
    pub(super) fn next(
        &mut self,
        reader: &mut impl BufRead,
        value: &mut Vec<u8>,
    ) -> std::io::Result<Found> {
        value.clear();
        self.restart = None;
        let mut own_indent = 0;
        let (mut depth, mut in_string, mut is_escaped, mut length) = (0_usize, false, false, 0);
        loop {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(found(value, length));
            }
            let mut used = 0;
            let mut is_whole = false;
            for byte in bytes {
                let begins_line = self.place(*byte);
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
                if is_outside && length == 0 && *byte == b'[' && !self.in_array {
                    used += 1;
                    self.in_array = true;
                    continue;
                }
                if length == 0 {
                    // After the array's bracket: the other values may stand below it.
                    own_indent = begins_line.unwrap_or(1);
                } else if let Some(indent) = begins_line
                    && *byte == b'{'
                    && indent <= own_indent
                {
                    self.has_damage |= length > LONGEST_RECORD;
                    if self.has_damage {
                        self.indent = begins_line;
                        is_whole = true;
                        break;
                    }
                    self.restart.get_or_insert((value.len(), indent));
                }
                used += 1;
                length += 1;
                if length <= LONGEST_RECORD {
                    value.push(*byte);
                }
                if in_string {
                    // A line end within a string shows a truncated line.
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

    /// Returns the column of a byte, if it is the first of its line that is not white space.
    fn place(&mut self, byte: u8) -> Option<usize> {
        match byte {
            b'\n' => {
                self.indent = Some(0);
                None
            }
            b' ' | b'\t' | b'\r' => {
                self.indent = self.indent.map(|indent| indent + 1);
                None
            }
            _ => self.indent.take(),
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
