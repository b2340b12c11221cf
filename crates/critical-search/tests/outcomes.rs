//! Tests every outcome of a search.

mod given;

use critical_search::{
    CriticalSearch, Guess, LossLine, Method, Outcome, Rise, SearchConfig, SearchConfigError,
    SearchResult,
};
use given::search;

fn run(line: &LossLine, guess: f64, loss: impl FnMut(f64) -> f64) -> SearchResult {
    search().run(line, Guess::new(guess), loss)
}

#[track_caller]
fn assert_outcome(result: &SearchResult, outcome: Outcome) {
    assert_eq!(result.outcome, outcome, "{result:?}");
}

fn parabola(base_loss: f64, slope: f64, critical_lr: f64) -> impl Fn(f64) -> f64 {
    move |eta| base_loss - slope * eta * (1.0 - eta / critical_lr)
}

#[track_caller]
fn assert_bracketed(result: &SearchResult, critical_lr: f64) {
    let Outcome::Bracketed(bracket) = result.outcome else {
        panic!("expected a bracket around {critical_lr}, got {result:?}");
    };
    // Interpolation may hit the root itself, so that 64-bit rounding decides the sign.
    let (low, high) = (critical_lr * (1.0 - 1e-9), critical_lr * (1.0 + 1e-9));
    let is_inside = bracket.lower() <= high && low <= bracket.upper();
    assert!(is_inside, "{critical_lr} is outside {bracket:?}");
    assert!(bracket.width() <= search().config().tolerance);
}

#[test]
fn the_published_estimator_takes_two_evaluations_to_enclose_and_four_to_narrow() {
    let line = LossLine::new(2.0).with_slope(1.0);
    let config = SearchConfig::default().with_tolerance(1.0 / 16.0);
    let search = CriticalSearch::new(config).unwrap();
    let search = search.with_method(Method::Published);
    let result = search.run(&line, Guess::new(0.75), parabola(2.0, 1.0, 1.0));

    assert_bracketed(&result, 1.0);
    let rates: Vec<f64> = result.trace.iter().map(|e| e.learning_rate).collect();
    assert_eq!(rates, [0.75, 1.5, 1.125, 0.9375, 1.03125, 0.984375]);
}

#[test]
fn guided_search_on_a_parabola_takes_two_evaluations_once_it_has_seen_one() {
    // The slope and one evaluation determine a parabola: two more close the bracket.
    let line = LossLine::new(2.0).with_slope(1.0).with_resolution(0.0);
    let far = run(&line, 0.1, parabola(2.0, 1.0, 1.0));
    assert_bracketed(&far, 1.0);
    assert!(far.trace.len() <= 4, "{far:?}");

    let mut guess = Guess::new(0.1).learn(&line, &far);
    for critical_lr in [1.01, 0.99, 1.02, 1.0, 0.98, 1.0, 1.005] {
        let result = search().run(&line, guess, parabola(2.0, 1.0, critical_lr));
        assert_bracketed(&result, critical_lr);
        guess = guess.learn(&line, &result);
    }
    let warm = search().run(&line, guess, parabola(2.0, 1.0, 1.01));
    assert_bracketed(&warm, 1.01);
    assert_eq!(warm.trace.len(), 2, "{warm:?}");
}

#[test]
fn a_loss_that_only_falls_has_no_increase_up_to_the_limit() {
    let result = run(&LossLine::new(1.0), 0.1, |eta| 1.0 - eta.min(0.9));
    assert_outcome(&result, Outcome::NoIncrease { limit: 1e6 });
}

#[test]
fn a_slope_that_says_rise_is_believed_after_one_evaluation_that_rises() {
    let line = LossLine::new(1.0).with_slope(-0.3);
    let result = run(&line, 0.1, |eta| 1.0 + 0.3 * eta);
    assert_outcome(&result, Outcome::NotDescent);
    assert_eq!(result.trace.len(), 1, "{result:?}");
    assert!(!result.is_slope_refuted());

    for slope in [0.0, -0.3] {
        let line = LossLine::new(1.0).with_slope(slope);
        let result = run(&line, 0.1, parabola(1.0, 1.0, 0.2));
        assert_bracketed(&result, 0.2);
    }
}

#[test]
fn a_loss_that_rises_at_once_is_not_a_descent_direction() {
    let line = LossLine::new(1.0).with_resolution(0.0);
    let result = run(&line, 0.1, |eta| 1.0 + eta);
    assert_outcome(&result, Outcome::NotDescent);
}

#[test]
fn without_a_slope_a_rise_down_to_rounding_is_not_a_descent_direction() {
    let line = LossLine::new(2.0);
    let loss = |eta: f64| f64::from((2.0 + 0.5 * eta + 3.0 * eta * eta) as f32);
    let result = run(&line, 0.1, loss);
    assert_outcome(&result, Outcome::NotDescent);
    assert!(result.trace.len() <= 8, "{result:?}");

    let result = run(&line, 0.1, parabola(2.0, 1.0, 1e-3));
    assert_bracketed(&result, 1e-3);
}

#[test]
fn a_change_smaller_than_rounding_is_below_resolution() {
    let flat = |eta: f64| f64::from((1.0 - 4e-9 * eta * (1.0 - eta)) as f32);
    let line = LossLine::new(1.0).with_slope(4e-9);
    let result = run(&line, 1.0, flat);
    assert_outcome(&result, Outcome::BelowResolution);

    let result = run(&LossLine::new(1.0), 1.0, |_| 1.0);
    assert_outcome(&result, Outcome::BelowResolution);
}

#[test]
fn a_sign_change_made_by_rounding_alone_is_below_resolution() {
    let one_ulp = f64::from(f32::EPSILON);
    let noise = |eta: f64| 1.0 + if eta > 0.3 { one_ulp } else { -one_ulp };
    let result = run(&LossLine::new(1.0), 0.25, noise);
    assert_outcome(&result, Outcome::BelowResolution);
}

#[test]
fn a_tiny_guess_starts_where_the_slope_predicts_a_resolvable_change() {
    let rounded = |eta: f64| f64::from(parabola(5.0, 1.0, 0.2)(eta) as f32);
    let line = LossLine::new(5.0).with_slope(1.0);
    let result = run(&line, 1e-10, rounded);

    assert_bracketed(&result, 0.2);
    assert!(result.trace[0].learning_rate >= line.resolution() / line.slope().unwrap());
}

#[test]
fn a_base_loss_or_slope_that_is_not_finite_is_named() {
    let unused = |_: f64| -> f64 { panic!("nothing to compare with") };
    for base_loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let result = run(&LossLine::new(base_loss), 0.1, unused);
        assert_outcome(&result, Outcome::NonFiniteBaseLoss);
    }
    for slope in [f64::NAN, f64::INFINITY] {
        let result = run(&LossLine::new(1.0).with_slope(slope), 0.1, unused);
        assert_outcome(&result, Outcome::NonFiniteSlope);
    }
}

#[test]
fn an_exhausted_budget_is_reported_with_what_is_known() {
    let config = SearchConfig::default().with_max_evaluations(3);
    let search = CriticalSearch::new(config).unwrap();
    let search = search.with_method(Method::Published);
    let loss = parabola(2.0, 1.0, 1.0);
    let result = search.run(&LossLine::new(2.0), Guess::new(0.75), loss);
    let (lower, upper) = (Some(0.75), Some(1.125));
    assert_outcome(&result, Outcome::BudgetExhausted { lower, upper });
    assert_eq!(result.outcome.bracket(), None);
}

#[test]
fn a_loss_that_explodes_counts_as_a_rise_while_expanding() {
    for explosion in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let line = LossLine::new(1.0).with_slope(0.1);
        let falls = |eta: f64| 1.0 - 0.1 * eta;
        let loss = |eta| if eta < 3.0 { falls(eta) } else { explosion };
        let result = run(&line, 0.01, loss);
        assert_bracketed(&result, 3.0);
    }
}

#[test]
fn the_first_failed_evaluation_ends_the_search_and_keeps_the_trace() {
    let mut calls = 0;
    let rise = |eta: f64| {
        calls += 1;
        (calls < 3).then(|| Rise::from(-eta)).ok_or("no memory")
    };
    let line = LossLine::new(1.0);
    let error = search().try_run(&line, Guess::new(0.5), rise).unwrap_err();
    assert_eq!(error.error, "no memory");
    assert_eq!(error.trace.len(), 2);
    let sentence = "evaluation 3 of the loss failed: no memory";
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn nonsense_is_refused_with_the_value_and_the_remedy() {
    let refused = |config: SearchConfig| CriticalSearch::new(config).unwrap_err();
    for fraction in [0.0, 1.0, -0.1, f64::NAN] {
        let config = SearchConfig::default();
        for (name, config) in [
            ("tolerance", config.with_tolerance(fraction)),
            ("accuracy", config.with_accuracy(fraction)),
        ] {
            let error = refused(config);
            assert_eq!(format!("{error:?}"), error.to_string());
            let error = error.to_string();
            assert!(error.contains(name), "{error}");
            assert!(error.contains(&fraction.to_string()), "{error}");
        }
    }
    for max_evaluations in [0, 1] {
        let error = refused(SearchConfig::default().with_max_evaluations(max_evaluations));
        assert_eq!(error, SearchConfigError::MaxEvaluations(max_evaluations));
    }
    for (min, max) in [
        (0.0, 1.0),
        (1.0, 1.0),
        (2.0, 1.0),
        (1e-3, f64::INFINITY),
        (f64::NAN, 1.0),
    ] {
        let error = refused(SearchConfig::default().with_learning_rate_limits(min, max));
        assert!(error.to_string().contains("limits"), "{error}");
    }
}

#[test]
fn the_spread_over_examples_gives_an_interval_or_denies_the_number() {
    let line = LossLine::new(2.0).with_slope(1.0);
    let spread = |standard_error: f64| {
        let rise = |eta: f64| {
            Ok::<_, ()>(Rise {
                value: parabola(2.0, 1.0, 1.0)(eta) - 2.0,
                standard_error: Some(standard_error),
            })
        };
        let result = search().try_run(&line, Guess::new(1.0), rise);
        result.unwrap().outcome
    };
    let bracket = *spread(0.1).bracket().unwrap();
    let (low, high) = bracket.interval().unwrap();
    let half_width = 0.5 * (high - low);
    let off = (half_width / 0.196 - 1.0).abs();
    assert!(off < 2.0 / 16.0, "{half_width}");
    assert!((0.5 * (high + low) - bracket.critical_lr()).abs() < 1e-12);
    assert_eq!(spread(1.0), Outcome::BelowResolution);

    let scalar = run(&line, 1.0, parabola(2.0, 1.0, 1.0));
    assert_eq!(scalar.outcome.bracket().unwrap().interval(), None);
}
