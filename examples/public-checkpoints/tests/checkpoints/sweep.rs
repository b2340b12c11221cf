use gpt::export::export;
use gpt::model::GptConfig;
use gpt::tokenizer::Tokenizer;
use public_checkpoints::checkpoint::Checkpoint;
use public_checkpoints::config::ModelConfig;
use public_checkpoints::probe::Search;
use public_checkpoints::record::{Record, Warming};
use public_checkpoints::report::Report;
use public_checkpoints::sweep::Sweep;
use public_checkpoints::text::{Drawing, Texts};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const CONTEXT: usize = 16;

/// Two checkpoints, the later one first. They are made once: tests share a random stream, which might give a repetition
/// other weights.
fn checkpoints(root: &Path) -> Vec<PathBuf> {
    let device = gpt::device::of_environment().unwrap().autodiff();
    let folders = [20, 3].map(|step| {
        let folder = root.join(format!("step{step}"));
        if folder.exists() {
            return folder;
        }
        device.seed(step);
        let config = GptConfig::new(256, CONTEXT, 1, 2, 16);
        export(&config.init(&device), &config, &Tokenizer::Bytes, &folder).unwrap();
        folder
    });
    folders.to_vec()
}

fn texts(root: &Path) -> Texts {
    let [prose, numbers] = ["prose.txt", "numbers.txt"].map(|name| root.join(name));
    let text = "the loss falls, and then it rises again. ".repeat(40);
    fs::write(&prose, text).unwrap();
    let text: String = (0..400).map(|n| format!("{n} ")).collect();
    fs::write(&numbers, text).unwrap();
    let tasks = [("numbers".to_string(), numbers)];
    Texts::read(Some(&prose), &tasks, "text", 100_000).unwrap()
}

fn sweep(root: &Path) -> Sweep {
    Sweep {
        texts: texts(root),
        drawing: Drawing {
            windows: 6,
            micro_batch: 6,
            ratio: 1.0,
            seed: 0,
        },
        context: None,
        warming: Warming {
            steps: 3,
            weight_decay: 0.0,
        },
        search: Search {
            tolerance: 1.0 / 64.0,
            verification: 0,
            interval: true,
        },
        device: gpt::device::of_environment().unwrap().autodiff(),
    }
}

fn run(sweep: &Sweep, root: &Path, out: &str) -> Vec<Value> {
    run_at(sweep, root, out, &[])
}

fn run_at(sweep: &Sweep, root: &Path, out: &str, rates: &[f64]) -> Vec<Value> {
    let out = root.join(out);
    fs::create_dir_all(&out).unwrap();
    let checkpoints = Checkpoint::open_all(&checkpoints(root), &[], rates).unwrap();
    let mut record = Record::create(&out).unwrap();
    let mut seen = Vec::new();
    sweep
        .run(&checkpoints, &mut record, |of, _| seen.push(of.step))
        .unwrap();
    assert_eq!(seen, [3, 20]);
    let record = fs::read_to_string(out.join("measurements.jsonl")).unwrap();
    let lines = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn tasks(lines: &[Value]) -> Vec<(u64, &str)> {
    let lines = lines.iter();
    let tasks = lines.map(|line| (line["step"].as_u64(), line["task"].as_str()));
    tasks
        .map(|(step, task)| (step.unwrap(), task.unwrap()))
        .collect()
}

fn critical_lrs(lines: &[Value]) -> Vec<f64> {
    let rates = lines.iter().map(|line| line["critical_lr"].as_f64());
    rates
        .collect::<Option<_>>()
        .expect("critical learning rates")
}

#[test]
fn each_checkpoint_gives_a_line_for_each_direction_and_task() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let lines = run(&sweep(root), root, "out");
    let of = |step| ["gradient", "train", "numbers"].map(|task| (step, task));
    assert_eq!(tasks(&lines), [of(3), of(20)].concat());
    assert_eq!(lines[1]["warm_steps"], 3);
    assert_eq!(lines[1]["direction"], "adamw");
    assert_eq!(lines[0]["warm_steps"], Value::Null);
    // The start of the search must not appear as a learning rate.
    assert!(lines.iter().all(|line| line["learning_rate"].is_null()));

    let report = Report::open(&root.join("out"), Some(&root.join("out"))).unwrap();
    report.save(root).unwrap();
    let table = fs::read_to_string(root.join("checkpoints.txt")).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    for heading in ["λ_c numbers, AdamW", "λ_c in out"] {
        assert!(rows[0].contains(heading), "{table}");
    }
    assert!(rows[1].trim_start().starts_with("3 "), "{table}");
    assert!(root.join("checkpoints.svg").exists());
    let again = Record::create(&root.join("out"));
    assert!(again.is_err(), "a record is not written over");
}

#[test]
fn micro_batches_change_memory_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let whole = run(&sweep(root), root, "whole");
    let mut in_parts = sweep(root);
    in_parts.drawing.micro_batch = 4;
    let in_parts = run(&in_parts, root, "parts");
    let (whole, in_parts) = (critical_lrs(&whole), critical_lrs(&in_parts));
    for (whole, in_parts) in whole.into_iter().zip(in_parts) {
        assert!((whole / in_parts - 1.0).abs() < 0.02, "{whole} {in_parts}");
    }
}

#[test]
fn a_mix_is_measured_on_both_of_its_texts() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let mut sweep = sweep(root);
    sweep.drawing.ratio = 0.5;
    let lines = run(&sweep, root, "out");
    let of_first = ["gradient", "train", "data", "numbers"].map(|task| (3, task));
    assert_eq!(tasks(&lines)[..4], of_first);
    let loss = |index: usize| lines[index]["base_loss"].as_f64().unwrap();
    let (low, high) = (loss(2).min(loss(3)), loss(2).max(loss(3)));
    assert!(low - 0.1 < loss(1) && loss(1) < high + 0.1);
    assert_eq!(lines[0]["base_loss"], lines[1]["base_loss"]);
}

#[test]
fn warming_at_a_rate_moves_the_weights_and_none_is_the_first_update() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let losses = |steps: u64, rate: f64, out: &str| {
        let mut sweep = sweep(root);
        sweep.warming.steps = steps;
        // Each of the steps 20 and 3 must keep its own rate.
        let lines = run_at(&sweep, root, out, &[0.0, rate]);
        let of_last = &lines[lines.len() / 2..];
        assert_eq!(of_last[0]["base_loss"], of_last[1]["base_loss"]);
        let in_use = (steps > 0 && rate > 0.0).then_some(rate);
        assert_eq!(lines[1]["learning_rate"].as_f64(), in_use);
        let loss = |index: usize| lines[index]["base_loss"].as_f64().unwrap();
        let norm = lines[1]["update_norm"].as_f64().unwrap();
        (loss(0), loss(1), norm)
    };
    let (published, still, _) = losses(3, 0.0, "still");
    assert_eq!(published, still);
    let (_, moved, _) = losses(3, 1e-2, "moved");
    assert!(moved < published - 0.01, "{moved} {published}");
    // AdamW's first update is ±1 for each parameter with a gradient.
    let (_, first, norm) = losses(0, 0.0, "first");
    assert_eq!(published, first);
    let parameters = (256 * 16 + CONTEXT * 16 + 12 * 16 * 16) as f64;
    let share = norm / parameters.sqrt();
    assert!(share > 0.2 && share < 1.1, "{norm}");
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let folders = checkpoints(root);
    let texts = texts(root);
    let vocab = ModelConfig::open(&folders[0]).unwrap().vocab();
    assert!(texts.windows(&folders[0], vocab, CONTEXT).is_ok());
    let refused = |vocab, context| {
        let error = texts.windows(&folders[0], vocab, context).err().unwrap();
        format!("{error:#}")
    };
    let error = refused(255, CONTEXT);
    let is_told = error.contains("up to 255") && error.contains("255 only");
    assert!(is_told, "{error}");
    assert!(refused(256, 100_000).contains("too few"));
}
