use crate::files::MEASUREMENTS_FILE;
use crate::{Measurement, RECORD_VERSION};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The measurements of a file, with notes on the lines left out.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// The measurements, in the order of the file.
    pub measurements: Vec<Measurement>,
    /// The lines left out, and why.
    pub notes: Vec<String>,
}

/// Explains why a record is unreadable.
#[derive(Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The path does not exist.
    #[error("there is no {}: give the folder of a run, or its {MEASUREMENTS_FILE}", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The folder holds no record.
    #[error("{} has no {MEASUREMENTS_FILE}: was the run made with a probe that has a directory?", path.display())]
    NoRecord {
        /// The folder.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{} is empty: nothing was measured yet", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The only line is incomplete.
    #[error("{} has only one incomplete line: nothing was measured yet", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
    },
    /// No line is a measurement.
    #[error("{} is not a record of measurements: {reason}", path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
        /// The fault of its first line.
        reason: String,
    },
    /// All lines have a newer version.
    #[error(
        "{} has version {version} of the record, but this program reads versions up to {RECORD_VERSION}: install a newer program",
        path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

debug_is_the_sentence!(ReadError);

impl ReadError {
    /// Whether the record may still come.
    pub fn is_not_yet(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::NoRecord { .. }
                | Self::Empty { .. }
                | Self::Incomplete { .. }
        )
    }
}

/// Reads a record, given as a run's folder or as the file.
///
/// It leaves out, with a note, lines that are incomplete, newer or no measurements.
///
/// # Errors
///
/// Fails if no line is a measurement.
pub fn read(path: &Path) -> Result<Reading, ReadError> {
    let file = file_of(path)?;
    let bytes = std::fs::read(&file).map_err(|source| unreadable(&file, source))?;
    parse(&file, &bytes)
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> ReadError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing { path },
        _ => ReadError::Unreadable { path, source },
    }
}

/// Returns the file of measurements in a run's folder, or a path to a file itself.
///
/// # Errors
///
/// Fails if there is no such file.
pub fn file_of(path: &Path) -> Result<PathBuf, ReadError> {
    let metadata = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if !metadata.is_dir() {
        return Ok(path.to_path_buf());
    }
    let file = path.join(MEASUREMENTS_FILE);
    match std::fs::metadata(&file) {
        Ok(_) => Ok(file),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Err(ReadError::NoRecord {
            path: path.to_path_buf(),
        }),
        Err(source) => Err(unreadable(&file, source)),
    }
}

/// Reads a record's bytes as [`read`] does; the path is for the messages.
///
/// # Errors
///
/// Fails if no line is a measurement.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Reading, ReadError> {
    let path = path.to_path_buf();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty { path });
    }
    let mut reading = Reading::default();
    let (mut newer, mut broken) = (Vec::new(), Vec::new());
    let is_complete = bytes.ends_with(b"\n");
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for (index, line) in lines.iter().enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = index + 1;
        match parse_line(line) {
            Ok(measurement) => reading.measurements.push(measurement),
            Err(Unread::Newer(version)) => newer.push((number, version)),
            Err(Unread::Broken(_)) if number == lines.len() && !is_complete => reading
                .notes
                .push(format!("line {number} was cut short and is left out")),
            Err(Unread::Broken(reason)) => broken.push((number, reason)),
        }
    }
    if reading.measurements.is_empty() {
        return Err(match (newer.first(), broken.first()) {
            (Some((_, version)), _) => ReadError::NewerVersion {
                path,
                version: *version,
            },
            (_, Some((number, reason))) => ReadError::NotARecord {
                path,
                reason: format!("line {number}: {reason}"),
            },
            _ => ReadError::Incomplete { path },
        });
    }
    if let Some((number, version)) = newer.first() {
        reading.notes.push(format!(
            "{} lines are left out, from line {number} on: version {version} of the record is newer than {RECORD_VERSION}",
            newer.len()
        ));
    }
    if let Some((number, reason)) = broken.first() {
        reading.notes.push(format!(
            "{} lines are no measurements and left out, the first one line {number}: {reason}",
            broken.len()
        ));
    }
    Ok(reading)
}

pub(crate) enum Unread {
    Newer(u32),
    Broken(String),
}

pub(crate) fn parse_line(line: &[u8]) -> Result<Measurement, Unread> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let broken = |error: serde_json::Error| Unread::Broken(error.to_string());
    let Version { version } = serde_json::from_slice(line).map_err(broken)?;
    if version > RECORD_VERSION {
        return Err(Unread::Newer(version));
    }
    serde_json::from_slice(line).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = r#"{"version":1,"step":3,"task":"train","outcome":"bracketed","critical_lr":0.5,"critical_sharpness":4.0,"later":[1]}"#;

    fn parsed(text: &str) -> Result<Reading, ReadError> {
        parse(Path::new("file"), text.as_bytes())
    }

    #[test]
    fn what_can_be_read_is_read_and_the_rest_is_noted() {
        let newer = LINE.replace("\"version\":1", "\"version\":2");
        let text = format!("{LINE}\nnonsense\n{newer}\n{LINE}\n{}", &LINE[..40]);
        let reading = parsed(&text).unwrap();
        assert_eq!(reading.measurements.len(), 2);
        assert_eq!(reading.measurements[0].critical_sharpness, Some(4.0));
        assert_eq!(reading.measurements[0].base_loss, None);
        let notes = reading.notes.join("; ");
        for words in ["line 5 was cut short", "line 2:", "version 2"] {
            assert!(notes.contains(words), "{notes}");
        }
        assert_eq!(parsed(LINE).unwrap().measurements.len(), 1);
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        for (text, words) in [
            ("", "empty"),
            ("\u{0}\u{1}PNG\n", "line 1"),
            ("{}\n", "version"),
            (&LINE.replace(":1,", ":7,"), "version 7"),
        ] {
            let refused = parsed(text).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
        assert!(parsed(&LINE[..40]).unwrap_err().is_not_yet());
        let missing = read(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/at/all"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(Path::new("file"), &bytes);
        }

        #[test]
        fn no_damage_to_a_record_makes_it_panic_or_lose_other_lines(
            at in 0..LINE.len(),
            byte in any::<u8>().prop_filter("a line", |byte| *byte != b'\n'),
        ) {
            let mut bytes = LINE.as_bytes().to_vec();
            bytes[at] = byte;
            bytes.push(b'\n');
            bytes.extend(LINE.as_bytes());
            let reading = parse(Path::new("file"), &bytes).unwrap();
            prop_assert!(!reading.measurements.is_empty());
        }
    }
}
