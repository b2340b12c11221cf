//! Tests the command line.

#[path = "../common/mod.rs"]
mod common;
mod outputs;
mod records;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output};

fn sharpness(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sharpness"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Standard output of a command that succeeds.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = sharpness(arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text}");
}

fn line(step: u64, task: &str, sharpness: Option<f64>) -> String {
    let line: serde_json::Value = common::line(step, task, 0.1, sharpness);
    format!("{line}\n")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn record(&self, content: impl AsRef<[u8]>) -> String {
        self.write("measurements.jsonl", content)
    }

    fn run(&self, name: &str, steps: u64) -> String {
        let record = (0..steps).flat_map(|step| {
            let known = !step.is_multiple_of(3) || step == 0;
            let sharpness = known.then_some(10.0 + step as f64);
            [
                line(step, "train", sharpness),
                line(step, "code", Some(5.0)),
            ]
        });
        let record = record.collect::<String>();
        self.write(&format!("{name}/measurements.jsonl"), record);
        self.write(&format!("{name}/config.json"), r#"{"lr": "</script>"}"#);
        self.path(name)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_cannot_be_read_is_one_clear_line_and_exit_code_2() {
    let folder = Folder::new();
    let newer = line(0, "train", Some(1.0)).replace("\"version\":1", "\"version\":9");
    let binary = folder.write("binary.jsonl", [0, 159, 146, 150, 10, 255]);
    for (path, said, commands) in [
        ("/nowhere".to_string(), "there is no /nowhere", 4),
        (folder.path(""), "has no measurements.jsonl", 4),
        (folder.write("empty.jsonl", ""), "is empty", 4),
        (binary, "is not a record", 6),
        (folder.write("newer.jsonl", newer), "version 9", 6),
    ] {
        for command in &["report", "plot", "table", "csv", "tail", "watch"][..commands] {
            let output = sharpness(&[command, &path]);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {path}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert_has(&error, said);
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
    for arguments in [&["plot"][..], &["tail", "--no-follow", "/nowhere"]] {
        assert_eq!(sharpness(arguments).status.code(), Some(2));
    }
}

#[test]
fn a_bad_run_of_many_is_left_out_with_a_note() {
    let folder = Folder::new();
    folder.run("runs/a", 5);
    folder.run("runs/b", 5);
    fs::create_dir(folder.path("runs/just-started")).unwrap();
    let (picture, report) = (folder.path("p.svg"), folder.path("report.html"));
    let commands: [&[&str]; 5] = [
        &["table"],
        &["csv"],
        &["csv", "--format", "json"],
        &["plot", "-o", &picture],
        &["report", "-o", &report],
    ];
    for (runs, code, left_out) in [
        (&["runs/*"][..], 0, Some("just-started has no measurements")),
        (
            &["runs/just-started", "runs/b"],
            0,
            Some("just-started has no"),
        ),
        (&["runs/a", "runs/b", "runs/typo"], 1, Some("typo")),
        (&["runs"], 0, None),
    ] {
        let runs: Vec<String> = runs.iter().map(|name| folder.path(name)).collect();
        for command in commands {
            let runs = runs.iter().map(String::as_str);
            let arguments: Vec<&str> = command.iter().copied().chain(runs).collect();
            let output = sharpness(&arguments);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
            match left_out {
                Some(said) => assert_has(&error, said),
                None => assert!(error.is_empty(), "{error}"),
            }
        }
    }
    let table = said(&["table", &folder.path("runs/*")]);
    assert!(table.contains("\na ") && table.contains("\nb "), "{table}");
    let [typo, empty] = ["runs/typo", "runs/just-started"].map(|name| folder.path(name));
    let output = sharpness(&["table", &typo, &empty]);
    assert_eq!(output.status.code(), Some(2));
    assert_has(&text(&output.stderr), "none of 2 runs");
}

struct Tail {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Tail {
    fn new(run: &str) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sharpness"));
        let command = command.args(["tail", run]);
        let command = command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    fn says(&self, expected: &str) {
        let line = self.lines.recv_timeout(std::time::Duration::from_secs(20));
        assert_has(&line.unwrap_or_default(), expected);
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_is_followed_from_before_its_beginning_through_a_resume() {
    let folder = Folder::new();
    let tail = Tail::new(&folder.path("run"));
    tail.says("run is not there yet");
    fs::create_dir(folder.path("run")).unwrap();
    tail.says("measurements.jsonl is not there yet");
    let lines = |steps: std::ops::Range<u64>| -> String {
        steps.map(|step| line(step, "train", Some(4.0))).collect()
    };
    let record = folder.write("run/measurements.jsonl", lines(0..3));
    (0..3).for_each(|step| tail.says(&format!("step       {step} ")));
    fs::rename(folder.write("replaced", lines(0..1)), &record).unwrap();
    tail.says("run resumed or started anew after step 0; 2 later measurements dropped");
    let mut file = fs::OpenOptions::new().append(true).open(&record).unwrap();
    file.write_all(lines(8..9).as_bytes()).unwrap();
    tail.says("step       8 ");
}

#[test]
fn where_two_runs_part_is_a_line_each() {
    let folder = Folder::new();
    let [a, b] = [("a.jsonl", 5.0), ("b.jsonl", 6.0)].map(|(name, last)| {
        let record = line(0, "train", Some(4.0)) + &line(10, "train", Some(last));
        folder.write(name, record)
    });
    let parted = sharpness(&["diff", &a, &b]);
    assert_eq!(parted.status.code(), Some(1));
    let said = text(&parted.stdout);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert_has(&said, "λ_c: parts at step 10");
    assert_eq!(sharpness(&["diff", &a, &a]).status.code(), Some(0));
    assert_eq!(sharpness(&["diff", &a, "/nowhere"]).status.code(), Some(2));
}

#[test]
fn a_run_that_diverged_says_since_when() {
    let folder = Folder::new();
    let nan = |step| line(step, "train", None).replace("no_increase", "non_finite_base_loss");
    let run = folder.record(line(0, "train", Some(4.0)) + &nan(5) + &nan(10));
    let table = said(&["table", &run]);
    assert_has(&table, "none since 5");
    assert_has(&table, "2 non_finite_base_loss (steps 5 to 10)");
    let since = "no number since step 5: the loss is not finite";
    for (command, file) in [("plot", "p.svg"), ("report", "r.html")] {
        let file = folder.path(file);
        said(&[command, &run, "-o", &file]);
        assert_has(&fs::read_to_string(file).unwrap(), since);
    }
}

#[test]
fn a_chart_is_not_drawn_to_a_pipe() {
    let output = sharpness(&["watch", &Folder::new().run("a", 3)]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert_has(&error, "terminal");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_cut_line_is_noted_and_the_rest_is_used() {
    let record = line(0, "train", Some(4.0)) + &line(10, "train", Some(5.0));
    let folder = Folder::new();
    let output = sharpness(&["csv", &folder.record(&record[..record.len() - 30])]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).lines().count(), 2);
    assert_has(&text(&output.stderr), "line 2 was cut short");
}

#[test]
fn reports_plots_and_tables_of_several_runs() {
    let folder = Folder::new();
    let (a, b) = (folder.run("a", 40), folder.run("b", 1));

    let report = folder.path("report.html");
    said(&["report", &a, &b, "-o", &report]);
    let html = fs::read_to_string(&report).unwrap();
    assert!(html.contains("\"name\":\"code\"") && html.contains("no_increase"));
    assert!(!html.contains("{{"), "every place is filled");
    assert!(!html.contains("src=") && !html.contains("href="));
    assert_eq!(html.matches("</script>").count(), 3);

    for (file, start) in [("edge.svg", &b"<svg"[..]), ("edge.png", b"\x89PNG")] {
        let file = folder.path(file);
        said(&["plot", &a, &b, "-o", &file]);
        assert!(fs::read(&file).unwrap().starts_with(start));
    }
    let refused = sharpness(&["plot", &a, "-o", "edge.gif"]);
    assert_eq!(refused.status.code(), Some(2));

    let table = said(&["table", &a, &b]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_has(&table, "27 of 40");
    assert_eq!(said(&["csv", &a]).lines().count(), 81);
    let tail = said(&["tail", "--no-follow", &a]);
    assert!(tail.lines().count() == 80 && tail.contains("no_increase"));
    assert_has(&said(&["completions", "bash"]), "sharpness");
}

#[test]
fn a_report_without_any_measurement_is_a_page_all_the_same() {
    let html = sharpness_report::report::html(&[sharpness_report::Run::default()]);
    assert!(html.contains("Nothing was measured") && !html.contains("{{"));
}
