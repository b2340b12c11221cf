/// The file of measurements in a run's folder.
pub const MEASUREMENTS_FILE: &str = "measurements.jsonl";
/// The file for lines removed from the record: repeated steps and damaged lines.
pub const SUPERSEDED_FILE: &str = "measurements-superseded.jsonl";
/// The file of [checkpoint notes](crate::CheckpointNote).
pub const CHECKPOINTS_FILE: &str = "measurement-checkpoints.jsonl";
/// The file that a writer locks. It holds the process number, and stays after the run.
pub const LOCK_FILE: &str = "measurements.lock";
