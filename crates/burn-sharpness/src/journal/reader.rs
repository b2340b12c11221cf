use sharpness_record::Measurement;
use std::sync::Arc;

/// The measurements along one update: the training's, then the tasks'.
pub(crate) struct OfUpdate {
    pub(crate) measurements: Vec<Arc<Measurement>>,
    /// The number of training items from one measurement to the next.
    pub(crate) interval: u64,
}

/// One who reads the measurements of a run as they are made.
pub(super) trait Reader {
    /// Takes in those of one update. Returns what the user is to be told.
    fn read(&mut self, update: &OfUpdate) -> Option<String>;

    /// A new run begins, in the same folder.
    fn restart(&mut self) {}
}
