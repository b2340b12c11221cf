//! Measures critical sharpness at published checkpoints of GPT-2 and OLMo-2.
//!
//! ```sh
//! cargo run -p public-checkpoints -- FOLDER…
//! ```

use anyhow::{Result, ensure};
use burn_sharpness::SharpnessConfig;
use clap::Parser;
use gpt::flags::{at_least_one, not_below_0};
use gpt::folder::OwnedFolder;
use gpt::run::{exit_code, write_result};
use gpt::say;
use public_checkpoints::checkpoint::Checkpoint;
use public_checkpoints::name;
use public_checkpoints::probe::Search;
use public_checkpoints::record::{GRADIENT_TASK, Line, Record, Warming};
use public_checkpoints::report::Report;
use public_checkpoints::sweep::Sweep;
use public_checkpoints::text::{DATA_TASK, Drawing, Texts, parse_task};
use serde::Serialize;
use sharpness_record::shown::number;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure critical sharpness at published checkpoints of GPT-2 and OLMo-2: along the gradient, and along AdamW's next
/// update. Each folder holds config.json, model.safetensors (or its shards and their index) and tokenizer.json.
/// Nothing is downloaded.
#[derive(Parser, Serialize)]
#[command(version)]
struct Flags {
    /// Folders of checkpoints
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// The steps of the checkpoints, one for each folder [default: from the folders' names]
    #[arg(long, value_delimiter = ',', value_name = "STEPS", value_parser = name::parse)]
    step: Vec<u64>,
    /// Folder for the record, the table and the chart [default: the first free runs/public-checkpoints-N]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Folder of the run with these checkpoints, to show its measurements from training beside the others
    #[arg(long, value_name = "FOLDER")]
    beside: Option<PathBuf>,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex")]
    device: String,

    /// The text for the updates: a file, or a folder of files, as in gpt-pretrain [default: the
    /// documentation of the packages in Cargo.lock]
    #[arg(long, value_name = "PATH", help_heading = "Text")]
    data: Option<PathBuf>,
    /// The field of a record that holds its text, with dots into nested records
    #[arg(long, value_name = "NAME", default_value = gpt::text::TEXT_FIELD, help_heading = "Text")]
    text_field: String,
    /// Another text, to measure its loss along AdamW's update, too; may be repeated
    #[arg(
        long = "task",
        value_name = "NAME=PATH",
        value_parser = parse_task,
        help_heading = "Text"
    )]
    tasks: Vec<(String, PathBuf)>,
    /// Fraction of the update's windows that come from --data; the others come from the tasks
    #[arg(
        long,
        default_value_t = 1.0,
        allow_negative_numbers = true,
        help_heading = "Text"
    )]
    ratio: f64,
    /// The most of each text to read, in millions of bytes
    #[arg(long, default_value_t = 2, help_heading = "Text")]
    megabytes: usize,
    /// Windows of text in a batch
    #[arg(long, default_value_t = 8, help_heading = "Text")]
    batch: usize,
    /// Windows in memory at a time [default: --batch]
    #[arg(long, help_heading = "Text")]
    micro_batch: Option<usize>,
    /// Tokens of a window [default: the model's limit, but at most 512]
    #[arg(long, help_heading = "Text")]
    context: Option<usize>,
    /// Seed of the windows' places
    #[arg(long, default_value_t = 0, help_heading = "Text")]
    seed: u64,

    /// Steps that make AdamW's moments, since none are published; with 0, its first update is
    /// measured [default: 20 with --warm-rate, 0 without]
    #[arg(long, help_heading = "Measurement")]
    warm: Option<u64>,
    /// Learning rate of those steps, one for all checkpoints or one for each folder: the training's, if it
    /// is known; at 0 the weights stay as published
    #[arg(
        long,
        value_delimiter = ',',
        allow_negative_numbers = true,
        value_name = "RATES",
        help_heading = "Measurement"
    )]
    warm_rate: Vec<f64>,
    /// Decoupled weight decay of AdamW
    #[arg(
        long,
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Measurement"
    )]
    weight_decay: f32,
    /// Relative width of a certified bracket
    #[arg(
        long,
        default_value_t = SharpnessConfig::DEFAULT_TOLERANCE,
        allow_negative_numbers = true,
        help_heading = "Measurement"
    )]
    tolerance: f64,
    /// Evaluations per search to look for an earlier rise of the loss
    #[arg(long, default_value_t = 0, help_heading = "Measurement")]
    verify: usize,
}

const CONFIG_FILE: &str = "config.json";

#[derive(Serialize)]
struct SweepConfig<'a> {
    flags: &'a Flags,
    texts: Vec<(String, String)>,
}

impl Flags {
    fn validate(&self) -> Result<()> {
        at_least_one(&[
            ("--batch", self.batch as u64),
            ("--micro-batch", self.micro_batch() as u64),
            ("--context", self.context.unwrap_or(1) as u64),
            ("--megabytes", self.megabytes as u64),
        ])?;
        let warm = self.warm();
        ensure!(
            warm == 0 || !self.warm_rate.is_empty(),
            "--warm is {warm}, but there is no --warm-rate: give the training's, or 0 to leave the weights as published"
        );
        for rate in &self.warm_rate {
            not_below_0("--warm-rate", *rate)?;
        }
        not_below_0("--weight-decay", self.weight_decay)?;
        let ratio = self.ratio;
        ensure!(
            (0.0..=1.0).contains(&ratio),
            "--ratio is {ratio}, but must be a fraction between 0 and 1"
        );
        ensure!(
            ratio == 1.0 || !self.tasks.is_empty(),
            "--ratio is {ratio}, but there is no --task that the other windows could come from"
        );
        for (name, _) in &self.tasks {
            ensure!(
                ![DATA_TASK, GRADIENT_TASK].contains(&name.as_str()),
                "a task cannot be named {name}: the record uses this name itself"
            );
        }
        let names: Vec<String> = self.tasks.iter().map(|(name, _)| name.clone()).collect();
        self.search().validate(&names)
    }

    fn warm(&self) -> u64 {
        let default = if self.warm_rate.is_empty() { 0 } else { 20 };
        self.warm.unwrap_or(default)
    }

    fn micro_batch(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch)
    }

    fn search(&self) -> Search {
        Search {
            tolerance: self.tolerance,
            verification: self.verify,
            interval: true,
        }
    }
}

fn main() -> ExitCode {
    exit_code(run(&Flags::parse()))
}

fn run(flags: &Flags) -> Result<()> {
    flags.validate()?;
    let checkpoints = Checkpoint::open_all(&flags.folders, &flags.step, &flags.warm_rate)?;
    if let Some(run) = &flags.beside {
        sharpness_report::Run::open(run)?;
    }
    let device = gpt::device::open(&flags.device)?.autodiff();
    let limit = flags.megabytes.saturating_mul(1_000_000);
    let (data, field) = (flags.data.as_deref(), &flags.text_field);
    let texts = Texts::read(data, &flags.tasks, field, limit)?;
    for (name, text) in texts.describe() {
        say!("text    {name}: {text}");
    }

    let owned = OwnedFolder::for_results(flags.out.as_deref(), "public-checkpoints", CONFIG_FILE)?;
    let out = owned.path();
    let mut record = Record::create(out)?;
    let config = SweepConfig {
        flags,
        texts: texts.describe(),
    };
    write_result(out, CONFIG_FILE, serde_json::to_string_pretty(&config)?)?;
    let sweep = Sweep {
        texts,
        drawing: Drawing {
            windows: flags.batch,
            micro_batch: flags.micro_batch(),
            ratio: flags.ratio,
            seed: flags.seed,
        },
        context: flags.context,
        warming: Warming {
            steps: flags.warm(),
            weight_decay: flags.weight_decay,
        },
        search: flags.search(),
        device,
    };
    let mut seen = 0;
    let swept = sweep.run(&checkpoints, &mut record, |checkpoint, lines| {
        seen += 1;
        say!("step {:>8}  {}", checkpoint.step, progress(lines));
    });
    if seen == 0 {
        return swept;
    }
    // Measurements before a failure are a result, too.
    let report = Report::open(out, flags.beside.as_deref())?;
    let saved = report.save(out);
    say!("\n{}", report.table().trim_end());
    swept.and(saved)?;
    say!("written to {}", out.display());
    Ok(())
}

fn progress(lines: &[Line]) -> String {
    let lines = lines.iter().map(|line| {
        let measurement = &line.measurement;
        let value = match (measurement.critical_sharpness, &measurement.reason) {
            (Some(value), _) => format!("λ_c {}", number(value)),
            (None, Some(reason)) => reason.clone(),
            (None, None) => measurement.outcome.name().to_string(),
        };
        format!("{} {value}", measurement.task)
    });
    lines.collect::<Vec<_>>().join("  ")
}
