//! The command line, as a user meets it.

use std::path::Path;
use std::process::{Command, Output};

fn sharpness(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sharpness"))
        .args(arguments)
        .output()
        .unwrap()
}

fn line(step: u64, task: &str, sharpness: Option<f64>) -> String {
    let number = |value: Option<f64>| value.map_or("null".to_string(), |value| value.to_string());
    let outcome = if sharpness.is_some() {
        "bracketed"
    } else {
        "no_increase"
    };
    format!(
        "{{\"version\":1,\"step\":{step},\"epoch\":1,\"task\":\"{task}\",\"learning_rate\":0.1,\"base_loss\":2.5,\"outcome\":\"{outcome}\",\"critical_lr\":{},\"critical_sharpness\":{},\"evaluations\":3,\"seconds\":0.5}}\n",
        number(sharpness.map(|sharpness| 2.0 / sharpness)),
        number(sharpness)
    )
}

/// A run of so many steps, each third without a number, with a task.
fn run(folder: &Path, steps: u64) {
    let record: String = (0..steps)
        .flat_map(|step| {
            let known = !step.is_multiple_of(3) || step == 0;
            let sharpness = known.then_some(10.0 + step as f64);
            [
                line(step, "train", sharpness),
                line(step, "code", Some(5.0)),
            ]
        })
        .collect();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("measurements.jsonl"), record).unwrap();
    std::fs::write(folder.join("config.json"), "{\"lr\": \"</script>\"}").unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_cannot_be_read_is_one_clear_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let empty_folder = folder.path().to_string_lossy().into_owned();
    let newer = line(0, "train", Some(1.0)).replace("\"version\":1", "\"version\":9");
    for (path, said) in [
        ("/nowhere".to_string(), "there is no /nowhere"),
        (empty_folder, "has no measurements.jsonl"),
        (file("empty.jsonl", b""), "is empty"),
        (
            file("binary.jsonl", &[0, 159, 146, 150, 10, 255]),
            "is not a record",
        ),
        (file("newer.jsonl", newer.as_bytes()), "version 9"),
    ] {
        for command in ["report", "plot", "table", "csv", "tail", "watch"] {
            let output = sharpness(&[command, &path]);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {path}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(error.contains(said), "{error}");
            // To a pipe there are no colours.
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
    assert_eq!(sharpness(&["plot"]).status.code(), Some(2));
}

#[test]
fn a_chart_is_not_drawn_to_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3);
    let output = sharpness(&["watch", &folder.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(
        error.contains("terminal") && error.lines().count() == 1,
        "{error}"
    );
}

#[test]
fn a_cut_line_is_noted_and_the_rest_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measurements.jsonl");
    let record = line(0, "train", Some(4.0)) + &line(10, "train", Some(5.0));
    std::fs::write(&path, &record[..record.len() - 30]).unwrap();
    let output = sharpness(&["csv", &path.to_string_lossy()]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).lines().count(), 2);
    assert!(text(&output.stderr).contains("line 2 was cut short"));
}

#[test]
fn reports_plots_and_tables_of_several_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (a, b) = (path("a"), path("b"));
    run(Path::new(&a), 40);
    run(Path::new(&b), 1);

    let report = path("report.html");
    assert!(
        sharpness(&["report", &a, &b, "-o", &report])
            .status
            .success()
    );
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.contains("\"name\":\"code\"") && html.contains("no_increase"));
    assert!(!html.contains("{{"), "every place is filled");
    // Nothing is loaded from elsewhere, and no text of a run ends a script.
    assert!(!html.contains("src=") && !html.contains("href="));
    assert_eq!(html.matches("</script>").count(), 3);

    for (file, start) in [("edge.svg", &b"<svg"[..]), ("edge.png", &b"\x89PNG"[..])] {
        let file = path(file);
        assert!(sharpness(&["plot", &a, &b, "-o", &file]).status.success());
        assert!(std::fs::read(&file).unwrap().starts_with(start));
    }
    assert_eq!(
        sharpness(&["plot", &a, "-o", "edge.gif"]).status.code(),
        Some(2)
    );

    let table = text(&sharpness(&["table", &a, &b]).stdout);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("27 of 40"), "{table}");
    let csv = text(&sharpness(&["csv", &a]).stdout);
    assert_eq!(csv.lines().count(), 81);
    let tail = text(&sharpness(&["tail", "--no-follow", &a]).stdout);
    assert!(tail.lines().count() == 80 && tail.contains("no_increase"));
    let shell = text(&sharpness(&["completions", "bash"]).stdout);
    assert!(shell.contains("sharpness"));
}

#[test]
fn a_step_that_was_measured_twice_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measurements.jsonl");
    let record =
        line(0, "train", Some(4.0)) + &line(5, "train", Some(5.0)) + &line(0, "train", Some(6.0));
    std::fs::write(&path, record).unwrap();
    let csv = text(&sharpness(&["csv", &path.to_string_lossy()]).stdout);
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.contains(",6,"), "the later line stays: {csv}");
}

#[test]
fn a_report_without_any_measurement_is_a_page_all_the_same() {
    let html = sharpness_report::report::html(&[sharpness_report::Run::default()]);
    assert!(html.contains("Nothing was measured"));
    assert!(!html.contains("{{"));
}
