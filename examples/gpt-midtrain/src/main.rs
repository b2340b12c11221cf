//! Chooses a data mix and a learning rate for mid-training: a GPT that was pre-trained on one kind of
//! text goes on with a mix of that and another kind.
//!
//! ```sh
//! cargo run -p gpt-midtrain -- sweep
//! cargo run -p gpt-midtrain -- train
//! ```

mod base;
mod grid;
mod mix;
mod sweep;

use anyhow::{Result, ensure};
use base::{Base, BaseFlags};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use gpt::run::exit_code;
use gpt::say;
use std::process::ExitCode;

/// Choose a data mix and a learning rate for mid-training by relative critical sharpness: how large
/// a learning rate the loss on the pre-training text, and that on the target text, allow along the
/// updates that training on a mix makes.
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// At the fixed checkpoint, measure both tasks along the updates of mixes from all target to all
    /// pre-training text; nothing is trained
    Sweep(SweepFlags),
    /// Train shortly on a grid of mixes and learning rates, and compare with what the sweep predicts
    Train(TrainFlags),
}

#[derive(Args)]
struct SweepFlags {
    #[command(flatten)]
    base: BaseFlags,
    #[command(flatten)]
    probe: ProbeFlags,
    /// Steps from one mix to the next: with 10, the fractions 0, 0.1 … 1
    #[arg(long, default_value_t = 10)]
    ratios: usize,
}

#[derive(Args)]
struct TrainFlags {
    #[command(flatten)]
    base: BaseFlags,
    #[command(flatten)]
    probe: ProbeFlags,
    /// Fractions of pre-training text
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.25, 0.5, 0.75, 1.0])]
    ratios: Vec<f64>,
    /// Learning rates
    #[arg(long, value_delimiter = ',', default_values_t = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1])]
    rates: Vec<f64>,
    /// Updates of each short training
    #[arg(long, default_value_t = 40)]
    steps: usize,
    /// The rise of a task's held-out loss, in nats, from which on its skill counts as lost
    #[arg(long, default_value_t = 0.05)]
    lost: f64,
}

/// How the tasks are measured.
#[derive(Args, Clone, Debug)]
pub struct ProbeFlags {
    /// Batches that each mix is measured on
    #[arg(long, default_value_t = 8)]
    batches: usize,
    /// Batches at the fixed weights that the optimizer's moments are made of before the first
    /// measurement of a mix
    #[arg(long, default_value_t = 20)]
    settle: usize,
    /// Relative width of a certified bracket
    #[arg(long, default_value_t = 0.0625, allow_negative_numbers = true)]
    tolerance: f64,
}

fn main() -> ExitCode {
    exit_code(run(&Flags::command().get_matches()))
}

fn run(matches: &ArgMatches) -> Result<()> {
    let flags = Flags::from_arg_matches(matches)?;
    // The flags of the mode.
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    match flags.mode {
        Mode::Sweep(flags) => {
            ensure!(flags.ratios > 0, "--ratios is 0, but must be at least 1");
            flags.probe.validate()?;
            flags.base.validate(matches)?;
            let owned = flags.base.folder()?;
            let out = owned.path();
            let base = Base::new(&flags.base)?;
            let ratios = (0..=flags.ratios).map(|step| step as f64 / flags.ratios as f64);
            let sweep = sweep::measure(&base, &ratios.collect::<Vec<_>>(), &flags.probe)?;
            sweep.save(out)?;
            say!("\n{sweep}");
            say!("written to {}", out.display());
        }
        Mode::Train(flags) => {
            flags.validate()?;
            flags.base.validate(matches)?;
            let owned = flags.base.folder()?;
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
        }
    }
    Ok(())
}

impl ProbeFlags {
    fn validate(&self) -> Result<()> {
        ensure!(self.batches > 0, "--batches is 0, but must be at least 1");
        Ok(())
    }
}

impl TrainFlags {
    fn validate(&self) -> Result<()> {
        self.probe.validate()?;
        let is_rising = |values: &[f64]| values.windows(2).all(|pair| pair[0] < pair[1]);
        ensure!(
            !self.ratios.is_empty()
                && is_rising(&self.ratios)
                && self.ratios.iter().all(|ratio| (0.0..=1.0).contains(ratio)),
            "--ratios must be rising fractions between 0 and 1, such as 0,0.5,1"
        );
        ensure!(
            !self.rates.is_empty()
                && is_rising(&self.rates)
                && self
                    .rates
                    .iter()
                    .all(|rate| *rate > 0.0 && rate.is_finite()),
            "--rates must be rising learning rates above 0, such as 0.001,0.01"
        );
        ensure!(self.steps > 0, "--steps is 0, but must be at least 1");
        ensure!(
            self.lost > 0.0,
            "--lost is {}, but must be above 0",
            self.lost
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(words: &[&str]) -> Result<()> {
        let matches =
            Flags::command().try_get_matches_from([&["test", "sweep"], words].concat())?;
        let Mode::Sweep(flags) = Flags::from_arg_matches(&matches)?.mode else {
            panic!("a sweep was asked for");
        };
        let (_, matches) = matches.subcommand().unwrap();
        flags.base.validate(matches)
    }

    #[test]
    fn flags_of_a_new_model_are_refused_with_a_trained_one() {
        for flag in [
            "pretrain-steps",
            "vocab",
            "context",
            "layers",
            "heads",
            "width",
        ] {
            let option = format!("--{flag}");
            validated(&[&option, "4"]).unwrap();
            let error = validated(&[&option, "4", "--model", "."]).unwrap_err();
            assert!(error.to_string().starts_with(&option), "{error}");
        }
    }

    #[test]
    fn a_field_needs_a_text_to_be_of() {
        for flag in ["--text-field", "--target-text-field"] {
            validated(&[flag, "body", "--target-data", "."]).unwrap();
            let error = validated(&[flag, "body"]).unwrap_err().to_string();
            assert!(error.starts_with(flag), "{error}");
        }
    }
}
