//! Tests the follower through the life of a run.

use sharpness_record::{
    Followed, Follower, MEASUREMENTS_FILE, Measurement, MeasurementOutcome, MeasurementWriter,
    supersede_from,
};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

fn measurement(step: u64) -> Measurement {
    Measurement::new(step, None, "train", MeasurementOutcome::NoIncrease)
}

fn line(step: u64) -> String {
    serde_json::to_string(&measurement(step)).unwrap() + "\n"
}

fn write(folder: &Path, steps: std::ops::Range<u64>) {
    let mut writer = MeasurementWriter::open(folder, steps.start).unwrap();
    for step in steps {
        writer.append(&measurement(step)).unwrap();
    }
}

/// Returns all events, a word each.
fn events(follower: &mut Follower) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(event) = follower.next_event().unwrap() {
        events.push(match event {
            Followed::Measurement(measurement) => measurement.step.to_string(),
            Followed::WentBack {
                kept,
                dropped,
                cause,
            } => format!("{cause:?} {kept}+{dropped}"),
            Followed::Note(note) => note,
            _ => unreachable!(),
        });
    }
    events
}

const NOTHING: [&str; 0] = [];

#[test]
fn each_complete_line_is_read_once_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join(MEASUREMENTS_FILE);
    let text = [line(0), "\n".to_string(), line(1), line(2)].concat();
    for path in [folder.path(), &record] {
        let mut file = File::create(&record).unwrap();
        let mut follower = Follower::new(path);
        let mut steps = Vec::new();
        for byte in text.as_bytes() {
            file.write_all(&[*byte]).unwrap();
            steps.extend(events(&mut follower));
        }
        assert_eq!(steps, ["0", "1", "2"]);
    }
}

#[test]
fn it_can_begin_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs/a");
    let mut follower = Follower::new(&run);
    let missing = |follower: &Follower| follower.missing().unwrap_or_default();
    assert_eq!(events(&mut follower), NOTHING);
    assert!(missing(&follower).ends_with("runs/a is not there yet"));
    fs::create_dir_all(&run).unwrap();
    assert_eq!(events(&mut follower), NOTHING);
    assert!(missing(&follower).ends_with("measurements.jsonl is not there yet"));
    File::create(run.join(MEASUREMENTS_FILE)).unwrap();
    assert_eq!(events(&mut follower), NOTHING);
    assert!(missing(&follower).ends_with("has no complete line yet"));
    write(&run, 0..2);
    assert_eq!(events(&mut follower), ["0", "1"]);
    assert_eq!(follower.missing(), None);

    let mut of_file = Follower::new(&folder.path().join("later.jsonl"));
    assert_eq!(events(&mut of_file), NOTHING);
    fs::write(folder.path().join("later.jsonl"), line(3)).unwrap();
    assert_eq!(events(&mut of_file), ["3"]);
}

#[test]
fn a_resume_is_told_and_no_line_is_told_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    let mut follower = Follower::new(run);
    write(run, 0..6);
    assert_eq!(events(&mut follower).len(), 6);
    write(run, 4..8);
    let told = ["4", "5", "6", "7"];
    // The repeated lines are equal to the byte, so they stand.
    assert_eq!(events(&mut follower), told[2..]);
    supersede_from(run, 3).unwrap();
    assert_eq!(events(&mut follower), ["Replaced 3+5"]);
    write(run, 10..12);
    assert_eq!(events(&mut follower), ["10", "11"]);
    supersede_from(run, 0).unwrap();
    write(run, 1..3);
    assert_eq!(events(&mut follower), ["Replaced 0+5", "1", "2"]);
}

#[test]
fn a_file_that_is_cut_written_over_or_removed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(MEASUREMENTS_FILE);
    let mut follower = Follower::new(folder.path());
    fs::write(&path, [line(0), line(1), line(2)].concat()).unwrap();
    assert_eq!(events(&mut follower), ["0", "1", "2"]);

    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(line(0).len() as u64 + 10).unwrap();
    assert_eq!(events(&mut follower), ["Rewritten 1+2"]);

    let longer: String = (5..9).map(line).collect();
    fs::write(&path, longer).unwrap();
    assert_eq!(events(&mut follower), ["Rewritten 0+1", "5", "6", "7", "8"]);

    fs::remove_file(&path).unwrap();
    assert_eq!(events(&mut follower), ["Removed 0+4"]);
    assert_eq!(events(&mut follower), NOTHING);
    assert!(follower.missing().is_some());
    fs::write(&path, line(0)).unwrap();
    assert_eq!(events(&mut follower), ["0"]);
}

#[test]
fn lines_that_are_no_measurements_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(MEASUREMENTS_FILE);
    let newer = line(1).replace("\"version\":1", "\"version\":9");
    let mut bytes = b"nonsense\n\xff\xfe\n".to_vec();
    bytes.extend([line(0), newer.clone(), newer].concat().as_bytes());
    fs::write(&path, bytes).unwrap();
    let told = events(&mut Follower::new(folder.path()));
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].contains("line 1 is no measurement"), "{told:?}");
    assert!(told[1].contains("line 2 is no measurement"), "{told:?}");
    assert_eq!(told[2], "0");
    assert!(told[3].contains("from line 4 on: version 9"), "{told:?}");
}
