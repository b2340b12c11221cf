/// The file of measurements in a run's folder.
pub const MEASUREMENTS_FILE: &str = "measurements.jsonl";
/// The file for lines removed from the record: steps that a resumed run repeats, and damaged lines.
pub const SUPERSEDED_FILE: &str = "measurements-superseded.jsonl";
/// The file with the step of each checkpoint.
pub const CHECKPOINTS_FILE: &str = "measurement-checkpoints.jsonl";
/// The file that a writer locks. It holds the writer's process number, and stays in the folder after the run.
pub const LOCK_FILE: &str = "measurements.lock";
