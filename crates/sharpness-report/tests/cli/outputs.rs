#![cfg(unix)]

use crate::{line, run, sharpness, text};
use std::path::Path;
use std::process::{Command, Output};

#[cfg(target_os = "linux")]
fn by_a_shell(folder: &Path, script: &str) -> Output {
    Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .env("S", env!("CARGO_BIN_EXE_sharpness"))
        .output()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_an_error_and_a_closed_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("a"), 2000);
    for command in [
        "table a",
        "table --format json a",
        "csv a",
        "csv --format json a",
        "tail --no-follow a",
        "tail --no-follow --format json a",
        "diff a a",
        "line a 1 -o l.svg",
        "completions bash",
    ] {
        let full = by_a_shell(folder.path(), &format!("$S {command} >/dev/full"));
        let error = text(&full.stderr);
        assert_eq!(full.status.code(), Some(2), "{command}: {error}");
        assert!(
            error.contains("the output cannot be written: No space"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        let closed = by_a_shell(
            folder.path(),
            &format!("$S {command} | true; exit ${{PIPESTATUS[0]}}"),
        );
        assert_eq!(
            (closed.status.code(), text(&closed.stderr)),
            (Some(0), String::new())
        );
    }
    // The result is the file: the line with its name is only a remark.
    for command in [
        "report a -o r.html",
        "plot a -o p.svg",
        "export a -o a.csv",
        "export --to tensorboard a",
    ] {
        let full = by_a_shell(
            folder.path(),
            &format!("$S {command} >/dev/full 2>/dev/full"),
        );
        assert!(full.status.success(), "{command}");
    }
    let partly = by_a_shell(folder.path(), "$S table a nowhere 2>/dev/full");
    assert_eq!(partly.status.code(), Some(1));
    assert_eq!(text(&partly.stdout).lines().count(), 2);
    let failed = by_a_shell(folder.path(), "$S table nowhere >/dev/full 2>/dev/full");
    assert_eq!(failed.status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("a"), 50);
    for command in [
        "report a -o old.html",
        "plot a -o old.svg",
        "plot a -o old.png",
        "line a 1 -o old-line.svg",
        "export a -o old.csv",
    ] {
        let file = command.split(' ').next_back().unwrap();
        std::fs::write(folder.path().join(file), "old").unwrap();
        // Files of 4 KiB at most.
        let script = format!("trap '' XFSZ; ulimit -f 4; $S {command}");
        let output = by_a_shell(folder.path(), &script);
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(
            error.contains(&format!("{file} cannot be written: ")),
            "{error}"
        );
        assert_eq!(
            std::fs::read_to_string(folder.path().join(file)).unwrap(),
            "old"
        );
        assert!(
            by_a_shell(folder.path(), &format!("$S {command}"))
                .status
                .success()
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
}

#[cfg(unix)]
#[test]
fn control_characters_in_names_reach_no_terminal_and_break_no_drawing() {
    let folder = tempfile::tempdir().unwrap();
    let name = "bell\u{7}\u{1b}[31m\nred\u{9b}32m\u{202e}";
    let path = folder.path().join(name);
    std::fs::create_dir(&path).unwrap();
    let task = "a\\u001b]0;title\\u0007\\n\\u009b1m";
    let failed = line(5, "train", None).replace(
        "\"no_increase\"",
        "\"failed\",\"reason\":\"not\\u001b[2J\\nso\"",
    );
    let record = line(0, "train", Some(4.0)) + &line(0, task, Some(5.0)) + &failed;
    std::fs::write(path.join("measurements.jsonl"), record + "{\"\u{1b}").unwrap();
    let run = path.to_string_lossy().into_owned();
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for arguments in [
        &["table", &run][..],
        &["table", "--format", "json", &run],
        &["csv", &run],
        &["csv", "--format", "json", &run],
        &["tail", "--no-follow", &run],
        &["tail", "--no-follow", "--format", "json", &run],
        &["diff", &run, &run],
        &[
            "line",
            &run,
            "0",
            "--task",
            "a\\u001b]0;title\\u0007\\n\\u009b1m",
            "-o",
            &file("l.svg"),
        ],
        &[
            "export",
            "--to",
            "tensorboard",
            &run,
            "-o",
            &file("tensorboard"),
        ],
        &["plot", &run, "-o", &file("p.svg")],
        &["plot", &run, "-o", &file("p.png")],
        &["report", &run, "-o", &file("r.html")],
        &["table", &file("no\u{1b}[31mwhere")],
    ] {
        let output = sharpness(arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        let is_control = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!said.contains(is_control), "{arguments:?}: {said:?}");
        assert_eq!(
            output.status.code(),
            Some(if said.contains("where") { 2 } else { 0 })
        );
        if arguments.contains(&"json") {
            let lines = text(&output.stdout);
            let values =
                serde_json::Deserializer::from_str(&lines).into_iter::<serde_json::Value>();
            assert!(values.into_iter().all(|value| value.is_ok()), "{lines}");
        }
    }
    let table = text(&sharpness(&["table", &run]).stdout);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("bell\\u0007\\u001b[31m\\nred"), "{table}");
    let svg = std::fs::read_to_string(file("p.svg")).unwrap();
    assert!(svg.contains("λ_c of a\\u001b]0;title"), "{svg}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_record_may_come_by_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("a"), 3);
    for (command, lines) in [
        ("tail --no-follow", 6),
        ("tail", 6),
        ("table", 2),
        ("csv", 7),
    ] {
        let script = format!("cat a/measurements.jsonl | timeout 20 $S {command} /dev/stdin");
        let output = by_a_shell(folder.path(), &script);
        let said = text(&output.stdout);
        assert!(
            output.status.success(),
            "{command}: {}",
            text(&output.stderr)
        );
        assert_eq!(said.lines().count(), lines, "{command}: {said}");
    }
    let report = by_a_shell(
        folder.path(),
        "$S report a -o /dev/stdout | grep -c '</html>'",
    );
    assert_eq!(text(&report.stdout), "1\n");
}
