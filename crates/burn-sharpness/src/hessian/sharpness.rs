use super::error::{GradientError, HessianError};
use super::lanczos::{Spectrum, SpectrumConfig};
use super::preconditioner::AdamPreconditioner;
use super::product::{Hessian, dot};
use crate::params::ParamTensors;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use sharpness_record::{CurvatureMeasurement, CurvatureOutcome, CurvatureValue};
use std::time::Instant;

/// The relative error of a value, by the difference quotients at neighbouring steps, above which it
/// is not shown.
const RESOLVED: f64 = 0.02;

/// What curvature a probe measures besides λ_c, and how often.
///
/// [`SharpnessProbe::new`](crate::SharpnessProbe::new) checks the values.
///
/// ```
/// use burn_sharpness::hessian::{AdamPreconditioner, CurvatureConfig, SpectrumConfig};
/// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
///
/// // The values that the optimizer, Adam or AdamW, was made with.
/// let adam = AdamPreconditioner { beta_1: 0.9, beta_2: 0.95, epsilon: 1e-8 };
/// let curvature = CurvatureConfig::new(100)
///     .with_preconditioner(adam)
///     .with_spectrum(SpectrumConfig { tolerance: 0.001, ..SpectrumConfig::default() });
/// let config = SharpnessConfig::new().with_every(10).with_curvature(curvature);
/// SharpnessProbe::new(config)?;
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
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
    /// Measures the directional and the Hessian sharpness every so many steps, at least 1.
    pub fn new(every: u64) -> Self {
        Self {
            every,
            spectrum: SpectrumConfig::default(),
            preconditioner: None,
        }
    }

    /// Measures the preconditioned sharpness, too.
    pub fn with_preconditioner(mut self, preconditioner: AdamPreconditioner) -> Self {
        self.preconditioner = Some(preconditioner);
        self
    }

    /// How far the search for the largest eigenvalue goes; by default as
    /// [`SpectrumConfig::default`] says.
    pub fn with_spectrum(mut self, spectrum: SpectrumConfig) -> Self {
        self.spectrum = spectrum;
        self
    }
}

fn failed(reason: impl ToString) -> CurvatureValue {
    let mut value = CurvatureValue::new(CurvatureOutcome::Failed);
    value.reason = Some(reason.to_string());
    value
}

fn measured(value: f64, relative_error: f64) -> CurvatureValue {
    let outcome = if !value.is_finite() {
        CurvatureOutcome::NonFinite
    } else if relative_error <= RESOLVED {
        CurvatureOutcome::Measured
    } else {
        CurvatureOutcome::BelowResolution
    };
    let is_measured = outcome == CurvatureOutcome::Measured;
    let mut result = CurvatureValue::new(outcome);
    result.value = is_measured.then_some(value);
    result.relative_error = Some(relative_error).filter(|error| error.is_finite());
    result
}

fn of_eigenvalue(value: f64, relative_error: f64, residual: f64, tolerance: f64) -> CurvatureValue {
    let mut result = measured(value, relative_error);
    result.residual = Some(residual).filter(|residual| residual.is_finite());
    if residual > tolerance && result.value.take().is_some() {
        result.outcome = CurvatureOutcome::NotConverged;
    }
    result
}

/// What is remembered from one measurement to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct CurvatureMemory {
    top: Option<Tensor<1>>,
    preconditioned_top: Option<Tensor<1>>,
}

/// The update that the curvature is measured along.
pub(crate) struct AlongUpdate<'a> {
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
    along: &AlongUpdate<'_>,
    config: &CurvatureConfig,
    memory: &mut CurvatureMemory,
) -> CurvatureMeasurement
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, GradientError>,
{
    let directional_sharpness = timed(hessian, |hessian| {
        directional(hessian, along).unwrap_or_else(failed)
    });
    let hessian_sharpness = timed(hessian, |hessian| {
        largest(hessian, None, config.spectrum, &mut memory.top)
    });
    let preconditioned_sharpness = config.preconditioner.map(|preconditioner| {
        timed(hessian, |hessian| {
            let top = &mut memory.preconditioned_top;
            match preconditioner.inverse_root(hessian, along.optim) {
                Ok(root) => largest(hessian, Some(&root), config.spectrum, top),
                Err(error) => failed(error),
            }
        })
    });
    let mut measurement = CurvatureMeasurement::new(directional_sharpness, hessian_sharpness);
    measurement.preconditioned_sharpness = preconditioned_sharpness;
    measurement
}

/// The value with what it cost.
fn timed<M, G>(
    hessian: &mut Hessian<M, G>,
    measure: impl FnOnce(&mut Hessian<M, G>) -> CurvatureValue,
) -> CurvatureValue
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, GradientError>,
{
    let (started, before) = (Instant::now(), hessian.gradients());
    let mut value = measure(hessian);
    value.gradients = hessian.gradients() - before;
    value.seconds = started.elapsed().as_secs_f64();
    value
}

fn directional<M, G>(
    hessian: &mut Hessian<M, G>,
    along: &AlongUpdate<'_>,
) -> Result<CurvatureValue, HessianError>
where
    M: Module,
    G: FnMut(&M) -> Result<GradientsParams, GradientError>,
{
    let Some(delta) = along.delta else {
        return Ok(failed(
            "the optimizer's step is not linear in the learning rate, so that each learning rate has another direction",
        ));
    };
    if !along.slope.is_finite() {
        return Ok(CurvatureValue::new(CurvatureOutcome::NonFinite));
    }
    if along.slope <= 0.0 {
        return Ok(CurvatureValue::new(CurvatureOutcome::NotDescent));
    }
    let delta = hessian.vector_of(delta);
    let (bend, relative_error) = hessian.quadratic_form(&delta)?;
    Ok(measured(bend / along.slope, relative_error))
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
    G: FnMut(&M) -> Result<GradientsParams, GradientError>,
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
            return Ok(CurvatureValue::new(CurvatureOutcome::NotConverged));
        };
        if !found.value.is_finite() {
            return Ok(CurvatureValue::new(CurvatureOutcome::NonFinite));
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
        Ok(of_eigenvalue(value, error, residual, config.tolerance))
    };
    search().unwrap_or_else(failed)
}
