use burn::train::Interrupter;
use burn::train::metric::MetricDefinition;
use burn::train::renderer::{MetricsRenderer, default_renderer};

/// Burn's choice of a renderer waits until training starts: its progress bar needs the epoch after which the run
/// resumes.
pub(super) struct Inner {
    made: Option<Box<dyn MetricsRenderer>>,
    interrupter: Interrupter,
    definitions: Vec<MetricDefinition>,
}

impl Inner {
    pub(super) fn of(renderer: Box<dyn MetricsRenderer>) -> Self {
        Self {
            made: Some(renderer),
            ..Self::of_burn(Interrupter::new())
        }
    }

    pub(super) fn of_burn(interrupter: Interrupter) -> Self {
        Self {
            made: None,
            interrupter,
            definitions: Vec::new(),
        }
    }

    /// Epochs count from 1.
    pub(super) fn at_epoch(&mut self, epoch: usize) -> &mut dyn MetricsRenderer {
        let made = self.made.get_or_insert_with(|| {
            let resumed_after = (epoch > 1).then(|| epoch - 1);
            default_renderer(self.interrupter.clone(), resumed_after)
        });
        for definition in self.definitions.drain(..) {
            made.register_metric(definition);
        }
        made.as_mut()
    }

    pub(super) fn get(&mut self) -> &mut dyn MetricsRenderer {
        self.at_epoch(1)
    }

    pub(super) fn register(&mut self, definition: MetricDefinition) {
        match &mut self.made {
            Some(renderer) => renderer.register_metric(definition),
            None => self.definitions.push(definition),
        }
    }
}
