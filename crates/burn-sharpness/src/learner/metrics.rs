use crate::{Quantity, SharpnessMetric, SharpnessProbe};
use burn::train::{LearnerModel, SupervisedTraining};

/// Registers the metrics of a [`SharpnessProbe`] with burn's supervised training, in one call.
pub trait SharpnessMetrics: Sized {
    /// Shows critical sharpness, edge threshold, edge ratio, critical learning rate and the probe's
    /// evaluations as training metrics, the curvature if it is measured, and the relative critical
    /// sharpness of each task. To show only some, register a [`SharpnessMetric`] for each.
    fn metrics_sharpness(self, probe: &SharpnessProbe) -> Self;
}

impl<M: LearnerModel> SharpnessMetrics for SupervisedTraining<M> {
    fn metrics_sharpness(self, probe: &SharpnessProbe) -> Self {
        let of_training = Quantity::ALL.map(|quantity| SharpnessMetric::new(probe, quantity));
        let curvature = probe.config().curvature.iter().flat_map(|config| {
            let wanted = match config.preconditioner {
                Some(_) => &Quantity::CURVATURE[..],
                None => &Quantity::CURVATURE[..2],
            };
            wanted
                .iter()
                .map(|quantity| SharpnessMetric::new(probe, *quantity))
        });
        let tasks = probe.task_names().into_iter();
        let of_tasks =
            tasks.map(|task| SharpnessMetric::of_task(probe, Quantity::CriticalSharpness, &task));
        let metrics = of_training.into_iter().chain(curvature).chain(of_tasks);
        metrics.fold(self, |training, metric| {
            training.metric_train_numeric(metric)
        })
    }
}
