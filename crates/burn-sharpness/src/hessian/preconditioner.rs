use super::error::HessianError;
use super::product::Hessian;
use crate::config::AdamPreconditioner;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, Tensor};
use burn_pack::Reader;

impl AdamPreconditioner {
    /// Returns P^(−1/2), from an optimizer after the step whose update P belongs to.
    pub(super) fn inverse_root<M: Module>(
        &self,
        hessian: &Hessian<'_, M>,
        optim: &ModuleOptimizer,
    ) -> Result<Tensor<1>, HessianError> {
        let fail = |reason: String| HessianError::Preconditioner(reason);
        let record = optim.to_record().into_bytes();
        let bytes: Bytes = record.map_err(|error| fail(error.to_string()))?;
        let reader = Reader::from_bytes(bytes).map_err(|error| fail(error.to_string()))?;
        let scalars = reader.scalars().clone();
        let tensors = reader.into_tensors();
        let tensors = tensors.map_err(|error| fail(error.to_string()))?;

        let mut inverse_root = vec![f32::NAN; hessian.layout.elements];
        let tensors = tensors.into_iter();
        for tensor in tensors.filter(|tensor| tensor.name.ends_with(".moment_2")) {
            let id = tensor.param_id;
            let Some((first, elements)) = id.and_then(|id| hessian.layout.span(id.into())) else {
                continue;
            };
            let prefix = tensor.name.trim_end_matches("moment_2").to_string();
            let time = scalars
                .get(&format!("{prefix}time"))
                .and_then(|time| f64::try_from(*time).ok())
                .ok_or_else(|| fail(format!("{prefix}time is not in the optimizer's record")))?;
            let parts = tensor.into_parts();
            let (_, dtype, shape, _, bytes) = parts.map_err(|error| fail(error.to_string()))?;
            let moments = burn::tensor::TensorData::from_bytes(bytes, shape, dtype);
            let places = inverse_root[first..first + elements].iter_mut();
            for (place, moment) in places.zip(moments.iter::<f64>()) {
                let corrected = moment / (1.0 - self.beta_2.powf(time));
                let p = (1.0 - self.beta_1.powf(time)) * (corrected.sqrt() + self.epsilon);
                *place = (1.0 / p.sqrt()) as f32;
            }
        }
        if inverse_root.iter().any(|value| value.is_nan()) {
            return Err(fail(
                "the optimizer has no second moment for each parameter: it must be Adam or AdamW, after its first step".to_string(),
            ));
        }
        Ok(Tensor::from_floats(
            inverse_root.as_slice(),
            &hessian.device(),
        ))
    }
}
