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
use flags::{BaseFlags, Flags, Mode};
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
    match flags.mode {
        Mode::Sweep(flags) => {
            flags.validate()?;
            flags.base.validate(matches)?;
            let owned = folder(&flags.base)?;
            let out = owned.path();
            let base = Base::new(&flags.base)?;
            let ratios = (0..=flags.ratios).map(|step| step as f64 / flags.ratios as f64);
            let sweep = sweep::measure(&base, &ratios.collect::<Vec<_>>(), &flags.probe)?;
            sweep.save(out)?;
            say!("\n{sweep}");
            say!("written to {}", out.display());
            sweep.verdict()?;
        }
        Mode::Train(flags) => {
            flags.validate()?;
            flags.base.validate(matches)?;
            let owned = folder(&flags.base)?;
            let out = owned.path();
            let base = Base::new(&flags.base)?;
            let sweep = sweep::measure(&base, &flags.ratios, &flags.probe)?;
            sweep.save(out)?;
            let grid = grid::train(&base, &flags.ratios, &flags.rates, flags.steps, flags.lost);
            let grid = grid?;
            grid.save(out, &sweep)?;
            say!("\n{sweep}");
            say!("{}", grid.table(&sweep));
            say!("written to {}", out.display());
            sweep.verdict()?;
        }
    }
    Ok(())
}

fn folder(flags: &BaseFlags) -> Result<OwnedFolder> {
    OwnedFolder::for_results(flags.out.as_deref(), "gpt-midtrain", sweep::SWEEP_FILE)
}
