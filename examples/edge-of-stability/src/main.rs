//! Shows progressive sharpening and the Edge of Stability.
//!
//! ```sh
//! cargo run -p edge-of-stability
//! ```

mod data;
mod descent;
mod flags;
mod record;
mod stochastic;
mod training;

use anyhow::Result;
use clap::Parser;
use flags::Flags;
use gpt::folder::OwnedFolder;
use gpt::run::exit_code;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit_code(run(&Flags::parse()))
}

fn run(flags: &Flags) -> Result<()> {
    flags.validate()?;
    let name = "edge-of-stability";
    let out = OwnedFolder::for_results(flags.out.as_deref(), name, record::SUMMARY_FILE)?;
    if flags.stochastic {
        return stochastic::run(flags, out.path());
    }
    descent::run(flags, out.path())
}
