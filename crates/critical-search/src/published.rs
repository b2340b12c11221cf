//! The published estimator (arXiv 2601.16979): exponential search, then bisection.

use crate::trace::Trace;

/// The next learning rate after the first: double while the loss has not risen, halve while it has
/// not fallen, then bisect.
///
/// From a guess within a factor 2 of η_c this takes 2 evaluations to enclose it and k more to reach
/// a tolerance of 2⁻ᵏ. It looks at the sign of each rise and at nothing else.
pub(crate) fn next(trace: &Trace) -> f64 {
    match (trace.lower(), trace.upper()) {
        (Some(lower), Some(upper)) => lower + 0.5 * (upper - lower),
        (Some(lower), None) => 2.0 * lower,
        (None, upper) => 0.5 * upper.unwrap_or(f64::INFINITY),
    }
}
