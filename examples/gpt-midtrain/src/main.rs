//! Chooses a data mix and a learning rate for mid-training.
//!
//! ```sh
//! cargo run -p gpt-midtrain -- sweep
//! cargo run -p gpt-midtrain -- train
//! ```

mod base;
mod flags;
mod grid;
mod mix;
mod point;
mod sweep;
mod sweet_spot;

use anyhow::Result;
use base::Base;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use flags::{Flags, Mode};
use gpt::folder::OwnedFolder;
use gpt::run::exit_code;
use gpt::say;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit_code(run(&Flags::command().get_matches()))
}

fn run(matches: &ArgMatches) -> Result<()> {
    let flags = Flags::from_arg_matches(matches)?;
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let (base, probe, ratios) = match &flags.mode {
        Mode::Sweep(flags) => {
            flags.validate()?;
            let ratios = (0..=flags.ratios).map(|step| step as f64 / flags.ratios as f64);
            (&flags.base, &flags.probe, ratios.collect())
        }
        Mode::Train(flags) => {
            flags.validate()?;
            (&flags.base, &flags.probe, flags.ratios.clone())
        }
    };
    base.validate(matches)?;
    let out = base.out.as_deref();
    let owned = OwnedFolder::for_results(out, "gpt-midtrain", sweep::SWEEP_FILE)?;
    let out = owned.path();
    let base = Base::new(base)?;
    let sweep = sweep::measure(&base, &ratios, probe)?;
    sweep.save(out)?;
    let mut said = format!("\n{sweep}");
    if let Mode::Train(flags) = &flags.mode {
        let grid = grid::train(&base, &ratios, &flags.rates, flags.steps, flags.lost)?;
        grid.save(out, &sweep)?;
        said += &format!("\n{}", grid.table(&sweep));
    }
    say!("{said}");
    say!("written to {}", out.display());
    sweep.verdict()
}
