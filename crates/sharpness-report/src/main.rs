//! The command line `sharpness`: see `sharpness --help`.

mod flags;
mod following;
mod tail;
mod watch;

use anstream::{eprintln, print, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, Parser};
use flags::{Command, Export, Flags, Format};
use sharpness_report::{Run, collect, diff, export, figure, plot, report, table};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit code where some of what was asked for could not be done, or two runs differ.
const PARTLY: u8 = 1;
/// The exit code where nothing could be done.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let style = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
            eprintln!("{style}error:{style:#} {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Whoever read our output has seen enough: no reason to complain.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn run(flags: Flags) -> Result<ExitCode> {
    let done = ExitCode::SUCCESS;
    match flags.command {
        Command::Report { runs, output } => {
            let (runs, code) = open(&runs)?;
            write(&output, report::html(&runs).as_bytes())?;
            Ok(code)
        }
        Command::Plot { runs, output } => {
            let kind = output.extension().unwrap_or_default().to_string_lossy();
            ensure!(
                kind == "svg" || kind == "png",
                "{} ends in neither .svg nor .png",
                output.display()
            );
            let (runs, code) = open(&runs)?;
            let svg = figure::chart(&runs).svg()?;
            match kind == "svg" {
                true => write(&output, svg.as_bytes())?,
                false => write(&output, &plot::png(&svg, 2.0)?)?,
            }
            Ok(code)
        }
        Command::Table { runs, format } => {
            let (runs, code) = open(&runs)?;
            print_table(&runs, format)?;
            Ok(code)
        }
        Command::Csv { runs, format } => {
            let (runs, code) = open(&runs)?;
            let output = std::io::stdout().lock();
            match format {
                Export::Csv => export::csv(&runs, output)?,
                Export::Json => export::json(&runs, std::io::BufWriter::new(output))?,
            }
            Ok(code)
        }
        Command::Diff { a, b } => {
            let comparisons = diff::diff(&Run::open(&a)?, &Run::open(&b)?);
            for comparison in &comparisons {
                println!("{comparison}");
            }
            let is_same = |one: &diff::Comparison| one.parts.is_none() && one.common > 0;
            match comparisons.iter().all(is_same) {
                true => Ok(done),
                false => Ok(ExitCode::from(PARTLY)),
            }
        }
        Command::Tail {
            run,
            no_follow,
            format,
        } => tail::tail(&run, !no_follow, format).map(|()| done),
        Command::Watch { run } => watch::watch(&run).map(|()| done),
        Command::Completions { shell } => {
            let output = &mut std::io::stdout();
            clap_complete::generate(shell, &mut Flags::command(), "sharpness", output);
            Ok(done)
        }
    }
}

/// The runs at these paths, and the exit code: what cannot be read is noted and left out.
fn open(paths: &[PathBuf]) -> Result<(Vec<Run>, ExitCode)> {
    let collected = collect(paths);
    let code = match collected.has_failures() {
        true => ExitCode::from(PARTLY),
        false => ExitCode::SUCCESS,
    };
    if let ([], [_]) = (collected.runs.as_slice(), collected.left_out.as_slice()) {
        collected.left_out.into_iter().try_for_each(Err)?;
        return Ok((Vec::new(), code));
    }
    for error in &collected.left_out {
        eprintln!("note: left out: {error}");
    }
    for run in &collected.runs {
        for note in &run.notes {
            eprintln!("note: {}: {note}", run.name);
        }
    }
    ensure!(
        !collected.runs.is_empty(),
        "none of {} runs can be read",
        collected.left_out.len()
    );
    Ok((collected.runs, code))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn print_table(runs: &[Run], format: Format) -> Result<()> {
    if format == Format::Json {
        let rows: Vec<table::Row> = runs.iter().map(table::Row::new).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let table = table::summary(runs);
    let (header, rows) = table.split_once('\n').unwrap_or((&table, ""));
    let bold = Style::new().bold();
    print!("{bold}{header}{bold:#}\n{rows}");
    Ok(std::io::stdout().flush()?)
}
