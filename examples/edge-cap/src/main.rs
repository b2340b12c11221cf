//! Trains networks with and without an edge cap, from rates below the ceiling to far above it.
//!
//! ```sh
//! cargo run -p edge-cap -- runs/edge-cap --only small-gpt
//! ```

mod alarm;
mod network;
mod results;
mod training;

use anyhow::{Context, Result};
use clap::Parser;
use gpt::run::{exit_code, write_result};
use gpt::terminal::print;
use network::Network;
use results::{Results, figures, table};
use std::path::PathBuf;
use std::process::ExitCode;
use training::{Outcome, Run, Treatment, train};

/// Train networks with and without an edge cap, side by side.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The folder of the results; a run with a result there is not repeated
    folder: PathBuf,
    /// The networks [default: all]
    #[arg(long, value_enum)]
    only: Vec<Network>,
    /// Peak learning rates, in parts of the network's tuned one
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 2.0, 4.0])]
    peaks: Vec<f64>,
    /// Edge caps, in parts of η_c
    #[arg(long, value_delimiter = ',', default_values_t = [0.3, 1.0])]
    caps: Vec<f64>,
    /// Norms for gradient clipping, a treatment instead of a cap
    #[arg(long, value_delimiter = ',', default_values_t = [1.0])]
    clips: Vec<f32>,
    /// Seeds, from 0 on
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Updates of a run [default: the network's]
    #[arg(long)]
    steps: Option<u64>,
    /// Measure only one step in so many while no step is near the cap [default: each]
    #[arg(long)]
    every: Option<u64>,
    /// Skip the longer runs, which have no cap but make as many forward passes as a run with a cap
    #[arg(long)]
    no_longer: bool,
    /// No warmup
    #[arg(long)]
    no_warmup: bool,
    /// Study instead how early the alarm comes: short runs, some with faults that break them
    #[arg(long)]
    alarm: bool,
    /// Print the table of the results in the folder, and train nothing
    #[arg(long)]
    table: bool,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex")]
    device: String,
}

fn main() -> ExitCode {
    exit_code(run(&Flags::parse()))
}

fn run(flags: &Flags) -> Result<()> {
    if flags.alarm {
        let device = gpt::device::open(&flags.device)?;
        return Ok(print(&alarm::study(&flags.folder, &device, !flags.table)?)?);
    }
    let mut results = Results::open(&flags.folder, "results.jsonl")?;
    if !flags.table {
        for run in runs(flags) {
            train_once(&run, flags, &mut results)?;
            // A run without the cap spends the cost of this run's cap on more steps.
            if !flags.no_longer
                && let Treatment::Cap(cap) = run.treatment
                && let Some(capped) = results.find(&run)
            {
                let steps = capped.forward_equivalents().ceil() as u64 / training::STEP_COST;
                let treatment = Treatment::Longer { cap, steps };
                train_once(&Run { treatment, ..run }, flags, &mut results)?;
            }
        }
    }
    for (network, svg) in figures(results.all())? {
        write_result(&flags.folder, &format!("{network}.svg"), svg)?;
    }
    Ok(print(&table(results.all()))?)
}

fn train_once(run: &Run, flags: &Flags, results: &mut Results<Outcome>) -> Result<()> {
    if results.find(run).is_none() {
        let device = gpt::device::open(&flags.device)?;
        gpt::warn!("{run} …");
        let result = train(run, &device).with_context(|| run.to_string())?;
        results.push(result)?;
    }
    Ok(())
}

/// The length of the longer runs depends on the cost of these.
fn runs(flags: &Flags) -> Vec<Run> {
    let networks = match flags.only.is_empty() {
        true => &Network::ALL[..],
        false => &flags.only,
    };
    let mut treatments = vec![Treatment::None];
    treatments.extend(flags.caps.iter().map(|cap| Treatment::Cap(*cap)));
    treatments.extend(flags.clips.iter().map(|norm| Treatment::Clip(*norm)));
    let mut runs = Vec::new();
    for &network in networks {
        for &peak in &flags.peaks {
            for &treatment in &treatments {
                let is_capped = matches!(treatment, Treatment::Cap(_));
                runs.extend((0..flags.seeds).map(|seed| Run {
                    network,
                    peak,
                    treatment,
                    seed,
                    steps: flags.steps.unwrap_or(network.steps()),
                    has_warmup: !flags.no_warmup,
                    every: flags.every.filter(|_| is_capped),
                }));
            }
        }
    }
    runs
}
