//! Tests the command line.

mod outputs;
mod records;

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
        "{{\"version\":1,\"step\":{step},\"epoch\":1,\"task\":\"{task}\",\"learning_rate\":0.1,\"base_loss\":2.5,\"outcome\":\"{outcome}\",\"critical_lr\":{},\"critical_sharpness\":{},\"evaluations\":3,\"seconds\":0.5,\"line\":[{{\"learning_rate\":0.1,\"rise\":-1.0,\"error\":0.01}}]}}\n",
        number(sharpness.map(|sharpness| 2.0 / sharpness)),
        number(sharpness)
    )
}

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
        let is_begun = said == "is not a record" || said == "version 9";
        let commands = ["report", "plot", "table", "csv", "tail", "watch"];
        for command in &commands[..if is_begun { 6 } else { 4 }] {
            let output = sharpness(&[command, &path]);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {path}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(error.contains(said), "{error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
    for arguments in [&["plot"][..], &["tail", "--no-follow", "/nowhere"]] {
        assert_eq!(sharpness(arguments).status.code(), Some(2));
    }
}

#[test]
fn a_bad_run_of_many_is_left_out_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    run(&runs.join("a"), 5);
    run(&runs.join("b"), 5);
    std::fs::create_dir_all(runs.join("just-started")).unwrap();
    let path = |name: &str| runs.join(name).to_string_lossy().into_owned();
    let (all, report) = (path("*"), path("report.html"));
    let commands: [&[&str]; 5] = [
        &["table"],
        &["csv"],
        &["csv", "--format", "json"],
        &["plot", "-o", &path("p.svg")],
        &["report", "-o", &report],
    ];
    let expand = |names: &[&str]| names.iter().map(|name| path(name)).collect::<Vec<String>>();
    for (runs, code, left_out) in [
        (
            vec![all.clone()],
            0,
            Some("just-started has no measurements"),
        ),
        (
            expand(&["a", "just-started", "b"]),
            0,
            Some("just-started has no"),
        ),
        (expand(&["a", "b", "typo"]), 1, Some("typo")),
        (
            vec![folder.path().join("runs").to_string_lossy().into_owned()],
            0,
            None,
        ),
    ] {
        for command in commands {
            let runs = runs.iter().map(String::as_str);
            let arguments: Vec<&str> = command.iter().copied().chain(runs).collect();
            let output = sharpness(&arguments);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
            match left_out {
                Some(said) => assert!(error.contains(said), "{error}"),
                None => assert!(error.is_empty(), "{error}"),
            }
            std::fs::remove_file(&report).ok();
            std::fs::remove_file(path("p.svg")).ok();
        }
    }
    let table = text(&sharpness(&["table", &all]).stdout);
    assert!(table.contains("\na ") && table.contains("\nb "), "{table}");
    let output = sharpness(&["table", &path("typo"), &path("just-started")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("none of 2 runs"));
}

struct Tail {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Tail {
    fn new(run: &Path) -> Self {
        use std::io::{BufRead, BufReader};
        let mut child = Command::new(env!("CARGO_BIN_EXE_sharpness"))
            .args(["tail", &run.to_string_lossy()])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines }
    }

    fn says(&self, expected: &str) {
        let line = self.lines.recv_timeout(std::time::Duration::from_secs(20));
        let line = line.unwrap_or_else(|_| panic!("it says nothing, not {expected}"));
        assert!(line.contains(expected), "{line}, not {expected}");
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
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let tail = Tail::new(&run);
    tail.says("run is not there yet");
    std::fs::create_dir(&run).unwrap();
    tail.says("measurements.jsonl is not there yet");
    let record = run.join("measurements.jsonl");
    let lines = |steps: std::ops::Range<u64>| -> String {
        steps.map(|step| line(step, "train", Some(4.0))).collect()
    };
    std::fs::write(&record, lines(0..3)).unwrap();
    (0..3).for_each(|step| tail.says(&format!("step       {step} ")));
    let replaced = run.join("replaced");
    std::fs::write(&replaced, lines(0..1)).unwrap();
    std::fs::rename(&replaced, &record).unwrap();
    tail.says("run resumed or started anew after step 0; 2 later measurements dropped");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&record)
        .unwrap();
    std::io::Write::write_all(&mut file, lines(8..9).as_bytes()).unwrap();
    tail.says("step       8 ");
}

#[test]
fn where_two_runs_part_is_a_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let record = |name: &str, last: f64| {
        let record = line(0, "train", Some(4.0)) + &line(10, "train", Some(last));
        std::fs::write(folder.path().join(name), record).unwrap();
        path(name)
    };
    let (a, b) = (record("a.jsonl", 5.0), record("b.jsonl", 6.0));
    let parted = sharpness(&["diff", &a, &b]);
    assert_eq!(parted.status.code(), Some(1));
    let said = text(&parted.stdout);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("λ_c: parts at step 10"), "{said}");
    assert_eq!(sharpness(&["diff", &a, &a]).status.code(), Some(0));
    assert_eq!(sharpness(&["diff", &a, "/nowhere"]).status.code(), Some(2));
}

#[test]
fn a_run_that_diverged_says_since_when() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measurements.jsonl");
    let nan = |step| line(step, "train", None).replace("no_increase", "non_finite_base_loss");
    let record = line(0, "train", Some(4.0)) + &nan(5) + &nan(10);
    std::fs::write(&path, record).unwrap();
    let run = path.to_string_lossy();
    let table = text(&sharpness(&["table", &run]).stdout);
    assert!(table.contains("none since 5"), "{table}");
    assert!(
        table.contains("2 non_finite_base_loss (steps 5 to 10)"),
        "{table}"
    );
    let since = "no number since step 5: the loss is not finite";
    for (command, file) in [("plot", "p.svg"), ("report", "r.html")] {
        let file = folder.path().join(file).to_string_lossy().into_owned();
        assert!(sharpness(&[command, &run, "-o", &file]).status.success());
        assert!(std::fs::read_to_string(&file).unwrap().contains(since));
    }
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
