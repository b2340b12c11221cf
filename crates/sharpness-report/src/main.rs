//! The command line `sharpness`: see `sharpness --help`.

mod watch;

use anstream::{eprintln, print, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, ensure};
use clap::{CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use sharpness_report::plot::{self, Axis, Chart, Series};
use sharpness_report::{Follower, Measurement, Run, TRAIN_TASK, report, table};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Read the curves of critical sharpness that burn-sharpness has recorded.
///
/// A RUN is the folder of a training run, or its measurements.jsonl.
#[derive(Parser)]
#[command(
    name = "sharpness",
    version,
    after_help = "Examples:\n  sharpness report runs/gpt-pretrain-1              one HTML page, report.html\n  sharpness report runs/a runs/b -o compare.html    two runs, one over the other\n  sharpness plot runs/a -o edge.svg                 a figure for a paper\n  sharpness csv runs/a | head                       for pandas and the like\n  sharpness watch runs/a                            a chart that grows with the run\n  sharpness tail runs/a                             the same as lines"
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
    /// Print a row a run: λc first, last and highest, steps past the edge, cost
    Table {
        /// Runs
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
    },
    /// Print all measurements as CSV, for pandas, Weights & Biases and spreadsheets
    Csv {
        /// Runs
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
    },
    /// Print measurements as they are made, until interrupted
    Tail {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        run: PathBuf,
        /// Print what is there and stop
        #[arg(long)]
        no_follow: bool,
    },
    /// Draw a run that is under way: λc and 2/η in one chart, beside burn's dashboard
    ///
    /// The vertical axis is logarithmic; λc is red where it is above 2/η. Made for a second pane of the
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

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let style = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
            eprintln!("{style}error:{style:#} {error:#}");
            ExitCode::from(2)
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

fn run(flags: Flags) -> Result<()> {
    match flags.command {
        Command::Report { runs, output } => {
            let runs = open(&runs)?;
            write(&output, report::html(&runs).as_bytes())
        }
        Command::Plot { runs, output } => {
            let kind = output.extension().unwrap_or_default().to_string_lossy();
            ensure!(
                kind == "svg" || kind == "png",
                "{} ends in neither .svg nor .png",
                output.display()
            );
            let svg = chart(&open(&runs)?).svg()?;
            if kind == "svg" {
                write(&output, svg.as_bytes())
            } else {
                write(&output, &plot::png(&svg, 2.0)?)
            }
        }
        Command::Table { runs } => {
            let table = table::summary(&open(&runs)?);
            let (header, rows) = table.split_once('\n').unwrap_or((&table, ""));
            let bold = Style::new().bold();
            print!("{bold}{header}{bold:#}\n{rows}");
            Ok(())
        }
        Command::Csv { runs } => Ok(table::csv(&open(&runs)?, std::io::stdout().lock())?),
        Command::Tail { run, no_follow } => tail(&run, !no_follow),
        Command::Watch { run } => watch::watch(&run),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Flags::command(),
                "sharpness",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}

fn open(paths: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for path in paths {
        let mut run = Run::open(path)?;
        for note in &run.notes {
            eprintln!("note: {}: {note}", path.display());
        }
        // Runs of one name must be told apart in a legend.
        if runs.iter().any(|other| other.name == run.name) {
            run.name = path.display().to_string();
        }
        runs.push(run);
    }
    Ok(runs)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn chart(runs: &[Run]) -> Chart {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let mut chart = Chart::new(
        &format!("Critical sharpness: {}", names.join(", ")),
        Axis::linear("step"),
        Axis::log("critical sharpness λc"),
    );
    let label = |run: &Run, name: &str| match runs {
        [_] => name.to_string(),
        _ => format!("{}: {name}", run.name),
    };
    for run in runs {
        chart = chart.with_series(Series {
            name: label(run, "2/η"),
            points: run.points(TRAIN_TASK, Measurement::edge_threshold),
            style: plot::Style::Threshold,
            ..Series::default()
        });
        chart = chart.with_series(Series {
            name: label(run, "λc"),
            points: run.points(TRAIN_TASK, |m| m.critical_sharpness),
            ..Series::default()
        });
        for task in run.tasks() {
            chart = chart.with_series(Series {
                name: label(run, &format!("λc of {task}")),
                points: run.points(task, |m| m.critical_sharpness),
                ..Series::default()
            });
        }
    }
    chart
}

/// How often a run under way is looked at.
const PAUSE: Duration = Duration::from_millis(500);

fn tail(path: &Path, follow: bool) -> Result<()> {
    // Says what is wrong where it is no record.
    Run::open(path)?;
    let mut follower = Follower::open(path)?;
    loop {
        while let Some(measurement) = follower.next_measurement()? {
            print_line(&measurement);
        }
        if !follow {
            return Ok(());
        }
        std::io::stdout().flush()?;
        std::thread::sleep(PAUSE);
    }
}

fn print_line(measurement: &Measurement) {
    let number =
        |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    let ratio = measurement.edge_ratio();
    let style = match ratio {
        Some(ratio) if ratio > 1.0 => Style::new().fg_color(Some(AnsiColor::Red.into())),
        None => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        _ => Style::new(),
    };
    let result = match measurement.critical_sharpness {
        Some(sharpness) => format!(
            "λc {sharpness:<11.4} 2/η {:<11} η/η_c {}",
            number(measurement.edge_threshold()),
            number(ratio)
        ),
        None => format!(
            "{} {}",
            measurement.outcome.name(),
            measurement.reason.as_deref().unwrap_or_default()
        ),
    };
    println!(
        "step {:>7}  {:<10} loss {:<9} {style}{result}{style:#}",
        measurement.step,
        measurement.task,
        number(measurement.base_loss)
    );
}
