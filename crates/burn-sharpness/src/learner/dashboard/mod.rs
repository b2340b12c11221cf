//! Critical sharpness and the edge threshold in one chart of burn's dashboard.

mod chart;
mod drawn;
mod history;
mod inner;
mod renderer;
mod ticks;

use crate::journal::Entry;
use crate::{SharpnessProbe, TRAIN_TASK};
use burn::train::Interrupter;
use burn::train::renderer::{MetricState, MetricsRenderer};
use drawn::Drawn;
use inner::Inner;

impl SharpnessProbe {
    /// Wraps a renderer of burn's training, so that its dashboard shows λ_c, 2/η and the relative critical
    /// sharpness of each task in one chart, where the crossing is seen.
    ///
    /// The chart is the first of the dashboard. Burn's axes are linear, so that it shows logarithms to base
    /// 10; λ_c is the curve that burn calls `Train`, every other one has its name after burn's word `Test`. 2/η is drawn where it is at
    /// most 1000 times λ_c, and 10 times while it falls, so that a warmup leaves λ_c its room; the text beside the
    /// chart has it always. A measurement takes as many ticks of the
    /// horizontal axis as there are curves (one more if that is even), and a history that burn thins out
    /// keeps the same share of each curve. What was not measured has no point, and the text beside the chart
    /// says since when and why. A run that resumes begins with what its record has from before (of a long record, a
    /// thousand measurements). Burn draws its full history as lines, over such a place, too; its recent
    /// history has points.
    ///
    /// The chart of the edge ratio, where [`metrics_sharpness`](crate::SharpnessMetrics::metrics_sharpness)
    /// has registered it, has a line at 1. All else is handed over as it is.
    ///
    /// For the dashboard that burn would choose, see
    /// [`dashboard_sharpness`](crate::SharpnessMetrics::dashboard_sharpness).
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

    /// The same of the renderer that burn would choose.
    pub(super) fn dashboard_of_burn(&self, interrupter: Interrupter) -> Box<dyn MetricsRenderer> {
        Box::new(Dashboard::new(self, Inner::of_burn(interrupter)))
    }
}

/// A renderer with the charts that are [`Drawn`].
struct Dashboard {
    inner: Inner,
    probe: SharpnessProbe,
    /// The index of the next training item.
    item: u64,
    /// Whether the items that are processed are of the training.
    is_training: bool,
    is_registered: bool,
    /// Whether a measurement of this run was drawn.
    has_begun: bool,
    charts: Vec<Drawn>,
}

impl Dashboard {
    fn new(probe: &SharpnessProbe, inner: Inner) -> Self {
        Self {
            inner,
            item: probe.items(),
            is_training: true,
            is_registered: false,
            has_begun: false,
            charts: Drawn::all(&probe.task_names(), probe.config()),
            probe: probe.clone(),
        }
    }

    /// The charts are known to the renderer before anything is drawn.
    fn register(&mut self) {
        if !std::mem::replace(&mut self.is_registered, true) {
            let definitions = self.charts.iter().filter_map(Drawn::definition);
            definitions.for_each(|definition| self.inner.register(definition));
        }
    }

    /// A training item was processed: draws what was measured during it.
    fn read_item(&mut self) {
        let entry = self.probe.entry_at(self.item);
        self.item += 1;
        if let Some(entry) = entry
            && let Some(training) = entry.of_task(TRAIN_TASK)
        {
            self.register();
            if !std::mem::replace(&mut self.has_begun, true) {
                self.draw_history(training.step);
            }
            self.draw(&entry);
        }
    }

    /// The charts of a run that resumed begin with what was measured before.
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

    /// What a metric says, without its ticks where its chart is drawn here.
    fn without_ticks(&mut self, state: MetricState) -> MetricState {
        let charts = self.charts.iter_mut();
        charts.fold(state, |state, chart| chart.without_ticks(state))
    }
}
