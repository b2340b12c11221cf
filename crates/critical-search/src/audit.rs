//! Checks a result, beyond its certificate, before a search reports it.

use crate::guess::Guess;
use crate::judge::Claim;
use crate::line::Trust;
use crate::look::{Room, RoundingCheck};
use crate::shape::sorted;
use crate::trace::Trace;
use crate::{Bracket, Evaluation, Outcome};

const VERIFICATION: f64 = 2.0;
const ROUNDED: f64 = 1e-9;
/// The smallest rise that a verification sees, in resolutions.
const VISIBLE: f64 = 4.0;
/// The learning rate of the first slope test, as a share of η_c.
const NEAR_START: f64 = 0.03;
const SLOPE_TOLERANCE: f64 = 0.2;
const NEARER: f64 = 0.125;
const SLOPE_EVALUATIONS: usize = 3;
/// On a straight line, a slope test nearer to 0 leaves at least this share of the slope's error.
const STRAIGHT: f64 = 0.9;
/// A longer first measurement does not check its root.
const FIRST: usize = 6;
const SAME_RATE: f64 = 0.05;
/// A fall of this many resolutions is no rounding, even if looks at such a loss have missed some.
const CREDIBLE: f64 = 4096.0;

#[derive(Default)]
pub(crate) struct Audit {
    guess: Guess,
    pub(crate) rounding: RoundingCheck,
    is_root_due: bool,
    is_slope_due: bool,
    is_rate_due: bool,
    is_far_due: bool,
    pub(crate) slope_holds: Option<bool>,
    claim: Option<Claim>,
    has_doubted: bool,
}

impl Audit {
    pub(crate) fn of(trace: &Trace, guess: &Guess) -> Self {
        let line = &trace.line;
        Self {
            guess: *guess,
            rounding: RoundingCheck::new(guess.rounding.look(line), line.rounding),
            is_root_due: guess.calibration.is_due(),
            is_far_due: guess.is_far_due(),
            is_rate_due: guess.is_measured()
                && (guess.calibration.is_new() || guess.calibration.is_wild()),
            // The first measurement of a run is already long.
            is_slope_due: line.slope().is_some()
                && guess.is_measured()
                && guess.slope_test.is_due(),
            slope_holds: None,
            claim: None,
            has_doubted: false,
        }
    }

    pub(crate) fn none() -> Self {
        Self {
            has_doubted: true,
            ..Self::default()
        }
    }

    pub(crate) fn claim_ratio(&self, bracket: &Bracket) -> Option<f64> {
        self.claim?.ratio(bracket.critical_lr())
    }

    pub(crate) fn pending(&mut self, trace: &mut Trace) -> Option<f64> {
        let next = self.rounding.pending(room(trace));
        if next.is_some() {
            return next;
        }
        if let Some(seen) = self.rounding.seen(trace.evaluations()) {
            trace.set_resolution(seen);
        }
        None
    }

    pub(crate) fn note(&mut self, claim: Option<Claim>) {
        self.claim = self.claim.or(claim);
    }

    pub(crate) fn next(&mut self, trace: &mut Trace, outcome: &Outcome) -> Option<f64> {
        if trace.budget() == 0 {
            return None;
        }
        let rate = match outcome {
            Outcome::Bracketed(bracket) => self
                .look(trace, bracket)
                .or_else(|| self.slope_test(trace, bracket))
                .or_else(|| self.root(trace, bracket))
                .or_else(|| self.rate_in_use(trace, bracket))
                .or_else(|| earlier(trace, bracket)),
            Outcome::NoIncrease { .. } => near(trace).or_else(|| {
                let limit = if self.is_far_due {
                    f64::INFINITY
                } else {
                    last_recovered(trace).max(before_first(trace))
                };
                gap(trace, limit)
            }),
            Outcome::NotDescent => self.choose(trace, first_rise(trace)?),
            Outcome::BelowResolution if trace.line.has_found_rounding() => {
                if !std::mem::replace(&mut self.has_doubted, true)
                    && self.guess.rounding.may_hide_less()
                {
                    self.rounding.doubt();
                }
                let rise = first_rise(trace)?;
                self.choose(
                    trace,
                    last_hidden(trace, rise).map_or(rise, |hidden| (hidden * rise).sqrt()),
                )
            }
            _ => None,
        };
        rate.map(|rate| trace.within_limits(rate))
    }

    fn slope_test(&mut self, trace: &mut Trace, bracket: &Bracket) -> Option<f64> {
        let slope = trace.line.slope().filter(|_| self.is_slope_due)?;
        let near = NEAR_START * bracket.critical_lr();
        let off = |seen: &Evaluation| (-seen.point().h / slope - 1.0).abs();
        let rounding = |rate: f64| trace.line.resolution() / (slope * rate);
        let mut seen = by_rate(trace);
        seen.retain(|seen| seen.learning_rate <= 2.0 * near);
        let verdict = match seen.as_slice() {
            [nearest, ..] if off(nearest) <= SLOPE_TOLERANCE => Some(true),
            [a, b, ..] if off(a) >= STRAIGHT * off(b) - rounding(a.learning_rate) => Some(false),
            _ => None,
        };
        let next = seen
            .first()
            .map_or(near, |seen| NEARER * seen.learning_rate);
        let is_visible = rounding(next) <= 0.5 * SLOPE_TOLERANCE;
        if verdict.is_none() && is_visible && seen.len() < SLOPE_EVALUATIONS {
            return Some(next);
        }
        self.is_slope_due = false;
        self.slope_holds = verdict;
        if verdict == Some(false) {
            trace.distrust_slope();
        }
        None
    }

    fn root(&mut self, trace: &Trace, bracket: &Bracket) -> Option<f64> {
        std::mem::take(&mut self.is_root_due).then_some(())?;
        let root = bracket.critical_lr();
        let is_new = root > bracket.lower() && root < bracket.upper();
        let is_free = self.guess.is_measured() || trace.evaluations().len() < FIRST;
        (is_new && is_free).then_some(root)
    }

    fn rate_in_use(&mut self, trace: &Trace, bracket: &Bracket) -> Option<f64> {
        let rate = trace.within_limits(trace.line.rate_in_use?);
        let mut rates = trace.rates();
        let is_seen = rates.any(|seen| (seen / rate - 1.0).abs() < SAME_RATE);
        (rate < bracket.lower() && !is_seen && self.is_rate_due).then_some(rate)
    }

    fn look(&mut self, trace: &Trace, bracket: &Bracket) -> Option<f64> {
        if !std::mem::replace(&mut self.has_doubted, true) && self.is_doubtful(trace, bracket) {
            self.rounding.doubt();
        }
        self.choose(trace, bracket.critical_lr())
    }

    fn choose(&mut self, trace: &Trace, crossing: f64) -> Option<f64> {
        self.rounding.choose(crossing, room(trace))
    }

    fn is_doubtful(&self, trace: &Trace, bracket: &Bracket) -> bool {
        if trace.line.rounding == Trust::Known {
            return false;
        }
        let is_surprise = self.guess.is_surprise(&trace.line, bracket.critical_lr());
        let fall = trace.depth();
        let is_credible = fall > CREDIBLE * trace.line.resolution()
            && self.guess.rounding.has_seen_this_loss(&trace.line);
        (is_surprise && !is_credible) || self.guess.rounding.doubts(fall, trace.line.resolution())
    }

    pub(crate) fn verified_from(trace: &Trace, bracket: &Bracket) -> Option<f64> {
        let is_verified = trace.config.verification > 0 && earlier(trace, bracket).is_none();
        is_verified.then(|| looked_down_to(trace, bracket).0)
    }
}

fn room(trace: &Trace) -> Room<'_> {
    Room {
        limits: trace.config.min_learning_rate..=trace.config.max_learning_rate,
        seen: trace.evaluations(),
        budget: trace.budget(),
    }
}

/// A loss that falls far out may have risen at the rate in use.
fn near(trace: &Trace) -> Option<f64> {
    let rate = trace.within_limits(trace.line.rate_in_use?);
    let smallest = trace.rates().min_by(f64::total_cmp)?;
    (rate < smallest).then_some(rate)
}

/// Returns the last rate with less than half of the fall before it, or 0: a rise may lie beside such a rate.
fn last_recovered(trace: &Trace) -> f64 {
    let (mut deepest, mut last) = (0.0_f64, 0.0);
    for seen in by_rate(trace) {
        if trace.rounding.falls(seen) {
            deepest = deepest.min(seen.rise);
        }
        if seen.rise > 0.5 * deepest {
            last = seen.learning_rate;
        }
    }
    last
}

/// Returns the last rate below the first evaluation, which a prediction may have put far above the rate in use.
fn before_first(trace: &Trace) -> f64 {
    let first = trace.rates().next().unwrap_or(0.0);
    let below = trace.rates().filter(|rate| *rate < first);
    below.fold(0.0, f64::max)
}

/// The first unseen doubling that starts at this rate or below.
fn gap(trace: &Trace, limit: f64) -> Option<f64> {
    let rates = sorted(trace.rates());
    let mut gaps = rates.windows(2).filter(|pair| pair[0] <= limit);
    let gap = gaps.find(|pair| is_unseen(pair[0], pair[1]))?;
    Some(VERIFICATION * gap[0])
}

fn first_rise(trace: &Trace) -> Option<f64> {
    let seen = trace.evaluations().iter();
    let rates = seen.filter(|seen| trace.rounding.rises(seen));
    rates.map(|seen| seen.learning_rate).min_by(f64::total_cmp)
}

fn last_hidden(trace: &Trace, rise: f64) -> Option<f64> {
    let seen = trace.evaluations().iter();
    let rates = seen.filter(|seen| seen.learning_rate < rise && trace.rounding.hides(seen));
    rates.map(|seen| seen.learning_rate).max_by(f64::total_cmp)
}

/// Below this rate, rounding would hide a rise as steep as the bracket's.
fn floor(trace: &Trace, bracket: &Bracket) -> f64 {
    let halvings = trace.config.verification as i32;
    let steepness = bracket.steepness.unwrap_or(f64::INFINITY);
    let visible = VISIBLE * trace.line.resolution() / steepness;
    (bracket.lower() * VERIFICATION.powi(-halvings))
        .max(visible)
        .max(trace.config.min_learning_rate)
}

fn by_rate(trace: &Trace) -> Vec<&Evaluation> {
    let mut seen: Vec<&Evaluation> = trace.evaluations().iter().collect();
    seen.sort_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate));
    seen
}

/// Returns the end of the verified range, and whether a rise ends it, even if rounding may have made the rise.
fn looked_down_to(trace: &Trace, bracket: &Bracket) -> (f64, bool) {
    let mut from = bracket.lower();
    let seen = by_rate(trace).into_iter().rev();
    for seen in seen.filter(|seen| seen.learning_rate < bracket.lower()) {
        if is_unseen(seen.learning_rate, from) {
            break;
        }
        if seen.is_rise() {
            return (from, true);
        }
        from = seen.learning_rate;
    }
    (from, false)
}

fn is_unseen(from: f64, to: f64) -> bool {
    to > from * VERIFICATION * (1.0 + ROUNDED)
}

fn earlier(trace: &Trace, bracket: &Bracket) -> Option<f64> {
    let (from, is_ended) = looked_down_to(trace, bracket);
    let next = from / VERIFICATION;
    let is_wanted = trace.config.verification > 0 && !is_ended;
    (is_wanted && next >= floor(trace, bracket) * (1.0 - ROUNDED)).then_some(next)
}
