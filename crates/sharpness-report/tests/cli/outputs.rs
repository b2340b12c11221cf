#![cfg(unix)]

use crate::{Folder, assert_has, line, said, sharpness, text};
use std::fs;
use std::process::{Command, Output};

#[cfg(target_os = "linux")]
fn by_a_shell(folder: &Folder, script: &str) -> Output {
    Command::new("bash")
        .args(["-c", script])
        .current_dir(folder.path(""))
        .env("S", env!("CARGO_BIN_EXE_sharpness"))
        .output()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_an_error_and_a_closed_one_is_none() {
    let folder = Folder::new();
    folder.run("a", 2000);
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
        let full = by_a_shell(&folder, &format!("$S {command} >/dev/full"));
        let error = text(&full.stderr);
        assert_eq!(full.status.code(), Some(2), "{command}: {error}");
        assert_has(&error, "the output cannot be written: No space");
        assert_eq!(error.lines().count(), 1, "{error}");
        let closed = format!("$S {command} | true; exit ${{PIPESTATUS[0]}}");
        let closed = by_a_shell(&folder, &closed);
        let is_silent = closed.stderr.is_empty();
        assert!(closed.status.success() && is_silent, "{closed:?}");
    }
    // The result is the file: the line with its name is only a remark.
    for command in [
        "report a -o r.html",
        "plot a -o p.svg",
        "export a -o a.csv",
        "export --to tensorboard a",
    ] {
        let full = by_a_shell(&folder, &format!("$S {command} >/dev/full 2>/dev/full"));
        assert!(full.status.success(), "{command}");
    }
    let partly = by_a_shell(&folder, "$S table a nowhere 2>/dev/full");
    assert_eq!(partly.status.code(), Some(1));
    assert_eq!(text(&partly.stdout).lines().count(), 2);
    let failed = by_a_shell(&folder, "$S table nowhere >/dev/full 2>/dev/full");
    assert_eq!(failed.status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_stays_as_it_was() {
    let folder = Folder::new();
    folder.run("a", 50);
    for command in [
        "report a -o old.html",
        "plot a -o old.svg",
        "plot a -o old.png",
        "line a 1 -o old-line.svg",
        "export a -o old.csv",
    ] {
        let file = command.split(' ').next_back().unwrap();
        let path = folder.write(file, "old");
        // Files of 4 KiB at most.
        let script = format!("trap '' XFSZ; ulimit -f 4; $S {command}");
        let output = by_a_shell(&folder, &script);
        assert_eq!(output.status.code(), Some(2));
        assert_has(
            &text(&output.stderr),
            &format!("{file} cannot be written: "),
        );
        assert_eq!(fs::read_to_string(path).unwrap(), "old");
        let written = by_a_shell(&folder, &format!("$S {command}"));
        assert!(written.status.success());
    }
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 6);
}

#[test]
fn control_characters_in_names_reach_no_terminal_and_break_no_drawing() {
    let folder = Folder::new();
    let name = "bell\u{7}\u{1b}[31m\nred\u{9b}32m\u{202e}";
    let (task, shown) = (
        "a\u{1b}]0;title\u{7}\n\u{9b}1m",
        r"a\u001b]0;title\u0007\n\u009b1m",
    );
    let reason = r#""failed","reason":"not\u001b[2J\nso""#;
    let failed = line(5, "train", None).replace("\"no_increase\"", reason);
    let record = line(0, "train", Some(4.0)) + &line(0, task, Some(5.0)) + &failed;
    folder.write(&format!("{name}/measurements.jsonl"), record + "{\"\u{1b}");
    let run = folder.path(name);
    let svg = folder.path("p.svg");
    let [line, picture, page] = ["l.svg", "p.png", "r.html"].map(|name| folder.path(name));
    let (events, nowhere) = (folder.path("tb"), folder.path("no\u{1b}[31mwhere"));
    for arguments in [
        &["table", &run][..],
        &["table", "--format", "json", &run],
        &["csv", &run],
        &["csv", "--format", "json", &run],
        &["tail", "--no-follow", &run],
        &["tail", "--no-follow", "--format", "json", &run],
        &["diff", &run, &run],
        &["line", &run, "0", "--task", shown, "-o", &line],
        &["export", "--to", "tensorboard", &run, "-o", &events],
        &["plot", &run, "-o", &svg],
        &["plot", &run, "-o", &picture],
        &["report", &run, "-o", &page],
        &["table", &nowhere],
    ] {
        let output = sharpness(arguments);
        let lines = text(&output.stdout);
        let said = text(&output.stderr) + &lines;
        let is_control = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!said.contains(is_control), "{arguments:?}: {said:?}");
        let code = if said.contains("where") { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(code));
        if arguments.contains(&"json") {
            let values = serde_json::Deserializer::from_str(&lines);
            let mut values = values.into_iter::<serde_json::Value>();
            assert!(values.all(|value| value.is_ok()), "{lines}");
        }
    }
    let table = said(&["table", &run]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert_has(&table, r"bell\u0007\u001b[31m\nred");
    assert_has(&fs::read_to_string(svg).unwrap(), r"λ_c of a\u001b]0;title");
}

#[cfg(target_os = "linux")]
#[test]
fn a_record_may_come_by_a_pipe() {
    let folder = Folder::new();
    folder.run("a", 3);
    let commands = [("tail", 6), ("table", 2), ("csv", 7)];
    for (command, lines) in commands.into_iter().chain([("tail --no-follow", 6)]) {
        let script = format!("cat a/measurements.jsonl | timeout 20 $S {command} /dev/stdin");
        let output = by_a_shell(&folder, &script);
        assert!(output.status.success(), "{command}: {output:?}");
        let count = text(&output.stdout).lines().count();
        assert_eq!(count, lines, "{command}: {output:?}");
    }
    let report = by_a_shell(&folder, "$S report a -o /dev/stdout | grep -c '</html>'");
    assert_eq!(text(&report.stdout), "1\n");
}
