use burn::train::Interrupter;
use burn::train::metric::MetricDefinition;
use burn::train::renderer::{MetricsRenderer, default_renderer};

/// The renderer that is wrapped: one that is there, or the one that burn would choose.
///
/// The latter is made when the training starts. Only then is it known after which epoch the run resumes, which
/// burn's progress bar is told when it is made.
pub(super) struct Inner {
    made: Option<Box<dyn MetricsRenderer>>,
    interrupter: Interrupter,
    /// The metrics that were registered before the renderer was made.
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

    /// The renderer of a run that begins at this epoch, counted from 1.
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
