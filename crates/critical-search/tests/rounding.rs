//! Tests that rounding never makes a number.

mod given;

use critical_search::{Guess, LossLine, Method, Outcome, SearchResult};
use given::{fixed, log_uniform, methods, search};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const BASE: f64 = 2.3;

/// Returns a number in −1..1 without any structure in η.
fn noise(eta: f64, seed: u64) -> f64 {
    let mut bits = eta.to_bits() ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for _ in 0..3 {
        bits ^= bits >> 32;
        bits = bits.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }
    bits as f64 / u64::MAX as f64 * 2.0 - 1.0
}

/// Returns BASE + f(η) in 32-bit floats with the rounding of a long sum.
fn rounded(f: impl Fn(f64) -> f64, seed: u64) -> impl Fn(f64) -> f64 {
    move |eta| {
        let loss = BASE + f(eta);
        let rounding = 3.0 * f64::from(f32::EPSILON) * loss * noise(eta, seed);
        f64::from((loss + rounding) as f32)
    }
}

fn run(line: &LossLine, guess: Guess, method: Method, loss: impl Fn(f64) -> f64) -> SearchResult {
    search().with_method(method).run(line, guess, loss)
}

fn hints() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        Just(None),
        Just(Some(f64::NAN)),
        Just(Some(f64::INFINITY)),
        Just(Some(0.0)),
        Just(Some(-1.0)),
        log_uniform(1e-4, 1e3).prop_map(Some),
    ]
}

fn told(hint: Option<f64>) -> LossLine {
    let line = LossLine::new(BASE);
    hint.map_or(line, |hint| line.with_slope_hint(hint))
}

fn guesses() -> impl Strategy<Value = Guess> {
    prop_oneof![
        Just(Guess::unknown()),
        log_uniform(1e-10, 1e3).prop_map(Guess::new),
    ]
}

proptest! {
    #![proptest_config(fixed(10_000))]

    #[test]
    fn a_loss_that_rises_from_the_start_has_no_number(
        slope in log_uniform(1e-3, 1e2),
        curvature in log_uniform(1e-3, 1e3),
        hint in hints(),
        guess in guesses(),
        method in methods(),
        seed in any::<u64>(),
    ) {
        let loss = rounded(|eta| slope * eta + curvature * eta * eta, seed);
        let result = run(&told(hint), guess, method, loss);
        prop_assert!(
            matches!(result.outcome, Outcome::NotDescent | Outcome::BelowResolution),
            "{result:?}"
        );
    }

    #[test]
    fn a_loss_that_falls_is_measured_whatever_the_hint_says(
        root in log_uniform(1e-4, 1e2),
        fall in log_uniform(1e-3, 1.0),
        hint in hints(),
        guess in guesses(),
        seed in any::<u64>(),
    ) {
        let loss = rounded(|eta| 4.0 * fall * (eta / root) * (eta / root - 1.0), seed);
        let result = run(&told(hint), guess, Method::Guided, loss);
        let bracket = result.outcome.bracket().copied();
        prop_assert!(bracket.is_some(), "{result:?}");
        let bracket = bracket.unwrap();
        let error = (bracket.critical_lr() / root - 1.0).abs();
        prop_assert!(error <= 3.0 * bracket.relative_error(), "{error}: {result:?}");
    }

    #[test]
    fn a_fall_that_rounding_hides_has_no_number_and_one_at_its_edge_a_wide_error(
        root in log_uniform(1e-4, 1e2),
        fall in log_uniform(1e-9, 1e-4),
        is_known in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let slope = 4.0 * fall / root;
        let loss = rounded(|eta| slope * eta * (eta / root - 1.0), seed);
        let line = LossLine::new(BASE);
        let line = if is_known { line.with_slope(slope) } else { line };
        let result = run(&line, Guess::new(root), Method::Guided, loss);
        if let Some(bracket) = result.outcome.bracket() {
            prop_assert!(fall >= line.resolution(), "{result:?}");
            let error = (bracket.critical_lr() / root - 1.0).abs();
            prop_assert!(error <= 3.0 * bracket.relative_error(), "{error}: {result:?}");
        } else {
            prop_assert!(fall <= 64.0 * line.resolution(), "{result:?}");
        }
    }
}

/// A loss with coarse rounding and a fine type.
#[derive(Clone, Copy, Debug)]
struct Coarse {
    amplitude: f64,
    step: f64,
    seed: u64,
}

impl Coarse {
    fn stairs(step: f64) -> Self {
        Self {
            amplitude: 0.0,
            step,
            seed: 0,
        }
    }

    fn loss(self, f: impl Fn(f64) -> f64) -> impl Fn(f64) -> f64 {
        move |eta| {
            let loss = BASE + f(eta) + self.amplitude * noise(eta, self.seed);
            match self.step > 0.0 {
                true => (loss / self.step).round() * self.step,
                false => loss,
            }
        }
    }
}

fn coarse(fall: f64) -> impl Strategy<Value = Coarse> {
    let part = || prop_oneof![1 => Just(0.0), 4 => log_uniform(1e-4, 3.0)];
    (part(), part(), any::<u64>()).prop_map(move |(amplitude, step, seed)| Coarse {
        amplitude: amplitude * fall,
        step: step * fall,
        seed,
    })
}

fn lines() -> impl Strategy<Value = (f64, f64, f64, Coarse)> {
    (log_uniform(1e-3, 1e1), log_uniform(1e-3, 1.0), -0.5..2.0).prop_flat_map(
        |(root, fall, bend)| coarse(fall).prop_map(move |coarse| (root, fall, bend, coarse)),
    )
}

#[derive(Debug, Default)]
struct Numbers {
    bracketed: usize,
    /// Off by more than 5%.
    rough: usize,
    evaluations: usize,
}

fn run_of(
    (root, fall, bend, coarse): (f64, f64, f64, Coarse),
    is_known: bool,
    guess: Guess,
    count: u64,
    numbers: &mut Numbers,
) -> Vec<String> {
    let slope = 4.0 * fall / root;
    let f = move |eta: f64| -slope * eta * (1.0 - eta / root) * (1.0 + bend * eta / root);
    let (mut guess, mut wrong) = (guess, vec![]);
    for index in 0..count {
        let seed = coarse.seed.wrapping_add(index);
        let loss = Coarse { seed, ..coarse }.loss(f);
        let line = LossLine::new(loss(0.0)).with_unknown_rounding();
        let line = match is_known {
            true => line.with_slope(slope),
            false => line.with_slope_hint(slope),
        };
        let result = run(&line, guess, Method::Guided, loss);
        guess = guess.learn(&line, &result);
        numbers.evaluations += result.trace.len();
        if let Some(bracket) = result.outcome.bracket() {
            let error = (bracket.critical_lr() / root - 1.0).abs();
            numbers.bracketed += 1;
            numbers.rough += usize::from(error > 0.05);
            if error > 3.0 * bracket.relative_error() {
                let stated = bracket.relative_error();
                let (below, above) = (bracket.lower() / root, bracket.upper() / root);
                wrong.push(format!("line {index}: {error:.2e} off, {stated:.2e} stated, {below} to {above}, {} evaluations, resolution {:.1e}", result.trace.len(), result.resolution));
            }
        } else if matches!(result.outcome, Outcome::NotDescent) {
            wrong.push(format!("line {index} is called no descent: {result:?}"));
        }
    }
    wrong
}

#[test]
fn rounding_that_nothing_tells_of_is_seen() {
    let strategy = (lines(), any::<bool>(), guesses());
    let mut runner = TestRunner::new(fixed(256));
    let (mut tried, mut numbers, mut wrong) = (0, Numbers::default(), vec![]);
    for _ in 0..3_000 {
        let (line, is_known, guess) = strategy.new_tree(&mut runner).unwrap().current();
        let failed = run_of(line, is_known, guess, 10, &mut numbers);
        tried += 10;
        let from = guess.critical_lr();
        let texts = failed.into_iter();
        wrong.extend(texts.map(|text| format!("{line:?} {is_known} {from:?}: {text}")));
    }
    let count = wrong.len();
    println!("{tried} lines, {numbers:?}, {count} wrong");
    for text in wrong.iter().take(40) {
        println!("{text}");
    }
    assert!(wrong.len() <= tried / 5_000);
    assert!(numbers.rough <= numbers.bracketed / 200, "{numbers:?}");
}

#[test]
fn if_found_rounding_leaves_an_error_the_bracket_is_narrow() {
    let stairs = Coarse::stairs(0.02);
    let mut guess = Guess::new(1.0);
    for index in 0..20 {
        let root = 1.0 + 0.3 * noise(f64::from(index), 1);
        let loss = stairs.loss(|eta| eta * (eta / root - 1.0));
        let line = LossLine::new(loss(0.0)).with_unknown_rounding();
        let line = line.with_slope_hint(1.0);
        let result = run(&line, guess, Method::Guided, loss);
        guess = guess.learn(&line, &result);
        let bracket = result.outcome.bracket().copied();
        assert!(
            bracket.is_some_and(|found| found.width() <= 0.06),
            "{result:?}"
        );
    }
}

#[test]
fn in_found_rounding_a_slope_that_says_rise_is_believed_only_if_the_loss_rises_so() {
    let stairs = Coarse::stairs(1e-3);
    let loss = stairs.loss(|eta| eta * (eta - 0.3));
    let line = LossLine::new(loss(0.0)).with_unknown_rounding();
    let mut guess = Guess::new(0.3);
    for _ in 0..3 {
        let told = line.with_slope(0.3);
        guess = guess.learn(&told, &run(&told, guess, Method::Guided, &loss));
    }
    let outcome = |slope: f64, curvature: f64| {
        let loss = stairs.loss(|eta| slope * eta + curvature * eta * eta);
        run(&line.with_slope(-slope), guess, Method::Guided, loss).outcome
    };
    assert_eq!(outcome(2.0, 1.0), Outcome::NotDescent);
    // The curve exceeds the slope before the slope exceeds the stairs.
    assert_eq!(outcome(0.01, 1.0), Outcome::BelowResolution);
}

#[test]
fn a_hint_of_a_rise_is_none() {
    for hint in [0.0, -3.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let line = LossLine::new(1.0).with_slope_hint(hint);
        assert_eq!((line.slope(), line.slope_hint()), (None, None));
    }
}
