use crate::{Folder, assert_has, line, said, sharpness, text};

#[cfg(unix)]
#[test]
fn each_run_of_a_folder_is_read_once_however_deep_and_by_its_own_name() {
    let folder = Folder::new();
    for name in "one sweep/lr-1/seed-0 sweep/lr-1/seed-1 .old/two one/inner".split(' ') {
        folder.run(&format!("runs/{name}"), 2);
    }
    folder.run("elsewhere", 2);
    for (target, link) in [
        ("one", "latest"),
        ("..", "sweep/up"),
        ("sweep/lr-1", "best"),
        ("../elsewhere", "three"),
    ] {
        let link = folder.path(&format!("runs/{link}"));
        std::os::unix::fs::symlink(target, link).unwrap();
    }
    let named = |names: &[&str]| -> Vec<String> {
        let paths: Vec<String> = names.iter().map(|name| folder.path(name)).collect();
        let paths = paths.iter().map(String::as_str);
        let table = said(&std::iter::once("table").chain(paths).collect::<Vec<_>>());
        let rows = table.lines().skip(1);
        rows.map(|row| row.split_whitespace().next().unwrap().to_string())
            .collect()
    };
    let mut all = named(&["runs"]);
    all.sort();
    assert_eq!(all, ["one", "seed-0", "seed-1", "three"]);
    let note = text(&sharpness(&["table", &folder.path("runs")]).stderr);
    assert_has(&note, ".old/two is hidden and not read: name it");
    assert_eq!(named(&["runs/.old"]), ["two"]);
    let expanded = "runs/best runs/latest runs/one runs/sweep runs/three";
    let expanded: Vec<&str> = expanded.split(' ').collect();
    assert_eq!(named(&expanded).len(), 4);
    assert_eq!(named(&["runs/*"]).len(), 4);
    assert_eq!(named(&["runs/latest"]), ["latest"]);
    assert_eq!(
        named(&["runs/latest", "runs/one/measurements.jsonl"]),
        ["one"]
    );
}

/// A sort for each line would take minutes.
#[test]
fn a_record_in_reverse_is_read_as_one_in_order() {
    let folder = Folder::new();
    let lines = (0..80_000).rev().map(|step| line(step, "train", Some(4.0)));
    let table = said(&["table", &folder.record(lines.collect::<String>())]);
    assert_has(&table, "80000 of 80000");
    assert_has(&table, " 79999 ");
}

#[test]
fn sums_that_overflow_and_small_numbers_are_shown() {
    let folder = Folder::new();
    let record = [0, 5].map(|step| {
        line(step, "train", Some(1.234e-5))
            .replace("\"seconds\":0.5", "\"seconds\":1e19")
            .replace("\"evaluations\":3", "\"evaluations\":9223372036854775808")
    });
    let run = folder.record(record.concat());
    assert_eq!(said(&["table", &run]).matches("1.23e-5").count(), 3);
    let tail = said(&["tail", "--no-follow", &run]);
    assert_has(&tail, "λ_c 1.23e-5 ");
    assert_has(&tail, "η/η_c 6.17e-7");
    for (command, file) in [("plot", "p.svg"), ("plot", "p.png"), ("report", "r.html")] {
        said(&[command, &run, "-o", &folder.path(file)]);
    }
}

#[test]
fn why_a_measurement_failed_is_said_once() {
    let folder = Folder::new();
    let reason = r#""failed","reason":"the rate is -0.01""#;
    let failed = |step| line(step, "train", None).replace("\"no_increase\"", reason);
    let run = folder.record(failed(0) + &failed(5));
    let (table, tail) = (said(&["table", &run]), said(&["tail", "--no-follow", &run]));
    assert_has(&table, "2 failed (steps 0 to 5): the rate is -0.01");
    assert_has(&tail, "  failed: the rate is -0.01\n");
    sharpness(&["plot", &run, "-o", &folder.path("p.svg")]);
}
