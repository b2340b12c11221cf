use gpt::export::export;
use gpt::model::GptConfig;
use gpt::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A text, and a checkpoint in `step-30` with byte pairs of this text.
fn setting() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let text = "The loss falls, and then it rises again.\n".repeat(400);
    fs::write(root.path().join("text.txt"), &text).unwrap();
    let tokenizer = Tokenizer::train(&text, 280).unwrap();
    let device = gpt::device::of_environment().unwrap().autodiff();
    let config = GptConfig::new(280, 16, 1, 2, 16);
    let folder = root.path().join("step-30");
    export(&config.init(&device), &config, &tokenizer, &folder).unwrap();
    root
}

fn copy(root: &Path, name: &str) {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(root.join("step-30")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
}

fn run(root: &Path, arguments: &str) -> Output {
    let script = format!("$P --data text.txt {arguments}; exit ${{PIPESTATUS[0]}}");
    Command::new("bash")
        .args(["-c", &script])
        .env("P", env!("CARGO_BIN_EXE_public-checkpoints"))
        .current_dir(root)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

fn steps(root: &Path, out: &str) -> Vec<u64> {
    let table = fs::read_to_string(root.join(out).join("checkpoints.txt")).unwrap();
    let rows = table.lines().skip(1);
    let steps = rows.map(|row| row.split_whitespace().next().unwrap().parse());
    steps.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_sweep_needs_no_output() {
    let root = setting();
    let root = root.path();
    copy(root, "step-40");
    for (out, redirected) in [
        ("closed", "| head -n 1"),
        ("full", ">/dev/full 2>/dev/full"),
    ] {
        let output = run(root, &format!("step-* --out {out} {redirected}"));
        assert!(output.status.success(), "{}", said(&output));
        assert!(output.stderr.is_empty(), "{}", said(&output));
        assert_eq!(steps(root, out), [30, 40]);
    }
}

#[test]
fn what_was_measured_before_a_failure_is_a_result() {
    let root = setting();
    let root = root.path();
    copy(root, "step-40");
    // The program notices a tokenizer with more tokens than the model at its turn.
    let path = root.join("step-40/tokenizer.json");
    let json = fs::read_to_string(&path).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&json).unwrap();
    tokenizer["model"]["vocab"]["one more"] = json!(280);
    tokenizer["model"]["dropout"] = json!(0.5);
    fs::write(&path, tokenizer.to_string()).unwrap();
    let output = run(root, "step-* --out out");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("error: the vocabularies do not match"));
    assert!(said(&output).contains("step-40/tokenizer.json asks for dropout"));
    assert_eq!(steps(root, "out"), [30]);
}

#[test]
fn names_tell_steps_or_the_steps_are_asked_for() {
    let root = setting();
    let root = root.path();
    for name in [
        "stage1-step100000-tokens210B",
        "stage1-step1,907,359-tokens4001B",
        "stage2-ingredient1-step1000-tokens3B",
    ] {
        copy(root, name);
    }
    let one_stage = run(root, "stage1* --out one");
    assert!(one_stage.status.success(), "{}", said(&one_stage));
    assert_eq!(steps(root, "one"), [100_000, 1_907_359]);
    let both = run(root, "stage* --out both");
    assert_eq!(both.status.code(), Some(1));
    let error = said(&both);
    assert!(error.contains("counted from different beginnings") && error.contains("give --step"));
    assert!(!root.join("both").exists());
    let told = run(root, "stage* --step 100k,1907359,1.908359M --out told");
    assert!(told.status.success(), "{}", said(&told));
    assert_eq!(steps(root, "told"), [100_000, 1_907_359, 1_908_359]);

    std::os::unix::fs::symlink("step-30", root.join("latest")).unwrap();
    let linked = run(root, "latest/ step-30 --out linked");
    assert!(linked.status.success(), "{}", said(&linked));
    assert!(said(&linked).contains("latest/ leads to step-30, which is given as well"));
    assert_eq!(steps(root, "linked"), [30]);
}
