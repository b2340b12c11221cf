//! Tests the writer: resumes, kills, damaged files, a second writer.

use sharpness_record::{
    LOCK_FILE, MEASUREMENTS_FILE, Measurement, MeasurementOutcome, MeasurementWriter,
    SUPERSEDED_FILE, TRAIN_TASK, WriteError, read, supersede_from,
};
use std::fs;
use std::path::Path;

fn measurement(step: u64) -> Measurement {
    Measurement::new(step, None, TRAIN_TASK, MeasurementOutcome::NoIncrease)
}

fn steps(folder: &Path) -> Vec<u64> {
    let reading = read(folder).unwrap();
    assert!(reading.notes.is_empty(), "{:?}", reading.notes);
    reading.measurements.iter().map(|m| m.step).collect()
}

fn written(folder: &Path, range: std::ops::Range<u64>) -> MeasurementWriter {
    let mut writer = MeasurementWriter::open(folder, range.start).unwrap();
    for step in range {
        writer.append(&measurement(step)).unwrap();
    }
    writer
}

fn aside(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(SUPERSEDED_FILE)).unwrap_or_default()
}

#[test]
fn lines_are_there_as_soon_as_they_are_appended() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("runs/first");
    let mut writer = written(&deep, 0..2);
    assert_eq!(steps(&deep), [0, 1]);
    writer.append(&measurement(2)).unwrap();
    assert_eq!(steps(&deep), [0, 1, 2]);
    assert!(aside(&deep).is_empty());
}

#[test]
fn a_line_with_more_fields_is_read_as_its_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = written(folder.path(), 0..1);
    let more = serde_json::json!({ "checkpoint": "step-1" });
    writer.append_with(&measurement(1), &more).unwrap();
    assert_eq!(steps(folder.path()), [0, 1]);
    let lines = fs::read_to_string(folder.path().join(MEASUREMENTS_FILE)).unwrap();
    let second = lines.lines().last().unwrap();
    let alone = serde_json::to_string(&measurement(1)).unwrap();
    let fields = alone.strip_suffix('}').unwrap();
    assert_eq!(second, format!("{fields},\"checkpoint\":\"step-1\"}}"));
    assert!(writer.append_with(&measurement(2), &7).is_err());
    assert_eq!(steps(folder.path()), [0, 1]);
}

#[test]
fn a_resumed_run_sets_aside_what_it_makes_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(written(path, 0..6));
    drop(written(path, 4..5));
    assert_eq!(steps(path), [0, 1, 2, 3, 4]);
    let lines = String::from_utf8(aside(path)).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("\"step\":4,") && lines.contains("\"step\":5,"));
}

#[test]
fn going_back_is_independent_of_the_next_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    supersede_from(path, 0).unwrap();
    let files = fs::read_dir(path).unwrap().count();
    assert_eq!(files, 0, "no record, no trace");
    drop(written(path, 0..6));
    supersede_from(path, 3).unwrap();
    assert_eq!(steps(path), [0, 1, 2]);

    // An open writer continues in the new file.
    let mut writer = written(path, 3..6);
    writer.supersede_from(4).unwrap();
    writer.append(&measurement(10)).unwrap();
    assert_eq!(steps(path), [0, 1, 2, 3, 10]);
}

#[test]
fn damaged_lines_are_set_aside_and_recording_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(written(path, 0..2));
    let file = path.join(MEASUREMENTS_FILE);
    let mut bytes = fs::read(&file).unwrap();
    let damaged: &[u8] = b"\xff\xfe\x00 not UTF-8\n{}\n{\"step\":\"one\"}\n";
    bytes.splice(0..0, damaged.iter().copied());
    bytes.extend(b"{\"version\":1,\"step\":2,\"ta");
    fs::write(&file, bytes).unwrap();

    drop(written(path, 2..4));
    assert_eq!(steps(path), [0, 1, 2, 3]);
    let lines = aside(path);
    assert!(lines.starts_with(damaged) && lines.ends_with(b"\"ta\n"));
}

#[test]
fn a_second_writer_is_refused_and_told_who_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let first = written(path, 0..2);
    let opened = MeasurementWriter::open(path, 0).map(drop);
    for refused in [opened, supersede_from(path, 0)] {
        let error = refused.unwrap_err();
        let holder = Some(std::process::id());
        assert!(matches!(&error, WriteError::Busy { holder: who, .. } if *who == holder));
        let text = error.to_string();
        for part in ["this process", &path.display().to_string()] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert_eq!(steps(path), [0, 1], "who is refused changes nothing");
    drop(first);
    drop(written(path, 2..3));

    fs::write(path.join(LOCK_FILE), "1").unwrap();
    drop(written(path, 3..4));
    let text = fs::read_to_string(path.join(LOCK_FILE)).unwrap();
    assert_eq!(text, std::process::id().to_string());
}

#[test]
fn what_cannot_be_written_is_said_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = MeasurementWriter::open(&file.join("run"), 0).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
}
