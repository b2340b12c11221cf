//! Prints safely: control characters never reach the terminal, and a full or closed stream never causes a panic.

use anstyle::{AnsiColor, Style};
use anyhow::Chain;
use sharpness_record::shown::printable;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Prints results to standard output.
///
/// # Errors
///
/// Fails if the text cannot be written; [`is_closed`] recognizes a closed pipe, such as after `head`.
pub fn print(text: &str) -> io::Result<()> {
    print_in(Style::new(), text)
}

/// Prints results in a style, if standard output is a terminal with colours.
///
/// # Errors
///
/// Fails like [`print`](fn@print).
pub fn print_in(style: Style, text: &str) -> io::Result<()> {
    write(anstream::stdout(), style, text)
}

/// Prints a remark on standard output, and ignores a failed write.
pub fn say(line: impl Display) {
    let _ = print(&format!("{line}\n"));
}

/// Prints a line on standard error, and ignores a failed write.
pub fn warn(line: impl Display) {
    let _ = write(anstream::stderr(), Style::new(), &format!("{line}\n"));
}

/// Prints an error and its causes on standard error.
pub fn fail(error: &(dyn Error + 'static)) {
    let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    let _ = write(anstream::stderr(), red, "error:");
    let mut text = error.to_string();
    for cause in Chain::new(error).skip(1).map(ToString::to_string) {
        // Some errors already include their cause.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    warn(format_args!(" {text}"));
}

/// Whether the reader of the output has closed the pipe, which is no failure.
pub fn is_closed(error: &(dyn Error + 'static)) -> bool {
    let mut errors = Chain::new(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    errors.any(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Whether standard output is a terminal that can show a dashboard.
pub fn can_draw() -> bool {
    io::stdout().is_terminal() && !is_dumb(std::env::var_os("TERM"))
}

fn is_dumb(kind: Option<OsString>) -> bool {
    kind.is_some_and(|kind| kind.is_empty() || kind == "dumb")
}

fn write(mut stream: impl Write, style: Style, text: &str) -> io::Result<()> {
    let written = write!(stream, "{style}{}{style:#}", printable(text));
    let written = written.and_then(|()| stream.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => error,
        kind => io::Error::new(kind, format!("the output cannot be written: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumb_terminal_is_told_by_its_kind() {
        for (kind, expected) in [
            (Some("dumb"), true),
            (Some(""), true),
            (Some("xterm-256color"), false),
            (None, false),
        ] {
            assert_eq!(is_dumb(kind.map(OsString::from)), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_reader_that_has_ended_is_told_from_a_disk_that_is_full() {
        let failed =
            |kind: ErrorKind| anyhow::Error::new(io::Error::from(kind)).context("printing");
        assert!(is_closed(failed(ErrorKind::BrokenPipe).as_ref()));
        assert!(!is_closed(failed(ErrorKind::StorageFull).as_ref()));
    }
}
