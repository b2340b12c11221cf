use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use sharpness_report::TRAIN_TASK;
use std::path::PathBuf;

/// Read the curves of critical sharpness that burn-sharpness has recorded.
///
/// A RUN is the folder of a training run, or its measurements.jsonl. A command that takes several also
/// accepts a folder of runs, or a pattern such as 'runs/*'. It leaves out an unreadable run, with a note.
#[derive(Parser)]
#[command(
    name = "sharpness",
    version,
    after_help = "Examples:\n  sharpness report runs/gpt-pretrain-1              one HTML page, report.html\n  sharpness report runs/a runs/b -o compare.html    two runs, one over the other\n  sharpness plot runs/a -o edge.svg                 a figure for a paper\n  sharpness line runs/a 50                          the loss along the update of a step\n  sharpness csv runs/a | head                       for pandas and the like\n  sharpness export --to tensorboard runs/a          event files, in tensorboard/\n  sharpness watch runs/a                            a chart that grows with the run\n  sharpness tail runs/a                             the same as lines\n  sharpness diff runs/a runs/b                      where two runs part\n\nExit code: 0; 1 if a run was left out that is not there or cannot be read, or if diff finds a difference; 2 if nothing\ncould be done."
)]
pub struct Flags {
    #[command(subcommand)]
    /// The command.
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Write one self-contained HTML page: curves to zoom and hover, outcomes, cost, configuration
    Report {
        /// Runs to lay over each other
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// The file to write
        #[arg(short, long, default_value = "report.html")]
        output: PathBuf,
    },
    /// Draw λ_c and 2/η over the steps as SVG or PNG
    Plot {
        /// Runs to lay over each other
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// The file to write; its ending, .svg or .png, selects the format
        #[arg(short, long, default_value = "sharpness.svg")]
        output: PathBuf,
    },
    /// Draw the loss along the update of one step: the points of its search, bracket, root, and the parabola of the slope
    ///
    /// Also prints the points. The run must keep them: SharpnessConfig::with_lines(true).
    Line {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        run: PathBuf,
        /// The step
        step: u64,
        /// The task of the loss
        #[arg(long, default_value = TRAIN_TASK)]
        task: String,
        /// The file to write; its ending, .svg or .png, selects the format
        #[arg(short, long, default_value = "line.svg")]
        output: PathBuf,
    },
    /// Print a row per run: λ_c first, last and highest, steps past the edge, cost, missing numbers
    Table {
        /// Runs
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// For people, or for programs
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print every field of all measurements, as CSV or JSON, or write them as event files of TensorBoard
    ///
    /// An empty cell of the CSV was not measured. pandas takes names such as NA for missing values, too, unless called as
    /// pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype={"run": str, "task": str}).
    ///
    /// For TensorBoard, each task of a run is a run of its own, RUN/TASK, in the folder of --output; its page "Custom
    /// Scalars" has the charts of the report, with λ_c and 2/η in one.
    #[command(visible_alias = "csv")]
    Export {
        /// Runs
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// A table, an array of objects, or event files
        #[arg(long, visible_alias = "format", value_enum, default_value_t = Export::Csv)]
        to: Export,
        /// The file to write instead of printing; for TensorBoard the folder, by default `tensorboard`
        #[arg(short, long, value_hint = ValueHint::AnyPath)]
        output: Option<PathBuf>,
        /// Add measurements to the event files as the run makes them, until interrupted; the runs need not have begun
        #[arg(long)]
        follow: bool,
    },
    /// Find the first step at which λ_c, loss or η of two runs differ by more than their errors
    ///
    /// Prints a line per quantity. The exit code is 0 if the runs agree, and 1 if they differ.
    Diff {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        a: PathBuf,
        /// Another run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        b: PathBuf,
    },
    /// Print measurements as the run makes them, until interrupted; the run need not have begun
    Tail {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        run: PathBuf,
        /// Print the measurements so far and stop
        #[arg(long)]
        no_follow: bool,
        /// For people, or for programs: a line of the record each
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Draw a run that is under way: λ_c and 2/η in one chart, beside burn's dashboard
    ///
    /// Start it in a second pane of the terminal, even before the run; it goes on when the run resumes or starts anew.
    /// The vertical axis is logarithmic; λ_c is red above 2/η.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Export {
    Csv,
    Json,
    Tensorboard,
}
