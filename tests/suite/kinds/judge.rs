use super::fault::{Fault, Verdict};
use sharpness_tests::prelude::*;

/// Rounding of the weights moves the crossing.
const LEAST_ERROR: f64 = 2e-4;
/// The range of the scan, as a factor from the current learning rate.
const REACH: f64 = 1e5;
const REACH_BELOW: f64 = 1e3;
const CLEAR: f64 = 3.0;
/// The stairs within which a search may miss a fall, and the neighbours that show stairs.
const STAIRS: usize = 2;
const NEIGHBOURS: usize = 64;
/// A verified bracket misses no rise that lasts for this factor.
const PROMISED: f64 = 2.0;
const LARGEST: f64 = 1e6;

/// `wide` is the same loss in 64 bits, if the measured loss has 16.
pub fn judge(
    measured: &Measurement,
    scan: &mut Scan<'_>,
    wide: Option<&dyn Fn(f64) -> f64>,
) -> Verdict {
    let mut verdict = Verdict::default();
    match (&measured.outcome, measured.critical_lr) {
        (Bracketed, Some(critical_lr)) => {
            judge_bracket(measured, critical_lr, scan, &mut verdict);
            if let Some(wide) = wide {
                judge_wide(critical_lr, wide, &mut verdict);
            }
        }
        (Failed | NonFiniteBaseLoss | NonFiniteSlope, _) => {}
        _ => judge_name(measured, scan, wide, &mut verdict),
    }
    judge_agreement(measured, scan, &mut verdict);
    verdict
}

fn judge_bracket(
    measured: &Measurement,
    critical_lr: f64,
    scan: &mut Scan<'_>,
    verdict: &mut Verdict,
) {
    let level = scan.level(critical_lr);
    let error = measured.critical_lr_error.unwrap_or(0.0).max(LEAST_ERROR);
    let below = scan.over(critical_lr / REACH_BELOW, critical_lr / 1.02);
    let deepest = below.iter().map(|(_, rise)| *rise).fold(0.0, f64::min);
    if deepest.min(measured.lower.map_or(0.0, |lower| scan.at(lower))) >= -level {
        let note = format!("η_c {critical_lr:e}, falls by {deepest:e} at most, level {level:e}");
        verdict.add(Fault::Rounding, note);
        return;
    }
    let is_within = |error: f64| {
        let after = scan.at(critical_lr * (1.0 + error));
        // NaN is above everything.
        let is_above = after >= -level || after.is_nan();
        is_above && scan.at(critical_lr * (1.0 - error.min(0.99))) <= level
    };
    let bounds = [
        (Fault::Outside, error),
        (Fault::Off3, 3.0 * error),
        (Fault::Off5, 0.05),
    ];
    let wrong = bounds.into_iter().filter(|(_, bound)| !is_within(*bound));
    let wrong: Vec<_> = wrong.collect();
    if !wrong.is_empty() {
        let mut crossings = scan.crossings(critical_lr / REACH_BELOW, critical_lr * 1.6, level);
        // A staircase also crosses between the scan's points, and certainly in a certified bracket.
        if let (Some(lower), Some(upper)) = (measured.lower, measured.upper)
            && scan.at(lower) <= 0.0
            && scan.at(upper) > 0.0
        {
            crossings.push(scan.bisected(lower, upper));
        }
        let off = |crossing: &f64| (critical_lr / crossing - 1.0).abs();
        let crossings = crossings.into_iter();
        let nearest = crossings.min_by(|a, b| off(a).total_cmp(&off(b)));
        let off = nearest.as_ref().map_or(f64::INFINITY, off);
        for (fault, bound) in wrong {
            if off > bound {
                let note = format!(
                    "η_c {critical_lr:e} ± {error:.4}, the nearest crossing is at {nearest:?}, off by {off:.4}, level {level:e}"
                );
                verdict.add(fault, note);
            }
        }
    }
    let before = critical_lr * (1.0 - (3.0 * error).clamp(0.05, 0.99));
    let is_rise = |(rate, rise): &(f64, f64), scan: &mut Scan<'_>| {
        *rate < before && *rise > 2.0 * level && *rise > CLEAR * scan.level(*rate)
    };
    let earlier = below.iter().find(|point| is_rise(point, scan)).copied();
    if let Some((rate, rise)) = earlier {
        let from = measured.verified_from.unwrap_or(f64::INFINITY);
        let (mut first, mut lasts) = (None, false);
        for point in below.iter().filter(|(rate, _)| *rate >= from) {
            let start = *first.get_or_insert(point.0);
            if is_rise(point, scan) {
                lasts |= point.0 >= PROMISED * start;
            } else {
                first = None;
            }
        }
        let fault = if lasts { Fault::Verified } else { Fault::Later };
        let note = format!("η_c {critical_lr:e}, rises by {rise:e} at {rate:e}, level {level:e}");
        verdict.add(fault, note);
    }
    if let Some(rate) = measured.learning_rate
        && rate > 0.0
        && critical_lr > 1.05 * rate
    {
        let rise = scan.at(rate);
        if rise > CLEAR * scan.level(rate) {
            let note = format!("η_c {critical_lr:e}, rises by {rise:e} at {rate:e}");
            verdict.add(Fault::Side, note);
        }
    }
}

fn judge_agreement(measured: &Measurement, scan: &mut Scan<'_>, verdict: &mut Verdict) {
    let (Some(agreement), Some(error), Some(rate), Some(slope)) = (
        measured.agreement,
        measured.agreement_error,
        measured.learning_rate,
        measured.slope,
    ) else {
        return;
    };
    let exact = -scan.at(rate) / (rate * slope);
    let level = scan.level(rate) / (rate * slope).abs();
    let off = (agreement - exact).abs() - level;
    for (fault, bound) in [(Fault::Agreement, error), (Fault::Agreement3, 3.0 * error)] {
        if off > bound || off.is_nan() {
            let note = format!("agreement {agreement} ± {error}, but {exact}, level {level}");
            verdict.add(fault, note);
        }
    }
}

fn judge_wide(critical_lr: f64, wide: &dyn Fn(f64) -> f64, verdict: &mut Verdict) {
    let (nearest, farthest) = (critical_lr / 8.0, critical_lr * 8.0);
    let mut wide = Scan::new(wide, None, 0.0);
    if wide.at(nearest) > 0.0 {
        return;
    }
    let crossings = wide.crossings(nearest, farthest, 0.0);
    if let Some(crossing) = crossings.first() {
        let off = (critical_lr / crossing - 1.0).abs();
        verdict.off_64_bits = Some(off);
        if off > 0.5 {
            let note = format!("η_c {critical_lr:e}, in 64 bits {crossing:e}");
            verdict.add(Fault::Far64, note);
        }
    }
}

fn stairs(scan: &Scan<'_>, from: f64, to: f64) -> usize {
    let rate = |place: usize| from * (to / from).powf(place as f64 / NEIGHBOURS as f64);
    let rises: Vec<f64> = (0..=NEIGHBOURS).map(|place| scan.at(rate(place))).collect();
    rises.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// For a factor that a search everywhere sees.
fn has_lasting_rise(scan: &mut Scan<'_>, from: f64, to: f64) -> bool {
    let mut start = None;
    for (rate, rise) in scan.over(from, to) {
        if rise > CLEAR * scan.level(rate) || rise.is_nan() {
            if rate >= PROMISED * *start.get_or_insert(rate) {
                return true;
            }
        } else {
            start = None;
        }
    }
    false
}

fn judge_name(
    measured: &Measurement,
    scan: &mut Scan<'_>,
    wide: Option<&dyn Fn(f64) -> f64>,
    verdict: &mut Verdict,
) {
    let rate = measured.learning_rate.filter(|rate| *rate > 0.0);
    let rate = rate.unwrap_or(1e-3);
    let line = scan.over(rate / REACH, (rate * REACH).min(LARGEST));
    let (mut first_fall, mut first_rise) = (None, None);
    let (mut last, mut jump, mut hidden) = (0.0, 0.0f64, 0.0);
    for (rate, rise) in line {
        let is_candidate = match first_fall {
            None => rise.abs() > 2.0 * jump.max((rise - last).abs()) || rise > 2.0 * jump,
            Some(_) => rise > 0.0,
        };
        if rise.is_nan() {
            first_rise = Some((rate, rise));
        } else if is_candidate && rise.abs() > 1.2 * hidden {
            if rise.abs() <= CLEAR * scan.level(rate) {
                hidden = rise.abs();
            } else if rise > 0.0 {
                first_rise = Some((rate, rise));
            } else {
                (first_fall, hidden) = (Some((rate, rise)), 0.0);
            }
        }
        if first_rise.is_some() {
            break;
        }
        jump = jump.max((rise - last).abs());
        last = rise;
    }
    let note = format!("first fall {first_fall:?}, first rise {first_rise:?}");
    let limit = measured.lower.unwrap_or(LARGEST);
    match (&measured.outcome, first_fall, first_rise) {
        (NotDescent, Some((fall, _)), Some((rise, _))) if stairs(scan, fall, rise) <= STAIRS => {
            verdict.add(Fault::Missed, note);
        }
        // A stair of 16 bits is no fall if the loss rises there in 64 bits.
        (NotDescent, Some((fall, _)), _) if wide.is_some_and(|wide| wide(fall) > 0.0) => {}
        (NotDescent, Some(_), _) => verdict.add(Fault::NotDescent, note),
        (NotDescent, None, _) => {}
        (NoIncrease, _, Some((first, _))) if first < limit => {
            let fault = match has_lasting_rise(scan, rate, limit) {
                true => Fault::NoIncrease,
                false => Fault::Missed,
            };
            verdict.add(fault, note);
        }
        (_, Some(_), Some(_)) => verdict.add(Fault::Missed, note),
        (_, None, Some(_)) => verdict.add(Fault::Misnamed, note),
        _ => {}
    }
}
