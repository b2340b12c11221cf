use crate::{Batch, Mlp};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use burn_sharpness::{Measurement, SharpnessProbe, Update};
use std::sync::Arc;

/// A loop of one's own, between its gradients and the optimizer's step.
pub struct AtStep {
    pub model: Mlp,
    pub optim: ModuleOptimizer,
    pub rate: f64,
    pub batch: Batch,
    pub loss: Tensor<1>,
    pub grads: GradientsParams,
}

impl AtStep {
    pub fn new(model: Mlp, optim: ModuleOptimizer, rate: f64, batch: Batch) -> Self {
        let loss = model.loss(&batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        Self {
            model,
            optim,
            rate,
            batch,
            loss,
            grads,
        }
    }

    pub fn update(&self) -> Update<'_, Mlp> {
        Update::new(&self.model, &self.optim, self.rate, &self.grads)
    }

    #[track_caller]
    pub fn measure(&self, probe: &SharpnessProbe) -> Arc<Measurement> {
        self.measured(probe, self.update()).unwrap()
    }

    /// The probe gets the loss of the training step, too.
    #[track_caller]
    pub fn measure_told(&self, probe: &SharpnessProbe) -> Arc<Measurement> {
        let update = self.update().with_training_loss(self.loss.clone());
        self.measured(probe, update).unwrap()
    }

    /// Returns `None` if the probe does not measure this step.
    pub fn measured(
        &self,
        probe: &SharpnessProbe,
        update: Update<'_, Mlp>,
    ) -> Option<Arc<Measurement>> {
        probe.measure_update(update, |model| model.loss(&self.batch))
    }

    pub fn step(mut self) -> (Mlp, ModuleOptimizer) {
        let model = self.optim.step(self.rate, self.model, self.grads);
        (model, self.optim)
    }

    /// Makes the step, and computes the gradients of the next.
    pub fn next(self, batch: Batch) -> Self {
        let rate = self.rate;
        let (model, optim) = self.step();
        Self::new(model, optim, rate, batch)
    }
}
