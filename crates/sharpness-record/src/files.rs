/// The file of measurements in a run's folder.
pub const MEASUREMENTS_FILE: &str = "measurements.jsonl";
/// The file for lines that are no longer part of the record: those of steps that a resumed run makes
/// anew, and damaged ones.
pub const SUPERSEDED_FILE: &str = "measurements-superseded.jsonl";
/// The file that tells at which step each checkpoint was saved.
pub const CHECKPOINTS_FILE: &str = "measurement-checkpoints.jsonl";
/// The file that a writer locks while it writes. It holds the writer's process number, and stays in the
/// folder after the run.
pub const LOCK_FILE: &str = "measurements.lock";
