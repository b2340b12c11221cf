use burn::tensor::{ExecutionError, Tensor};
use burn::train::metric::{Adaptor, ItemLazy, LossInput};

/// The loss alone: logits are too large to keep for the metrics.
pub struct LossOutput(Tensor<1>);

impl LossOutput {
    pub fn new(loss: Tensor<1>) -> Self {
        Self(loss)
    }
}

impl ItemLazy for LossOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        self.0.device().flush()?;
        Ok(Self(self.0.without_autodiff()))
    }
}

impl Adaptor<LossInput> for LossOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.0.clone())
    }
}
