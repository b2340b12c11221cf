//! Formats texts and numbers for a reader.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

/// Makes a text safe to show: it cannot control a terminal or break XML.
///
/// JSON escapes replace control characters except tabs and line ends, and marks that reverse the direction of text.
///
/// ```
/// use sharpness_record::shown::printable;
///
/// assert_eq!(printable("red: \u{1b}[31m\n"), "red: \\u001b[31m\n");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |character| {
        is_control(character) && !matches!(character, '\n' | '\t')
    })
}

/// Shows a name on one line: [`printable`], which also escapes tabs and line ends.
///
/// ```
/// assert_eq!(sharpness_record::shown::one_line("two\nlines"), "two\\nlines");
/// ```
pub fn one_line(name: &str) -> Cow<'_, str> {
    escaped(name, is_control)
}

/// Shows a path on one line, as [`one_line`] does a name.
pub fn path(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

/// Whether a character controls a terminal, or is invalid in XML.
fn is_control(character: char) -> bool {
    let turns_around = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_a_line = matches!(character, '\u{2028}' | '\u{2029}');
    let is_no_character = matches!(character, '\u{fffe}' | '\u{ffff}');
    character.is_control() || turns_around || ends_a_line || is_no_character
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' if is_escaped('\n') => shown.push_str("\\n"),
            '\t' if is_escaped('\t') => shown.push_str("\\t"),
            character if is_escaped(character) => {
                let _ = write!(shown, "\\u{:04x}", u32::from(character));
            }
            character => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Shows a number with four [`decimals`].
///
/// ```
/// use sharpness_record::shown::number;
///
/// assert_eq!(number(278.32308), "278.3231");
/// assert_eq!(number(0.000051234), "5.12e-5");
/// ```
pub fn number(value: f64) -> String {
    decimals(value, 4)
}

/// Shows a number with this many decimals, or with three digits and an exponent if that is too short or too long.
///
/// ```
/// use sharpness_record::shown::decimals;
///
/// assert_eq!(decimals(278.32308, 1), "278.3");
/// assert_eq!(decimals(0.06, 1), "6.00e-2");
/// ```
pub fn decimals(value: f64, decimals: usize) -> String {
    let smallest = [1.0, 0.1, 0.01][decimals.min(2)];
    let magnitude = value.abs();
    match magnitude == 0.0 || (smallest..1e7).contains(&magnitude) {
        true => format!("{value:.decimals$}"),
        false => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_escapes_and_all_else_stays() {
        for sound in ["", "λ_c of code", "naïve 日本語 🦀", "a\\u001b"] {
            assert!(matches!(one_line(sound), Cow::Borrowed(text) if text == sound));
        }
        let controls = "a\u{7}b\u{1b}]0;t\u{9b}31m\u{202e}\r\u{0}\u{7f}\u{ffff}\u{2028}";
        let shown = printable(controls);
        assert!(!shown.contains(is_control), "{shown:?}");
        assert!(shown.starts_with("a\\u0007b\\u001b]0;t\\u009b31m\\u202e\\u000d"));
        assert_eq!(printable("a\tb\n\u{8}"), "a\tb\n\\u0008");
        assert_eq!(one_line("a\tb\n"), "a\\tb\\n");
        let json = serde_json::to_string(controls).unwrap();
        let read: String = serde_json::from_str(&printable(&json)).unwrap();
        assert_eq!(read, controls);
    }

    #[test]
    fn a_number_has_three_digits_at_least() {
        for (value, shown) in [
            (0.0, "0.0000"),
            (0.01, "0.0100"),
            (0.009, "9.00e-3"),
            (-0.00012345, "-1.23e-4"),
            (1234567.0, "1234567.0000"),
            (1e20, "1.00e20"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), shown);
        }
    }
}
