//! Connects the probe to burn's `Learner`.

mod attach;
mod dashboard;
mod fingerprint;
mod hook;
mod metrics;
mod probed;

pub use attach::ReportsLoss;
pub use metrics::SharpnessMetrics;
pub use probed::Probed;
