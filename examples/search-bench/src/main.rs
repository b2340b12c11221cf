//! Compares the guided search with the published estimator, and measures the memory of a probe.
//!
//! ```sh
//! cargo run -p search-bench
//! ```

mod contest;
mod lines;
mod memory;
mod pass;
mod picture;
mod process;
mod reference;
mod size;
mod statistics;
mod table;
mod workload;

use anyhow::Result;
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use contest::contest;
use gpt::model::Gpt;
use gpt::run::{exit_code, write_whole};
use gpt::small::{Examples, FullyConnected};
use gpt::terminal::print;
use gpt::tokens::TokenBatch;
use std::path::PathBuf;
use std::process::ExitCode;
use table::{Row, markdown};
use workload::Workload;

/// Compare the searches for the critical learning rate on the same steps of real training.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Steps of the GPT's training
    #[arg(long, default_value_t = 600)]
    gpt_steps: usize,
    /// Steps between measurements of the GPT, each made by every method
    #[arg(long, default_value_t = 8)]
    gpt_every: u64,
    /// Windows of text in a batch of the GPT
    #[arg(long, default_value_t = 16)]
    gpt_batch: usize,
    /// Steps of the other networks' trainings, each measured by every method
    #[arg(long, default_value_t = 600)]
    steps: usize,
    /// Run only these workloads
    #[arg(long, value_enum)]
    only: Vec<WorkloadName>,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex")]
    device: String,
    /// Print an array of objects instead of a table
    #[arg(long)]
    json: bool,
    /// Record the lines f(η) of the steps of the GPT and of the fully connected networks to this file instead
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Draw one search on one line of the GPT's training, as SVG, to this file instead
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Write the GPT's first weights, batches and measurements for scripts/published.py to this folder instead
    #[arg(long, value_name = "FOLDER")]
    reference: Option<PathBuf>,
    /// Print the time and memory of a step and a measurement of the GPT instead
    #[arg(long)]
    size: bool,
    #[command(flatten)]
    shape: size::Shape,
    /// Train in this process, with a probe or without, and print what that takes (used internally)
    #[arg(long, value_enum, hide = true)]
    taken: Option<process::Probe>,
    /// What that process trains, instead of the GPT (used internally)
    #[arg(long, value_enum, hide = true, requires = "taken")]
    memory_of: Option<memory::Training>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorkloadName {
    Gpt,
    Full,
    Momentum,
    Dropout,
    Convolutional,
    Memory,
    /// An evaluation of the probe against a forward pass of the GPT
    Pass,
}

impl Flags {
    fn wants(&self, name: WorkloadName) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }

    fn gpt(&self) -> Result<Workload<Gpt, TokenBatch>> {
        let shape = self.shape.config()?;
        let (steps, every) = (self.gpt_steps, self.gpt_every);
        workload::gpt(steps, every, self.gpt_batch, &shape, &self.device()?)
    }

    /// A quarter of the steps, and two thirds of the measurements.
    fn gpt_with_dropout(&self) -> Result<Workload<Gpt, TokenBatch>> {
        let shape = self.shape.config()?.with_dropout(0.1);
        let (steps, every) = (self.gpt_steps.div_ceil(4), self.gpt_every.div_ceil(3));
        workload::gpt(steps, every, self.gpt_batch, &shape, &self.device()?)
    }

    fn fully_connected(&self, full_batch: bool) -> Result<Workload<FullyConnected, Examples<2>>> {
        let device = self.device()?;
        Ok(workload::fully_connected(self.steps, full_batch, &device))
    }

    fn device(&self) -> Result<Device> {
        gpt::device::open(&self.device)
    }
}

fn main() -> ExitCode {
    exit_code(run(&Flags::parse()))
}

fn run(flags: &Flags) -> Result<()> {
    if let Some(probe) = flags.taken {
        return match flags.memory_of {
            Some(training) => process::tell(training.workload(&flags.device()?), probe),
            None => process::tell(flags.gpt()?, probe),
        };
    }
    if flags.size {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        return size::compare(&flags.device, &arguments);
    }
    if let Some(folder) = &flags.reference {
        let (shape, device) = (flags.shape.config()?, flags.device()?);
        return reference::write(&shape, || flags.gpt(), &device, &flags.device, folder);
    }
    if let Some(path) = &flags.lines {
        let json = serde_json::to_string(&record(flags)?)?;
        return write_whole(path, json.as_bytes());
    }
    if let Some(path) = &flags.picture {
        return write_whole(path, picture::draw(flags.gpt()?)?.as_bytes());
    }
    let rows = rows(flags)?;
    let results = match flags.json {
        true => serde_json::to_string_pretty(&rows)? + "\n",
        false => markdown(&rows),
    };
    Ok(print(&results)?)
}

fn rows(flags: &Flags) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let begins = |name: WorkloadName, said: &str| {
        let begins = flags.wants(name);
        begins.then(|| gpt::warn!("{said} …"));
        begins
    };
    if begins(WorkloadName::Gpt, "gpt") {
        rows.extend(contest(flags.gpt()?)?);
    }
    if begins(WorkloadName::Full, "full batch") {
        rows.extend(contest(flags.fully_connected(true)?)?);
    }
    if begins(WorkloadName::Momentum, "momentum") {
        rows.extend(contest(flags.fully_connected(false)?)?);
    }
    if begins(WorkloadName::Dropout, "gpt with dropout") {
        rows.extend(contest(flags.gpt_with_dropout()?)?);
    }
    if begins(WorkloadName::Convolutional, "convolutional") {
        let steps = flags.steps.div_ceil(3);
        rows.extend(contest(workload::convolutional(steps, &flags.device()?))?);
    }
    let mut rows: Vec<Row> = rows.into_iter().map(Row::Search).collect();
    if begins(WorkloadName::Memory, "memory") {
        let memory = memory::rows(&flags.device);
        rows.extend(memory.into_iter().map(Row::Memory));
    }
    if flags.only.contains(&WorkloadName::Pass) {
        gpt::warn!("passes …");
        let passes = pass::rows(|| flags.gpt(), &flags.device)?;
        rows.extend(passes.into_iter().map(Row::Pass));
    }
    Ok(rows)
}

fn record(flags: &Flags) -> Result<Vec<lines::Line>> {
    let mut recorded = Vec::new();
    if flags.wants(WorkloadName::Gpt) {
        recorded.extend(lines::record(flags.gpt()?)?);
    }
    if flags.wants(WorkloadName::Full) {
        recorded.extend(lines::record(flags.fully_connected(true)?)?);
    }
    if flags.wants(WorkloadName::Momentum) {
        recorded.extend(lines::record(flags.fully_connected(false)?)?);
    }
    Ok(recorded)
}
