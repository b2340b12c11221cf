use super::lanczos::{Spectrum, SpectrumConfig};
use super::preconditioner::AdamPreconditioner;
use super::product::{Hessian, HessianError, dot};
use crate::params::ParamTensors;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The relative error of a value, by the difference quotients at neighbouring steps, above which it
/// is not shown.
const RESOLVED: f64 = 0.02;

/// What curvature a probe measures besides λ_c, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvatureConfig {
    /// Measured at the run-wide steps 0, N, 2N, … at which critical sharpness is measured, too. At
    /// least 1.
    pub every: u64,
    /// How far the search for the largest eigenvalue goes.
    pub spectrum: SpectrumConfig,
    /// The preconditioner of the optimizer, where that is Adam or AdamW and the preconditioned
    /// sharpness is wanted.
    pub preconditioner: Option<AdamPreconditioner>,
}

impl CurvatureConfig {
    /// The directional and the Hessian sharpness, every so many steps.
    pub fn new(every: u64) -> Self {
        Self {
            every,
            spectrum: SpectrumConfig::default(),
            preconditioner: None,
        }
    }

    /// The preconditioned sharpness, too.
    pub fn with_preconditioner(mut self, preconditioner: AdamPreconditioner) -> Self {
        self.preconditioner = Some(preconditioner);
        self
    }
}

/// How the measurement of a curvature ended. Its serialized form is the name in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurvatureOutcome {
    /// It is known.
    Measured,
    /// The iteration ended before its residual was small.
    NotConverged,
    /// The gradients' rounding, or the curvature's own change, hides it at every step tried.
    BelowResolution,
    /// The loss does not fall along the update, so that the curvature along it has no ratio to it.
    NotDescent,
    /// Something is NaN or infinite.
    NonFinite,
    /// Something else went wrong, said in `reason`.
    Failed,
}

/// A curvature, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvatureValue {
    /// How it ended.
    pub outcome: CurvatureOutcome,
    /// The value, if it was measured.
    pub value: Option<f64>,
    /// Its relative error, by the difference quotients at neighbouring steps.
    pub relative_error: Option<f64>,
    /// ‖Hu − λu‖ / |λ|, of an eigenvalue.
    pub residual: Option<f64>,
    /// Why it failed, where it did.
    pub reason: Option<String>,
    /// The gradients that it took, each about three forward passes.
    pub gradients: usize,
    /// The wall-clock time, in seconds.
    pub seconds: f64,
}

impl CurvatureValue {
    fn without(outcome: CurvatureOutcome) -> Self {
        Self {
            outcome,
            value: None,
            relative_error: None,
            residual: None,
            reason: None,
            gradients: 0,
            seconds: 0.0,
        }
    }

    fn failed(reason: impl ToString) -> Self {
        Self {
            reason: Some(reason.to_string()),
            ..Self::without(CurvatureOutcome::Failed)
        }
    }

    fn measured(value: f64, relative_error: f64) -> Self {
        let outcome = if !value.is_finite() {
            CurvatureOutcome::NonFinite
        } else if relative_error <= RESOLVED {
            CurvatureOutcome::Measured
        } else {
            CurvatureOutcome::BelowResolution
        };
        Self {
            value: (outcome == CurvatureOutcome::Measured).then_some(value),
            relative_error: Some(relative_error).filter(|error| error.is_finite()),
            ..Self::without(outcome)
        }
    }

    fn of_eigenvalue(value: f64, relative_error: f64, residual: f64, tolerance: f64) -> Self {
        let mut result = Self::measured(value, relative_error);
        result.residual = Some(residual).filter(|residual| residual.is_finite());
        if residual > tolerance && result.value.take().is_some() {
            result.outcome = CurvatureOutcome::NotConverged;
        }
        result
    }
}

/// The curvatures at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvatureMeasurement {
    /// The directional sharpness λ_dir = ΔθᵀHΔθ / (Δθᵀg).
    pub directional_sharpness: CurvatureValue,
    /// The Hessian sharpness λ_max(H).
    pub hessian_sharpness: CurvatureValue,
    /// The preconditioned sharpness λ_max(P^(−1/2) H P^(−1/2)), where it is asked for.
    pub preconditioned_sharpness: Option<CurvatureValue>,
}

/// What is remembered from one measurement to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct CurvatureMemory {
    top: Option<Tensor<1>>,
    preconditioned_top: Option<Tensor<1>>,
}

/// The update that the curvature is measured along.
pub(crate) struct Along<'a> {
    /// Δθ, where the step is linear in η.
    pub(crate) delta: Option<&'a ParamTensors>,
    /// g·Δθ of the mean loss.
    pub(crate) slope: f64,
    /// The optimizer after the step, whose state is the preconditioner's.
    pub(crate) optim: &'a ModuleOptimizer,
}

/// Measures the curvatures at the weights of a Hessian.
pub(crate) fn measure<M, G>(
    hessian: &mut Hessian<M, G>,
    along: &Along<'_>,
    config: &CurvatureConfig,
    memory: &mut CurvatureMemory,
) -> CurvatureMeasurement
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, String>,
{
    let directional_sharpness = timed(hessian, |hessian| {
        directional(hessian, along).unwrap_or_else(CurvatureValue::failed)
    });
    let hessian_sharpness = timed(hessian, |hessian| {
        largest(hessian, None, config.spectrum, &mut memory.top)
    });
    let preconditioned_sharpness = config.preconditioner.map(|preconditioner| {
        timed(hessian, |hessian| {
            let top = &mut memory.preconditioned_top;
            match preconditioner.inverse_root(hessian, along.optim) {
                Ok(root) => largest(hessian, Some(&root), config.spectrum, top),
                Err(error) => CurvatureValue::failed(error),
            }
        })
    });
    CurvatureMeasurement {
        directional_sharpness,
        hessian_sharpness,
        preconditioned_sharpness,
    }
}

/// The value with what it cost.
fn timed<M, G>(
    hessian: &mut Hessian<M, G>,
    measure: impl FnOnce(&mut Hessian<M, G>) -> CurvatureValue,
) -> CurvatureValue
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, String>,
{
    let (started, before) = (Instant::now(), hessian.gradients());
    let value = measure(hessian);
    CurvatureValue {
        gradients: hessian.gradients() - before,
        seconds: started.elapsed().as_secs_f64(),
        ..value
    }
}

fn directional<M, G>(
    hessian: &mut Hessian<M, G>,
    along: &Along<'_>,
) -> Result<CurvatureValue, HessianError>
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, String>,
{
    let Some(delta) = along.delta else {
        return Ok(CurvatureValue::failed(
            "the optimizer's step is not linear in the learning rate, so that it has no one direction",
        ));
    };
    if !along.slope.is_finite() {
        return Ok(CurvatureValue::without(CurvatureOutcome::NonFinite));
    }
    if along.slope <= 0.0 {
        return Ok(CurvatureValue::without(CurvatureOutcome::NotDescent));
    }
    let delta = hessian.vector_of(delta);
    let (bend, relative_error) = hessian.quadratic_form(&delta)?;
    Ok(CurvatureValue::measured(bend / along.slope, relative_error))
}

/// The largest eigenvalue of the Hessian, or of R H R for a diagonal R.
fn largest<M, G>(
    hessian: &mut Hessian<M, G>,
    root: Option<&Tensor<1>>,
    config: SpectrumConfig,
    top: &mut Option<Tensor<1>>,
) -> CurvatureValue
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, String>,
{
    let scaled = |v: &Tensor<1>| match root {
        Some(root) => v.clone() * root.clone(),
        None => v.clone(),
    };
    let mut search = || -> Result<CurvatureValue, HessianError> {
        let start = match top.take() {
            Some(top) => top,
            None => hessian.start()?,
        };
        hessian.recalibrate();
        let spectrum = Spectrum::new(&start, config, |v| {
            Ok(scaled(&hessian.product(&scaled(v))?.vector))
        })?;
        let Some(found) = spectrum.largest.into_iter().next() else {
            return Ok(CurvatureValue::without(CurvatureOutcome::NotConverged));
        };
        if !found.value.is_finite() {
            return Ok(CurvatureValue::without(CurvatureOutcome::NonFinite));
        }
        // The step that suited the first vector may not suit the eigenvector: measure along it.
        hessian.recalibrate();
        let direction = scaled(&found.vector);
        let product = hessian.product(&direction)?;
        let value = dot(&direction, &product.vector)?;
        let error = match &product.apart {
            Some(apart) => dot(&direction, apart)?.abs() / value.abs(),
            None => product.relative_error,
        };
        let rest = scaled(&product.vector) - found.vector.clone() * value;
        let residual = dot(&rest, &rest)?.sqrt() / value.abs();
        *top = Some(found.vector);
        // What the eigenvector misses enters the value by its square only.
        Ok(CurvatureValue::of_eigenvalue(
            value,
            error,
            residual,
            config.tolerance,
        ))
    };
    search().unwrap_or_else(CurvatureValue::failed)
}
