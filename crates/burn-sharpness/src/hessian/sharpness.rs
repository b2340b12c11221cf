use super::error::HessianError;
use super::lanczos::largest_eigenvalues;
use super::product::{Hessian, dot};
use crate::config::{CurvatureConfig, SpectrumConfig};
use crate::params::ParamTensors;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Tensor;
use sharpness_record::{CurvatureMeasurement, CurvatureOutcome, CurvatureValue};
use std::time::Instant;

/// The largest relative error, by the difference quotients at neighbouring steps.
const RESOLVED: f64 = 0.02;

pub(crate) fn failed(reason: impl ToString) -> CurvatureValue {
    let mut value = CurvatureValue::new(CurvatureOutcome::Failed);
    value.reason = Some(reason.to_string());
    value
}

pub(super) fn measured(value: f64, relative_error: f64) -> CurvatureValue {
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

#[derive(Clone, Debug, Default)]
pub(crate) struct CurvatureMemory {
    top: Option<Tensor<1>>,
    preconditioned_top: Option<Tensor<1>>,
}

pub(crate) struct AlongUpdate<'a> {
    pub(crate) delta: Option<&'a ParamTensors>,
    pub(crate) slope: f64,
    pub(crate) optim: &'a ModuleOptimizer,
}

pub(crate) fn measure<M: Module>(
    hessian: &mut Hessian<'_, M>,
    along: &AlongUpdate<'_>,
    config: &CurvatureConfig,
    memory: &mut CurvatureMemory,
) -> CurvatureMeasurement {
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

fn timed<M: Module>(
    hessian: &mut Hessian<'_, M>,
    measure: impl FnOnce(&mut Hessian<'_, M>) -> CurvatureValue,
) -> CurvatureValue {
    let (started, before) = (Instant::now(), hessian.gradients);
    let mut value = measure(hessian);
    value.gradients = hessian.gradients - before;
    value.seconds = started.elapsed().as_secs_f64();
    value
}

fn directional<M: Module>(
    hessian: &mut Hessian<'_, M>,
    along: &AlongUpdate<'_>,
) -> Result<CurvatureValue, HessianError> {
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
    let (bend, relative_error, _) = hessian.quadratic_form(&delta)?;
    Ok(measured(bend / along.slope, relative_error))
}

fn largest<M: Module>(
    hessian: &mut Hessian<'_, M>,
    root: Option<&Tensor<1>>,
    config: SpectrumConfig,
    top: &mut Option<Tensor<1>>,
) -> CurvatureValue {
    let scaled = |v: &Tensor<1>| match root {
        Some(root) => v.clone() * root.clone(),
        None => v.clone(),
    };
    let mut search = || -> Result<CurvatureValue, HessianError> {
        let start = match top.take() {
            Some(top) => top,
            None => hessian.start()?,
        };
        hessian.step = None;
        let found = largest_eigenvalues(&start, config, |v| {
            Ok(scaled(&hessian.product(&scaled(v))?))
        })?;
        let Some((value, vector)) = found.into_iter().next() else {
            return Ok(CurvatureValue::new(CurvatureOutcome::NotConverged));
        };
        if !value.is_finite() {
            return Ok(CurvatureValue::new(CurvatureOutcome::NonFinite));
        }
        // The step that suited the first vector may not suit the eigenvector, so measure along it.
        let (value, error, product) = hessian.quadratic_form(&scaled(&vector))?;
        let rest = scaled(&product) - vector.clone() * value;
        let residual = dot(&rest, &rest)?.sqrt() / value.abs();
        *top = Some(vector);
        // An error of the eigenvector enters the value only by its square.
        Ok(of_eigenvalue(value, error, residual, config.tolerance))
    };
    search().unwrap_or_else(failed)
}
