use super::metrics::emit;
use super::reader::{OfUpdate, Reader};
use sharpness_record::Measurement;

#[derive(Default)]
pub(super) struct Log;

impl Reader for Log {
    fn read(&mut self, update: &OfUpdate) -> Option<String> {
        for measurement in &update.measurements {
            log(measurement);
            emit(measurement);
        }
        None
    }
}

fn log(measurement: &Measurement) {
    tracing::info!(
        step = measurement.step,
        epoch = measurement.epoch,
        task = measurement.task,
        outcome = ?measurement.outcome,
        learning_rate = measurement.learning_rate,
        base_loss = measurement.base_loss,
        base_loss_source = ?measurement.base_loss_source,
        slope = measurement.slope,
        critical_lr = measurement.critical_lr,
        critical_sharpness = measurement.critical_sharpness,
        edge_ratio = measurement.edge_ratio(),
        limiting_task = measurement.limiting_task,
        evaluations = measurement.evaluations,
        seconds = measurement.seconds,
        "measured critical sharpness"
    );
    if let Some(reason) = &measurement.reason {
        tracing::warn!(
            step = measurement.step,
            task = measurement.task,
            reason,
            "a measurement failed"
        );
    }
}
