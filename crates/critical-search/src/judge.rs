use crate::line::Slope;
use crate::outcome::INTERVAL;
use crate::shape::Crossing;
use crate::trace::Trace;
use crate::verdict::Verdict;
use crate::{Bracket, Evaluation, Method, Outcome};

/// The relative error by rounding that is no measurement.
const UNRESOLVED: f64 = 0.25;
/// The deepest fall, in resolutions found by looks, that may be rounding.
const SHALLOW: f64 = 3.0;
/// If looks have found rounding, and it leaves this relative error, a bracket closes to this width, within this number
/// of evaluations.
const ROUNDED: f64 = 0.01;
const WIDE: f64 = 0.06;
const LONG: usize = 24;

/// The root that a search would report with a calibration factor of 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    root: f64,
    error: f64,
    rounding_error: f64,
}

impl Claim {
    /// Returns the claim's error beyond rounding in units of its estimate, or `None` if this root is the claim.
    pub(crate) fn ratio(&self, root: f64) -> Option<f64> {
        let off = (root / self.root).ln().abs();
        let ratio = (off - self.rounding_error).max(0.0) / self.error.max(self.rounding_error);
        (root != self.root).then_some(ratio)
    }
}

pub(crate) fn judge(trace: &Trace) -> Verdict {
    if let Some(outcome) = before_any(trace) {
        return Verdict::Ended(outcome);
    }
    let by_rounding = (trace.rounding).verdict(trace.evaluations(), &trace.config);
    let verdict = by_rounding.unwrap_or_else(|| by_signs(trace));
    match verdict {
        Verdict::Open | Verdict::Hidden(_) if trace.budget() == 0 => {
            Verdict::Ended(at_the_end_of_the_budget(trace))
        }
        verdict => verdict,
    }
}

fn before_any(trace: &Trace) -> Option<Outcome> {
    if !trace.line.base_loss.is_finite() {
        return Some(Outcome::NonFiniteBaseLoss);
    }
    match trace.line.slope {
        Slope::Known(slope) if !slope.is_finite() => Some(Outcome::NonFiniteSlope),
        _ => None,
    }
}

fn by_signs(trace: &Trace) -> Verdict {
    match (trace.last_fall(), trace.first_rise()) {
        (Some(fall), Some(rise)) => by_bracket(trace, fall, rise),
        (Some(fall), None) if fall.learning_rate >= trace.config.max_learning_rate => {
            Verdict::Ended(if trace.may_have_risen() {
                Outcome::BelowResolution
            } else {
                Outcome::NoIncrease {
                    limit: fall.learning_rate,
                }
            })
        }
        _ => Verdict::Open,
    }
}

fn by_bracket(trace: &Trace, fall: &Evaluation, rise: &Evaluation) -> Verdict {
    let crossing = trace.crossing(fall, rise);
    if !is_good_enough(trace, fall, rise, &crossing) {
        return Verdict::Open;
    }
    if crossing.rounding_error >= UNRESOLVED || is_shallow(trace) {
        return Verdict::Ended(Outcome::BelowResolution);
    }
    let error = crossing.stated_error(&trace.calibration);
    let (lower, upper) = (fall.learning_rate, rise.learning_rate);
    let mut bracket = Bracket::new(lower, upper, &crossing, error);
    bracket.explodes = !rise.rise.is_finite();
    Verdict::Ended(resolved(bracket, fall, rise))
}

fn is_good_enough(
    trace: &Trace,
    fall: &Evaluation,
    rise: &Evaluation,
    crossing: &Crossing,
) -> bool {
    let width = 1.0 - fall.learning_rate / rise.learning_rate;
    let is_rounded = trace.line.has_found_rounding() && crossing.rounding_error > ROUNDED;
    let is_long = is_shallow(trace) || trace.evaluations().len() >= LONG;
    if is_rounded && width > WIDE && !is_long {
        return false;
    }
    // Once rounding has made an end of a narrow bracket, no further evaluation helps.
    let is_hidden = trace.is_hidden(fall, rise);
    let of_rounding = if is_hidden {
        crossing.rounding_error
    } else {
        0.0
    };
    let wanted = trace.wanted_accuracy(fall, rise).max(of_rounding);
    let is_accurate =
        trace.method == Method::Published || crossing.asked_error(&trace.calibration) <= wanted;
    width <= trace.tolerance() && is_accurate
}

/// Whether the loss falls by little more than rounding that looks have found, and may have underestimated.
fn is_shallow(trace: &Trace) -> bool {
    trace.line.has_found_rounding() && trace.deepest_fall() <= SHALLOW * trace.line.resolution()
}

/// Returns the root to report if the loss is smooth; later evaluations show its error.
pub(crate) fn claim(trace: &Trace) -> Option<Claim> {
    let (fall, rise) = (trace.last_fall()?, trace.first_rise()?);
    let crossing = trace.crossing(fall, rise);
    let width = 1.0 - fall.learning_rate / rise.learning_rate;
    let is_good = width <= trace.tolerance() && crossing.smooth_error <= trace.accuracy();
    is_good.then_some(Claim {
        root: crossing.root,
        error: crossing.smooth_error,
        rounding_error: crossing.rounding_error,
    })
}

/// Returns the bracket, unless the examples spread so much that η_c might be 0.
fn resolved(mut bracket: Bracket, fall: &Evaluation, rise: &Evaluation) -> Outcome {
    let chord = (rise.rise - fall.rise) / (rise.learning_rate - fall.learning_rate);
    let steepness = bracket.steepness.unwrap_or(chord);
    let error = match (fall.standard_error, rise.standard_error) {
        (Some(a), Some(b)) => Some(a.max(b) / steepness).filter(|error| error.is_finite()),
        _ => None,
    };
    if error.is_some_and(|error| INTERVAL * error >= bracket.critical_lr()) {
        return Outcome::BelowResolution;
    }
    bracket.standard_error = error;
    Outcome::Bracketed(bracket)
}

fn at_the_end_of_the_budget(trace: &Trace) -> Outcome {
    let mut seen = trace.evaluations().iter();
    if seen.all(|seen| trace.rounding.hides(seen)) {
        return Outcome::BelowResolution;
    }
    Outcome::BudgetExhausted {
        lower: trace.lower(),
        upper: trace.upper(),
    }
}
