use sharpness_record::Measurement;
use std::sync::Arc;

/// The measurements along one update: the training's, then the tasks'.
pub(crate) struct OfUpdate {
    pub(crate) measurements: Vec<Arc<Measurement>>,
    /// The number of training items between two measurements.
    pub(crate) interval: u64,
}

pub(super) trait Reader {
    /// Reads the measurements of one update. Returns a message for the user.
    fn read(&mut self, update: &OfUpdate) -> Option<String>;

    fn restart(&mut self) {}
}
