mod chart;
mod drawn;
mod history;
mod inner;
mod renderer;
mod ticks;

use crate::journal::{Entry, Reading};
use crate::{SharpnessProbe, TRAIN_TASK};
use burn::train::Interrupter;
use burn::train::renderer::{MetricState, MetricsRenderer};
use drawn::Drawn;
use inner::Inner;

impl SharpnessProbe {
    /// Wraps a renderer of burn's training to show λ_c, 2/η and the relative critical sharpness of each task in the
    /// first chart of the dashboard.
    ///
    /// The chart shows logarithms to base 10. Burn calls the curve of λ_c `Train`, and puts `Test` before the name of
    /// every other curve.
    ///
    /// - 2/η appears up to 1000 times λ_c, and only up to 10 times while it falls, so that a warmup leaves λ_c room.
    /// - A value that was not measured has no point; the text beside the chart says since when, and why.
    /// - A resumed run begins with the measurements of its record (at most a thousand).
    ///
    /// If [`metrics_sharpness`](crate::SharpnessMetrics::metrics_sharpness) has registered the edge ratio, its chart
    /// has a line at 1. [`dashboard_sharpness`](crate::SharpnessMetrics::dashboard_sharpness) wraps the dashboard that
    /// burn would choose.
    ///
    /// ```
    /// use burn::train::renderer::CliMetricsRenderer;
    /// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
    ///
    /// let probe = SharpnessProbe::new(SharpnessConfig::new())?;
    /// let renderer = probe.dashboard(Box::new(CliMetricsRenderer::new()));
    /// // Give it to `SupervisedTraining::renderer`.
    /// # drop(renderer);
    /// # Ok::<(), burn_sharpness::ConfigError>(())
    /// ```
    pub fn dashboard(&self, renderer: Box<dyn MetricsRenderer>) -> Box<dyn MetricsRenderer> {
        if !self.is_enabled() {
            return renderer;
        }
        Box::new(Dashboard::new(self, Inner::of(renderer)))
    }

    pub(super) fn dashboard_of_burn(&self, interrupter: Interrupter) -> Box<dyn MetricsRenderer> {
        Box::new(Dashboard::new(self, Inner::of_burn(interrupter)))
    }
}

struct Dashboard {
    inner: Inner,
    probe: SharpnessProbe,
    reading: Reading,
    is_training: bool,
    is_registered: bool,
    has_begun: bool,
    charts: Vec<Drawn>,
}

impl Dashboard {
    fn new(probe: &SharpnessProbe, inner: Inner) -> Self {
        Self {
            inner,
            reading: probe.begin_reading(),
            is_training: true,
            is_registered: false,
            has_begun: false,
            charts: Drawn::all(&probe.task_names(), probe.config()),
            probe: probe.clone(),
        }
    }

    fn register(&mut self) {
        if !std::mem::replace(&mut self.is_registered, true) {
            let definitions = self.charts.iter().filter_map(Drawn::definition);
            definitions.for_each(|definition| self.inner.register(definition));
        }
    }

    fn read(&mut self) {
        for entry in self.probe.read(&mut self.reading) {
            if let Some(training) = entry.of_task(TRAIN_TASK) {
                self.register();
                if !std::mem::replace(&mut self.has_begun, true) {
                    self.draw_history(training.step);
                }
                self.draw(&entry);
            }
        }
    }

    fn draw_history(&mut self, step: u64) {
        if let Some(directory) = self.probe.config().directory.clone() {
            let before = history::before(step, &directory);
            before.iter().for_each(|entry| self.draw(entry));
        }
    }

    fn draw(&mut self, entry: &Entry) {
        if let Some(training) = entry.of_task(TRAIN_TASK) {
            for chart in &mut self.charts {
                chart.draw(entry, training, self.inner.get());
            }
        }
    }

    fn without_ticks(&mut self, state: MetricState) -> MetricState {
        let charts = self.charts.iter_mut();
        charts.fold(state, |state, chart| chart.without_ticks(state))
    }
}
