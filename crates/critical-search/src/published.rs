//! The published estimator (arXiv 2601.16979): exponential search, then bisection.

use crate::trace::Trace;

/// Returns the next learning rate after the first: doubles while the loss has not risen, halves
/// while it has not fallen, then bisects.
///
/// From a guess within a factor 2 of η_c this takes 2 evaluations to enclose it and k more to reach
/// a tolerance of 2⁻ᵏ. Only the signs of the rises matter.
pub(crate) fn next(trace: &Trace) -> f64 {
    match (trace.lower(), trace.upper()) {
        (Some(lower), Some(upper)) => lower + 0.5 * (upper - lower),
        (Some(lower), None) => 2.0 * lower,
        (None, upper) => 0.5 * upper.unwrap_or(f64::INFINITY),
    }
}
