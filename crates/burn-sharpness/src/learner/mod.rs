mod attach;
mod dashboard;
mod due;
mod fingerprint;
mod hook;
mod in_progress;
mod metrics;
mod objective;
mod probed;
mod team;

pub use attach::ReportsLoss;
pub use metrics::SharpnessMetrics;
pub use probed::Probed;
