//! Names in messages.

use std::path::Path;

/// A path for a message: on one line and without orders to the terminal, whatever the name holds.
pub(super) fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// A text on one line, without orders to the terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}
