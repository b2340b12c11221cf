//! Shows progressive sharpening and the Edge of Stability, by critical sharpness and by the quantities that
//! it stands for.
//!
//! ```sh
//! cargo run -p edge-of-stability
//! cargo run -p edge-of-stability -- --preset gpt
//! ```
//!
//! The first command trains a network by gradient descent in burn's dashboard: λ_c jumps to 2/η and stays.

mod data;
mod descent;
mod flags;
mod network;
mod pretraining;
mod record;
mod training;

use anyhow::Result;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use flags::{Flags, Preset};
use gpt::folder::OwnedFolder;
use gpt::run::exit_code;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit_code(run(&Flags::command().get_matches()))
}

fn run(matches: &ArgMatches) -> Result<()> {
    let flags = Flags::from_arg_matches(matches)?;
    flags.validate(matches)?;
    let name = "edge-of-stability";
    let out = OwnedFolder::for_results(flags.out.as_deref(), name, record::SUMMARY_FILE)?;
    match flags.preset {
        Preset::Network => descent::run(&flags, out.path()),
        Preset::Gpt => pretraining::run(&flags, out.path()),
    }
}
