//! The command line `sharpness`: see `sharpness --help`.

mod tail;
mod watch;

use anstream::{eprintln, print, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail, ensure};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use sharpness_report::{
    ReadError, Run, collect, diff, export, figure, plot, read, report, runs_within, table,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Read the curves of critical sharpness that burn-sharpness has recorded.
///
/// A RUN is the folder of a training run, or its measurements.jsonl. Where several are taken, it may also
/// be a folder of runs, or a pattern such as 'runs/*'. A run that cannot be read is left out with a note.
#[derive(Parser)]
#[command(
    name = "sharpness",
    version,
    after_help = "Examples:\n  sharpness report runs/gpt-pretrain-1              one HTML page, report.html\n  sharpness report runs/a runs/b -o compare.html    two runs, one over the other\n  sharpness plot runs/a -o edge.svg                 a figure for a paper\n  sharpness csv runs/a | head                       for pandas and the like\n  sharpness watch runs/a                            a chart that grows with the run\n  sharpness tail runs/a                             the same as lines\n  sharpness diff runs/a runs/b                      where two runs part\n\nExit code: 0; 1 if a run was left out that is not there or cannot be read, or if diff finds a difference; 2 if nothing\ncould be done."
)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write one self-contained HTML page: curves to zoom and hover, outcomes, cost, configuration
    Report {
        /// Runs to lay over each other
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// The file to write
        #[arg(short, long, default_value = "report.html")]
        output: PathBuf,
    },
    /// Draw λc and 2/η over the steps as SVG or PNG
    Plot {
        /// Runs to lay over each other
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// The file to write; its ending, .svg or .png, says what
        #[arg(short, long, default_value = "sharpness.svg")]
        output: PathBuf,
    },
    /// Print a row a run: λc first, last and highest, steps past the edge, cost, what gave no number
    Table {
        /// Runs
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// For people, or for programs
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print every field of all measurements, as CSV or JSON, for pandas, Weights & Biases and spreadsheets
    ///
    /// A cell that is empty was not measured. pandas takes names such as NA for missing values, too, unless it
    /// is told otherwise: pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype={"run": str,
    /// "task": str}).
    #[command(visible_alias = "export")]
    Csv {
        /// Runs
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// A table, or an array of objects
        #[arg(long, value_enum, default_value_t = Export::Csv)]
        format: Export,
    },
    /// Say where two runs part: the first step at which λc, loss or η differ by more than their errors
    ///
    /// A line each. The exit code is 0 if they nowhere differ, and 1 if they do.
    Diff {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        a: PathBuf,
        /// Another run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        b: PathBuf,
    },
    /// Print measurements as they are made, until interrupted; the run need not have begun
    Tail {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        run: PathBuf,
        /// Print what is there and stop
        #[arg(long)]
        no_follow: bool,
        /// For people, or for programs: a line of the record each
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Draw a run that is under way: λc and 2/η in one chart, beside burn's dashboard
    ///
    /// It may be started before the run, and goes on when the run is resumed or started anew. The vertical axis is logarithmic; λc is red where it is above 2/η. Made for a second pane of the
    /// terminal that the training runs in.
    Watch {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        run: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// How all fields are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Export {
    Csv,
    Json,
}

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

/// Whether a run can be followed: it may have to begin yet, unless its measurements are wanted now.
fn check_followed(path: &Path, may_begin: bool) -> Result<()> {
    if let Some(run) = runs_within(path).first() {
        let (folder, run) = (path.display(), run.display());
        bail!("{folder} is a folder of runs: name one of them, such as {run}");
    }
    match read(path) {
        Err(error) if !(may_begin && error.is_not_yet()) => Err(ReadError::into(error)),
        _ => Ok(()),
    }
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

/// How often a run under way is looked at.
const PAUSE: Duration = Duration::from_millis(500);
