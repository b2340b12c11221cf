use crate::{SharpnessMetric, SharpnessProbe};
use burn::train::{LearnerModel, SupervisedTraining};
use sharpness_record::Quantity;

const NO_PANEL: &str = "the panel has no metrics, since the probe does not measure it: add `.with_panel(true)` to its configuration";

/// Shows the measurements of a [`SharpnessProbe`] in burn's supervised training.
pub trait SharpnessMetrics: Sized {
    /// Registers training metrics: critical sharpness, edge threshold, edge ratio, critical learning rate, the probe's
    /// evaluations, the relative critical sharpness of each task, and any curvature and batch sharpness. To show only
    /// some, register a [`SharpnessMetric`] for each.
    fn metrics_sharpness(self, probe: &SharpnessProbe) -> Self;

    /// Registers the [panel](crate::SharpnessConfig::with_panel) as training metrics. If the probe does not measure the
    /// panel, it warns and adds no metric.
    #[must_use]
    fn metrics_panel(self, probe: &SharpnessProbe) -> Self;

    /// Shows λ_c, 2/η and the relative critical sharpness of each task in the first chart of burn's dashboard: see
    /// [`SharpnessProbe::dashboard`]. If standard output is no terminal, burn prints its plain output.
    ///
    /// The call replaces any renderer, and must come after [`with_interrupter`](SupervisedTraining::with_interrupter).
    #[must_use]
    fn dashboard_sharpness(self, probe: &SharpnessProbe) -> Self;
}

impl<M: LearnerModel> SharpnessMetrics for SupervisedTraining<M> {
    fn metrics_sharpness(self, probe: &SharpnessProbe) -> Self {
        if !probe.is_enabled() {
            return self;
        }
        let curvature = probe.config().curvature.iter().flat_map(|config| {
            let is_wanted = |quantity: &Quantity| {
                config.preconditioner.is_some() || *quantity != Quantity::PreconditionedSharpness
            };
            Quantity::CURVATURE.into_iter().filter(is_wanted)
        });
        let batches = probe.config().batch_sharpness.map(|_| Quantity::BATCHES);
        let of_batches = batches.into_iter().flatten();
        let of_training = Quantity::ALL.into_iter().chain(curvature).chain(of_batches);
        let of_training = of_training.map(|quantity| SharpnessMetric::new(probe, quantity));
        let tasks = probe.task_names().into_iter();
        let of_tasks =
            tasks.map(|task| SharpnessMetric::of_task(probe, Quantity::CriticalSharpness, &task));
        of_training.chain(of_tasks).fold(self, |training, metric| {
            training.metric_train_numeric(metric)
        })
    }

    fn metrics_panel(self, probe: &SharpnessProbe) -> Self {
        if !probe.is_enabled() {
            return self;
        }
        if !probe.config().panel {
            probe.tell(NO_PANEL.to_string());
            return self;
        }
        let metrics = Quantity::PANEL.map(|quantity| SharpnessMetric::new(probe, quantity));
        metrics.into_iter().fold(self, |training, metric| {
            training.metric_train_numeric(metric)
        })
    }

    fn dashboard_sharpness(self, probe: &SharpnessProbe) -> Self {
        if !probe.is_enabled() {
            return self;
        }
        let renderer = probe.dashboard_of_burn(self.interrupter());
        self.renderer(renderer)
    }
}
