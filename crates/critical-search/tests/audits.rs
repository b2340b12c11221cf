//! Tests the checks beyond a search's certificate.

mod given;

use critical_search::{CriticalSearch, Guess, LossLine, Outcome, SearchConfig, SearchResult};
use given::search;

struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        let product = self.0.wrapping_mul(6364136223846793005);
        self.0 = product.wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }

    fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }
}

/// The rise; the smooth loss crosses near 1.
type Line = Box<dyn Fn(f64) -> f64>;

/// Only some lines of a run show their peculiarity.
fn line(kind: &str, random: &mut Random) -> Line {
    let (bend, root) = (random.between(-0.3, 1.0), random.log_between(0.7, 1.4));
    let smooth = move |eta: f64| -eta * (1.0 - eta / root) * (1.0 + bend * eta / root);
    let place = random.between(0.5, 1.4);
    let is_peculiar = random.next() < 0.3;
    let size = random.log_between(0.02, 0.5);
    let steep = random.log_between(5.0, 60.0);
    match kind {
        "jump" if is_peculiar => {
            Box::new(move |eta| smooth(eta) + if eta > place { size } else { 0.0 })
        }
        "kink" if is_peculiar => {
            Box::new(move |eta| smooth(eta) + 4.0 * size * (eta - place).max(0.0))
        }
        // A log density falls slowly, then rises exponentially.
        "explosion" => Box::new(move |eta| {
            let exponential = |eta: f64| 0.3 * root * (steep * (eta - root)).exp();
            -0.3 * eta + exponential(eta) - exponential(0.0)
        }),
        // A cross entropy near 0 rises as the model loses examples.
        "small" => Box::new(move |eta| {
            1e-3 * ((-9.0 * eta).exp() - 1.0 + (steep * (eta - root)).exp() - (-steep * root).exp())
        }),
        _ => Box::new(smooth),
    }
}

#[derive(Default)]
struct Tally {
    brackets: usize,
    evaluations: usize,
    outside: usize,
    off_by_3: usize,
    off_by_5_percent: usize,
}

fn tally(kind: &str, is_known: bool) -> Tally {
    let (search, mut random, mut tally) = (search(), Random(7), Tally::default());
    for _ in 0..12 {
        let mut guess = Guess::new(0.05);
        for _ in 0..200 {
            let rise = line(kind, &mut random);
            let told = LossLine::new(1.0).with_loss_epsilon(f64::EPSILON);
            let told = match is_known {
                true => told.with_slope(-rise(1e-7) / 1e-7),
                false => told,
            };
            let result = search.run(&told, guess, |eta| 1.0 + rise(eta));
            guess = guess.learn(&told, &result);
            let bracket = result.outcome.bracket();
            let bracket = bracket.unwrap_or_else(|| panic!("{kind}: {result:?}"));
            let (mut low, mut high) = (bracket.lower(), bracket.upper());
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                match rise(middle) > 0.0 {
                    true => high = middle,
                    false => low = middle,
                }
            }
            let off = (bracket.critical_lr() / high).ln().abs();
            let error = bracket.relative_error().max(1e-9);
            tally.brackets += 1;
            tally.evaluations += result.trace.len();
            tally.outside += usize::from(off > error);
            tally.off_by_3 += usize::from(off > 3.0 * error);
            tally.off_by_5_percent += usize::from(off > 0.05);
        }
    }
    tally
}

#[test]
fn the_stated_error_holds_on_losses_of_every_kind() {
    let mut wrong = Vec::new();
    for kind in ["smooth", "jump", "kink", "explosion", "small"] {
        for is_known in [true, false] {
            let seen = tally(kind, is_known);
            let part = |count: usize| 100.0 * count as f64 / seen.brackets as f64;
            println!(
                "{kind:10} slope known {is_known:5}: {:.2} evaluations; {:.2}% beyond the stated error, {:.2}% beyond three times it, {:.2}% off by more than 5%",
                seen.evaluations as f64 / seen.brackets as f64,
                part(seen.outside),
                part(seen.off_by_3),
                part(seen.off_by_5_percent),
            );
            let rare = part(seen.off_by_3).max(part(seen.off_by_5_percent));
            if part(seen.outside) > 5.0 || rare > 0.5 {
                wrong.push(kind);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Returns the last result, and the guess after it.
fn repeated(told: &LossLine, times: usize, loss: impl Fn(f64) -> f64) -> (SearchResult, Guess) {
    let mut guess = Guess::new(0.1);
    let results = (0..times).map(|_| {
        let result = search().run(told, guess, &loss);
        guess = guess.learn(told, &result);
        (result, guess)
    });
    results.last().unwrap()
}

#[test]
fn a_slope_of_another_loss_is_refuted_and_no_root_rests_on_it() {
    let loss = |eta: f64| 2.0 - eta * (1.0 - eta / 0.3);
    for factor in [1024.0, 0.1, 1.5] {
        let told = LossLine::new(2.0).with_slope(factor);
        let (result, _) = repeated(&told, 3, loss);
        let bracket = *result.outcome.bracket().unwrap();
        assert!((bracket.critical_lr() / 0.3 - 1.0).abs() < 3.0 * bracket.relative_error() + 1e-9);
        let (second, guess) = repeated(&told, 2, loss);
        assert!(second.is_slope_refuted(), "{factor}");
        assert!(guess.is_slope_refuted());
    }
    let told = LossLine::new(2.0).with_slope(1.0);
    assert!(!repeated(&told, 2, loss).0.is_slope_refuted());
    // Like a GPT at its first step, this line falls by its slope only very near the start.
    let bent = |eta: f64| 2.0 - 0.01 * (1.0 - (-1000.0 * eta).exp()) + 0.02 * eta;
    let (result, _) = repeated(&LossLine::new(2.0).with_slope(9.98), 2, bent);
    assert!(!result.is_slope_refuted());
}

#[test]
fn a_loss_at_its_minimum_rises_at_once() {
    for power in [2, 4] {
        let loss = |eta: f64| f64::from((3.0 + 40.0 * eta.powi(power)) as f32);
        let (result, _) = repeated(&LossLine::new(3.0).with_likely_rounding(), 2, loss);
        assert_eq!(result.outcome, Outcome::NotDescent, "{result:?}");
    }
}

#[test]
fn a_loss_that_only_falls_far_out_is_not_looked_at_there_next_time() {
    // The negative of a loss rises from 0 on, and falls without end.
    let falls = LossLine::new(1.0);
    let (first, guess) = repeated(&falls, 1, |eta| 1.0 - eta.min(0.9));
    assert_eq!(first.outcome, Outcome::NoIncrease { limit: 1e6 });
    let beyond = Guess::new(400.0);
    for (told, guess) in [(falls, guess), (falls.with_rate_in_use(0.1), beyond)] {
        let loss = |eta: f64| f64::from((1.0 + eta * (1.0 - eta / 50.0)) as f32);
        let next = search().run(&told, guess, loss);
        assert_eq!(next.outcome, Outcome::NotDescent, "{next:?}");
    }
}

#[test]
fn no_rise_is_missed_between_the_rate_in_use_and_a_prediction_far_above_it() {
    let told = LossLine::new(1.0).with_rate_in_use(0.05);
    let falls = |eta: f64| 1.0 - eta.min(0.9);
    let mut guess = Guess::new(400.0);
    for _ in 0..5 {
        let result = search().run(&told, guess, falls);
        assert!(
            matches!(result.outcome, Outcome::NoIncrease { .. }),
            "{result:?}"
        );
        guess = guess.learn(&told, &result);
    }
    let bump = |eta: f64| falls(eta) + if (0.2..1.0).contains(&eta) { 2.0 } else { 0.0 };
    let result = search().run(&told, guess, bump);
    let bracket = result.outcome.bracket().copied();
    assert!(
        bracket.is_some_and(|found| found.lower() < 0.2 && 0.2 <= found.upper()),
        "{result:?}"
    );
}

#[test]
fn rounding_inside_of_a_loss_is_seen_when_the_loss_goes_to_0_and_forgotten_when_it_does_not_matter()
{
    // A mean of differences of logits: multiples of a quantum, however small the loss is.
    let quantum = 2f64.powi(-28);
    let search = search();
    let (mut guess, mut random) = (Guess::new(0.1), Random(3));
    let (mut large, mut wrong) = (0, 0);
    for index in 0..200 {
        let loss = 10f64.powf(-f64::from(index) / 25.0);
        let root = random.log_between(0.5, 2.0);
        let f = |eta: f64| 4.0 * 0.3 * loss * eta * (eta / root - 1.0);
        let mut noise = Random(index as u64 + 1);
        let rounded = |value: f64, more: f64| ((value / quantum + 3.0 * more).round()) * quantum;
        let told = LossLine::new(loss)
            .with_likely_rounding()
            .with_slope_hint(1.2 * loss);
        let result = search.run(&told, guess, |eta| {
            loss + rounded(f(eta), noise.between(-1.0, 1.0))
        });
        guess = guess.learn(&told, &result);
        let Some(bracket) = result.outcome.bracket() else {
            continue;
        };
        large += usize::from(0.3 * loss > 1000.0 * quantum);
        let off = (bracket.critical_lr() / root).ln().abs();
        wrong += usize::from(off > 3.0 * bracket.relative_error());
    }
    assert_eq!(wrong, 0);
    assert!(large >= 110, "{large} of the large losses have a number");

    // The second loss is near 0 and says nothing about the others.
    let mut guess = Guess::new(0.1);
    let mut numbers = 0;
    for index in 0..60_u64 {
        let shift = if index == 1 { 1.0 - 1e-6 } else { 0.0 };
        let mut noise = Random(index + 1);
        let told = LossLine::new(1.0 - shift)
            .with_likely_rounding()
            .with_slope(1.0);
        let result = search.run(&told, guess, |eta| {
            let noise = 1e-7 * noise.between(-1.0, 1.0);
            1.0 - eta * (1.0 - eta) + noise - shift
        });
        guess = guess.learn(&told, &result);
        numbers += usize::from(result.outcome.bracket().is_some());
    }
    assert_eq!(numbers, 60);
}

#[test]
fn a_bracket_that_ends_where_the_loss_is_not_finite_says_so() {
    let told = LossLine::new(1.0).with_slope(0.1);
    let explodes = |eta: f64| if eta < 3.0 { 1.0 - 0.1 * eta } else { f64::NAN };
    let (result, _) = repeated(&told, 1, explodes);
    assert!(result.outcome.bracket().unwrap().explodes());
    let rises = |eta: f64| 1.0 - 0.1 * eta * (1.0 - eta / 3.0);
    let (result, _) = repeated(&told, 1, rises);
    assert!(!result.outcome.bracket().unwrap().explodes());
}

#[test]
fn a_rise_at_the_rate_in_use_is_seen_now_and_then_and_always_on_a_loss_that_jumps() {
    let is_bump = |eta| (0.009..0.012).contains(&eta);
    let loss = |eta: f64| 2.0 - eta * (1.0 - eta) + if is_bump(eta) { 0.1 } else { 0.0 };
    let told = LossLine::new(2.0).with_slope(1.0).with_rate_in_use(0.01);
    let (second, _) = repeated(&told, 2, loss);
    let bracket = second.outcome.bracket().unwrap();
    assert!(bracket.upper() <= 0.012, "{second:?}");

    for loss in [
        |eta: f64| 2.0 - eta * (1.0 - eta),
        |eta: f64| 2.0 - eta.min(1.0),
    ] {
        let (result, _) = repeated(&told.with_rate_in_use(1e-30), 3, loss);
        assert!(result.trace.len() < 64, "{result:?}");
    }
}

#[test]
fn a_crossing_below_the_bracket_is_found_by_verification_only() {
    let parabola = |eta: f64| 2.0 - eta * (1.0 - eta);
    let is_bump = |eta| (0.2..0.3).contains(&eta);
    let loss = |eta: f64| parabola(eta) + if is_bump(eta) { 1.0 } else { 0.0 };
    let line = LossLine::new(2.0).with_slope(1.0);
    let run = |config: SearchConfig, verification, loss: &dyn Fn(f64) -> f64| {
        let search = CriticalSearch::new(config.with_verification(verification)).unwrap();
        let result = search.run(&line, Guess::new(1.0), loss);
        (*result.outcome.bracket().unwrap(), result.trace)
    };
    let config = SearchConfig::default();
    let (unverified, trace) = run(config, 0, &loss);
    let evaluations = trace.len();
    assert!(unverified.lower() > 0.9 && !unverified.is_verified());
    let (verified, _) = run(config, 15, &loss);
    assert!(verified.upper() <= 0.3 && verified.lower() <= 0.2);
    assert!(verified.is_verified());

    let (bracket, trace) = run(config, 4, &parabola);
    let from = bracket.verified_from().unwrap();
    assert!(from <= bracket.lower() / 15.9, "{from}");
    let mut rates: Vec<f64> = trace.iter().map(|e| e.learning_rate).collect();
    rates.retain(|rate| (from..=bracket.lower()).contains(rate));
    rates.sort_by(f64::total_cmp);
    let mut gaps = rates.windows(2).map(|pair| pair[1] / pair[0]);
    assert!(gaps.all(|gap| gap < 2.001), "{rates:?}");
    let more = trace.len() - evaluations;
    assert!((3..=4).contains(&more), "{more}");
    let config = config.with_max_evaluations(evaluations + 2);
    let (bracket, trace) = run(config, 4, &parabola);
    assert!(!bracket.is_verified());
    assert_eq!(trace.len(), evaluations + 2);
}
