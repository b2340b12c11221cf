//! Runs the command line `sharpness`.

mod event_files;
mod flags;
mod following;
mod tail;
mod watch;

use anstyle::Style;
use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, Parser};
use flags::{Command, Export, Flags, Format};
use sharpness_record::{shown, write_whole};
use sharpness_report::line::Line;
use sharpness_report::terminal::{fail, is_closed, print, print_in, say, warn};
use sharpness_report::{Run, collect, diff, export, figure, plot, report, table};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const FAILED: u8 = 2;

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(code) => code,
        Err(error) if is_closed(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(error.as_ref());
            ExitCode::from(FAILED)
        }
    }
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
            check_picture(&output)?;
            let (runs, code) = open(&runs)?;
            write_picture(&output, &figure::chart(&runs))?;
            Ok(code)
        }
        Command::Line {
            run,
            step,
            task,
            output,
        } => {
            check_picture(&output)?;
            let run = Run::open(&run)?;
            let line = Line::of(&run, &task, step)?;
            write_picture(&output, &line.chart())?;
            print(&line.table())?;
            Ok(done)
        }
        Command::Table { runs, format } => {
            let (runs, code) = open(&runs)?;
            print_table(&runs, format)?;
            Ok(code)
        }
        Command::Export {
            runs,
            to,
            output,
            follow,
        } => {
            let events = || output.clone().unwrap_or_else(|| "tensorboard".into());
            if follow {
                ensure!(
                    to == Export::Tensorboard,
                    "--follow adds to event files: use it with --to tensorboard, or print measurements as they are made with `sharpness tail --format json`"
                );
                return event_files::export_and_follow(&runs, &events()).map(|()| done);
            }
            let (runs, code) = open(&runs)?;
            let mut exported = Vec::new();
            match to {
                Export::Tensorboard => {
                    return event_files::export(&runs, &events()).map(|()| code);
                }
                Export::Json => export::json(&runs, &mut exported)?,
                Export::Csv => export::csv(&runs, &mut exported)?,
            }
            match output {
                Some(output) => write(&output, &exported)?,
                None => print(&String::from_utf8(exported)?)?,
            }
            Ok(code)
        }
        Command::Diff { a, b } => {
            let comparisons = diff::diff(&Run::open(&a)?, &Run::open(&b)?);
            for comparison in &comparisons {
                print(&format!("{comparison}\n"))?;
            }
            let differs = |one: &diff::Comparison| one.parts.is_some() || one.common == 0;
            Ok(partly(comparisons.iter().any(differs)))
        }
        Command::Tail {
            run,
            no_follow,
            format,
        } => tail::tail(&run, !no_follow, format).map(|()| done),
        Command::Watch { run } => watch::watch(&run).map(|()| done),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Flags::command(), "sharpness", &mut script);
            print(&String::from_utf8(script)?)?;
            Ok(done)
        }
    }
}

/// The exit code 1 for partial success, or for two runs that differ.
fn partly(is_partly: bool) -> ExitCode {
    ExitCode::from(u8::from(is_partly))
}

fn open(paths: &[PathBuf]) -> Result<(Vec<Run>, ExitCode)> {
    let collected = collect(paths);
    let code = partly(collected.has_failures());
    for path in &collected.hidden {
        let path = path.display();
        warn(format_args!(
            "note: {path} is hidden and not read: name it to read it"
        ));
    }
    if let ([], [_]) = (collected.runs.as_slice(), collected.left_out.as_slice()) {
        collected.left_out.into_iter().try_for_each(Err)?;
        return Ok((Vec::new(), code));
    }
    for error in &collected.left_out {
        warn(format_args!("note: left out: {error}"));
    }
    for run in &collected.runs {
        for note in &run.notes {
            warn(format_args!("note: {}: {note}", run.name));
        }
    }
    let (is_empty, all) = (collected.runs.is_empty(), collected.left_out.len());
    ensure!(!is_empty, "none of {all} runs can be read");
    Ok((collected.runs, code))
}

fn check_picture(output: &Path) -> Result<()> {
    let ending = output.extension();
    let is_known = ending.is_some_and(|ending| ending == "svg" || ending == "png");
    let output = output.display();
    ensure!(is_known, "{output} ends in neither .svg nor .png");
    Ok(())
}

fn write_picture(output: &Path, chart: &plot::Chart) -> Result<()> {
    let svg = chart.svg()?;
    match output.extension().is_some_and(|kind| kind == "svg") {
        true => write(output, svg.as_bytes()),
        false => write(output, &plot::png(&svg, 2.0)?),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    write_whole(path, content).with_context(|| format!("{} cannot be written", path.display()))?;
    say(shown::path(path));
    Ok(())
}

fn print_table(runs: &[Run], format: Format) -> Result<()> {
    if format == Format::Json {
        let rows: Vec<table::Row> = runs.iter().map(table::Row::new).collect();
        let json = serde_json::to_string_pretty(&rows)?;
        return Ok(print(&format!("{json}\n"))?);
    }
    let table = table::summary(runs);
    let (header, rows) = table.split_once('\n').unwrap_or((&table, ""));
    print_in(Style::new().bold(), header)?;
    Ok(print(&format!("\n{rows}"))?)
}
