//! The published estimator (arXiv 2601.16979): exponential search, then bisection.

use crate::guess::Guess;
use crate::trace::Trace;

/// The next learning rate to evaluate: double while the loss has not risen, halve while it has not
/// fallen, then bisect.
///
/// From a guess within a factor 2 of η_c this takes 2 evaluations to enclose it and k more to reach
/// a tolerance of 2⁻ᵏ. It looks at the sign of each rise and at nothing else.
pub(crate) fn next(trace: &Trace, guess: &Guess) -> f64 {
    match (trace.lower(), trace.upper()) {
        (None, None) => guess.critical_lr(),
        (Some(lower), None) => 2.0 * lower,
        (None, Some(upper)) => 0.5 * upper,
        (Some(lower), Some(upper)) => lower + 0.5 * (upper - lower),
    }
}
