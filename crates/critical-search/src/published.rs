//! Implements the published estimator (arXiv 2601.16979): exponential search, then bisection.

use crate::trace::Trace;

/// Returns the next learning rate after the first: it doubles until the loss rises, halves until it falls, then
/// bisects.
pub(crate) fn next(trace: &Trace) -> f64 {
    match (trace.lower(), trace.upper()) {
        (Some(lower), Some(upper)) => lower + 0.5 * (upper - lower),
        (Some(lower), None) => 2.0 * lower,
        (None, upper) => 0.5 * upper.unwrap_or(f64::INFINITY),
    }
}
