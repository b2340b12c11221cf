#[cfg(unix)]
use crate::run;
use crate::{line, sharpness, text};

#[cfg(unix)]
#[test]
fn each_run_of_a_folder_is_read_once_however_deep_and_by_its_own_name() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    for name in [
        "one",
        "sweep/lr-1/seed-0",
        "sweep/lr-1/seed-1",
        ".old/two",
        "one/inner",
    ] {
        run(&runs.join(name), 2);
    }
    symlink("one", runs.join("latest")).unwrap();
    symlink("..", runs.join("sweep/up")).unwrap();
    symlink("sweep/lr-1", runs.join("best")).unwrap();
    run(&folder.path().join("elsewhere"), 2);
    symlink("../elsewhere", runs.join("three")).unwrap();
    let named = |arguments: &[&str]| -> Vec<String> {
        let output = sharpness(&[&["table"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let table = text(&output.stdout);
        let rows = table.lines().skip(1);
        rows.map(|row| row.split_whitespace().next().unwrap().to_string())
            .collect()
    };
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let all = ["seed-0", "seed-1", "one", "three"];
    let mut expected = named(&[&path("runs")]);
    expected.sort();
    let mut sorted = all.map(String::from);
    sorted.sort();
    assert_eq!(expected, sorted);
    let note = text(&sharpness(&["table", &path("runs")]).stderr);
    assert!(
        note.contains(".old/two is hidden and not read: name it"),
        "{note}"
    );
    assert_eq!(named(&[&path("runs/.old")]), ["two"]);
    let expanded =
        ["best", "latest", "one", "sweep", "three"].map(|name| path(&format!("runs/{name}")));
    let expanded: Vec<&str> = expanded.iter().map(String::as_str).collect();
    assert_eq!(named(&expanded).len(), 4);
    assert_eq!(named(&[&path("runs/*")]).len(), 4);
    assert_eq!(named(&[&path("runs/latest")]), ["latest"]);
    assert_eq!(
        named(&[&path("runs/latest"), &path("runs/one/measurements.jsonl")]),
        ["one"]
    );
}

/// A sort for each line would take minutes.
#[test]
fn a_record_in_reverse_is_read_as_one_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measurements.jsonl");
    let lines: String = (0..80_000)
        .rev()
        .map(|step| line(step, "train", Some(4.0)))
        .collect();
    std::fs::write(&path, lines).unwrap();
    let table = text(&sharpness(&["table", &path.to_string_lossy()]).stdout);
    assert!(
        table.contains("80000 of 80000") && table.contains(" 79999 "),
        "{table}"
    );
}

#[test]
fn sums_that_overflow_and_small_numbers_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measurements.jsonl");
    let record = [0, 5].map(|step| {
        line(step, "train", Some(1.234e-5))
            .replace("\"seconds\":0.5", "\"seconds\":1e19")
            .replace("\"evaluations\":3", "\"evaluations\":9223372036854775808")
    });
    std::fs::write(&path, record.concat()).unwrap();
    let run = path.to_string_lossy().into_owned();
    let table = text(&sharpness(&["table", &run]).stdout);
    assert_eq!(table.matches("1.23e-5").count(), 3, "{table}");
    let tail = text(&sharpness(&["tail", "--no-follow", &run]).stdout);
    assert!(
        tail.contains("λ_c 1.23e-5 ") && tail.contains("η/η_c 6.17e-7"),
        "{tail}"
    );
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for (command, file) in [
        ("plot", file("p.svg")),
        ("plot", file("p.png")),
        ("report", file("r.html")),
    ] {
        assert!(
            sharpness(&[command, &run, "-o", &file]).status.success(),
            "{file}"
        );
    }
}

#[test]
fn why_a_measurement_failed_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measurements.jsonl");
    let failed = |step| {
        let line = line(step, "train", None);
        line.replace(
            "\"no_increase\"",
            "\"failed\",\"reason\":\"the rate is -0.01\"",
        )
    };
    std::fs::write(&path, failed(0) + &failed(5)).unwrap();
    let run = path.to_string_lossy().into_owned();
    let said = |arguments: &[&str]| text(&sharpness(arguments).stdout);
    let table = said(&["table", &run]);
    assert!(
        table.contains("2 failed (steps 0 to 5): the rate is -0.01"),
        "{table}"
    );
    let tail = said(&["tail", "--no-follow", &run]);
    assert!(tail.contains("  failed: the rate is -0.01\n"), "{tail}");
    let file = folder.path().join("p.svg").to_string_lossy().into_owned();
    said(&["plot", &run, "-o", &file]);
}
