use crate::read::{file_of, parse_line, unreadable};
use crate::{Measurement, ReadError};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Reads a record from its beginning and then as it grows, each complete line once.
#[derive(Debug)]
pub struct Follower {
    file: PathBuf,
    reader: BufReader<File>,
    /// The bytes read so far.
    position: u64,
    /// The beginning of a line whose end is not written yet.
    line: Vec<u8>,
}

impl Follower {
    /// Begins at the first line of a record, given as a run's folder or as the file itself.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = file_of(path)?;
        let opened = File::open(&file).map_err(|source| unreadable(&file, source))?;
        Ok(Self {
            file,
            reader: BufReader::new(opened),
            position: 0,
            line: Vec::new(),
        })
    }

    /// The next measurement, or `None` if its line is not complete yet. Lines that are no measurements
    /// are passed over.
    ///
    /// # Errors
    ///
    /// If the file cannot be read any more, or has become shorter.
    pub fn next_measurement(&mut self) -> Result<Option<Measurement>, ReadError> {
        loop {
            let read = self.reader.read_until(b'\n', &mut self.line);
            let read = read.map_err(|source| unreadable(&self.file, source))?;
            self.position += read as u64;
            if !self.line.ends_with(b"\n") {
                return self.check_length().map(|()| None);
            }
            let parsed = parse_line(&self.line);
            self.line.clear();
            if let Ok(measurement) = parsed {
                return Ok(Some(measurement));
            }
        }
    }

    /// At the end of the file: whether it is the end of what was read.
    fn check_length(&self) -> Result<(), ReadError> {
        let metadata = std::fs::metadata(&self.file);
        let length = metadata.map_err(|source| unreadable(&self.file, source))?;
        if length.len() < self.position {
            let path = self.file.clone();
            return Err(ReadError::CutShort { path });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn each_complete_line_is_read_once_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measurements.jsonl");
        let mut file = File::create(&path).unwrap();
        let line =
            |step: u64| format!("{{\"version\":1,\"step\":{step},\"outcome\":\"failed\"}}\n");
        let text: String = ["no measurement\n".to_string(), line(0), line(1), line(2)].concat();
        let mut follower = Follower::open(folder.path()).unwrap();
        let mut steps = Vec::new();
        for byte in text.as_bytes() {
            file.write_all(&[*byte]).unwrap();
            while let Some(measurement) = follower.next_measurement().unwrap() {
                steps.push(measurement.step);
            }
        }
        assert_eq!(steps, [0, 1, 2]);

        file.set_len(10).unwrap();
        let error = follower.next_measurement().unwrap_err();
        assert!(matches!(error, ReadError::CutShort { .. }), "{error}");
    }
}
