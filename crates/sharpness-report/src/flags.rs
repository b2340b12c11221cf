//! The flags of the command line.

use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use sharpness_report::TRAIN_TASK;
use std::path::PathBuf;

/// Read the curves of critical sharpness that burn-sharpness has recorded.
///
/// A RUN is the folder of a training run, or its measurements.jsonl. Where several are taken, it may also
/// be a folder of runs, or a pattern such as 'runs/*'. A run that cannot be read is left out with a note.
#[derive(Parser)]
#[command(
    name = "sharpness",
    version,
    after_help = "Examples:\n  sharpness report runs/gpt-pretrain-1              one HTML page, report.html\n  sharpness report runs/a runs/b -o compare.html    two runs, one over the other\n  sharpness plot runs/a -o edge.svg                 a figure for a paper\n  sharpness line runs/a 50                          the loss along the update of a step\n  sharpness csv runs/a | head                       for pandas and the like\n  sharpness export --to tensorboard runs/a          event files, in tensorboard/\n  sharpness watch runs/a                            a chart that grows with the run\n  sharpness tail runs/a                             the same as lines\n  sharpness diff runs/a runs/b                      where two runs part\n\nExit code: 0; 1 if a run was left out that is not there or cannot be read, or if diff finds a difference; 2 if nothing\ncould be done."
)]
pub struct Flags {
    #[command(subcommand)]
    /// What to do.
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
    /// Draw λc and 2/η over the steps as SVG or PNG
    Plot {
        /// Runs to lay over each other
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// The file to write; its ending, .svg or .png, says what
        #[arg(short, long, default_value = "sharpness.svg")]
        output: PathBuf,
    },
    /// Draw the loss along the update of one step: the points of its search, bracket, root, and the parabola of the slope
    ///
    /// The run has to keep the points: SharpnessConfig::with_lines(true). They are printed, too.
    Line {
        /// A run
        #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
        run: PathBuf,
        /// The step
        step: u64,
        /// The task whose loss it is
        #[arg(long, default_value = TRAIN_TASK)]
        task: String,
        /// The file to write; its ending, .svg or .png, says what
        #[arg(short, long, default_value = "line.svg")]
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
    /// Print every field of all measurements, as CSV or JSON, or write them as event files of TensorBoard
    ///
    /// A cell of the CSV that is empty was not measured. pandas takes names such as NA for missing values, too, unless it
    /// is told otherwise: pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype={"run": str,
    /// "task": str}).
    ///
    /// For TensorBoard, each task of a run is a run of its own, RUN/TASK, in the folder of --output; its page "Custom
    /// Scalars" has the charts of the report, with λc and 2/η in one.
    #[command(visible_alias = "csv")]
    Export {
        /// Runs
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        runs: Vec<PathBuf>,
        /// A table, an array of objects, or event files
        #[arg(long, visible_alias = "format", value_enum, default_value_t = Export::Csv)]
        to: Export,
        /// The file to write instead of printing; for TensorBoard the folder, `tensorboard` unless another is named
        #[arg(short, long, value_hint = ValueHint::AnyPath)]
        output: Option<PathBuf>,
        /// Add to the event files as measurements are made, until interrupted; the runs need not have begun
        #[arg(long)]
        follow: bool,
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
pub enum Format {
    Text,
    Json,
}

/// As what all fields are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Export {
    Csv,
    Json,
    Tensorboard,
}
