use sharpness_record::Measurement;
use std::sync::Arc;

pub(crate) struct OfUpdate {
    pub(crate) measurements: Vec<Arc<Measurement>>,
    pub(crate) interval: u64,
}

pub(super) trait Reader {
    /// Returns any message for the user.
    fn read(&mut self, update: &OfUpdate) -> Option<String>;

    fn restart(&mut self) {}
}
