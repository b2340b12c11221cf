//! Properties that hold for each search, on random losses.

mod given;

use critical_search::{CriticalSearch, Evaluation, Guess, LossLine, Outcome, SearchConfig};
use given::{fixed, log_uniform, methods, search};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Loss {
    /// Slope, root and bend.
    Cubic(f64, f64, f64),
    Flat(f64),
    /// The place, and the losses below and above it.
    Step(f64, f64, f64),
    /// Amplitude, frequency and drift.
    Wave(f64, f64, f64),
    /// The place, and the loss from there on.
    Explodes(f64, f64),
}

impl Loss {
    fn at(&self, eta: f64) -> f64 {
        match *self {
            Self::Cubic(slope, root, bend) => {
                let u = eta / root;
                1.0 - slope * eta * (1.0 - u) * (1.0 + bend * u)
            }
            Self::Flat(level) => level,
            Self::Step(at, below, _) if eta < at => below,
            Self::Step(_, _, above) => above,
            Self::Wave(amplitude, frequency, drift) => {
                1.0 + amplitude * (frequency * eta).sin() - drift * eta
            }
            Self::Explodes(at, _) if eta < at => 1.0 - 0.1 * eta,
            Self::Explodes(_, value) => value,
        }
    }
}

fn losses() -> impl Strategy<Value = Loss> {
    let not_finite = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)];
    prop_oneof![
        (log_uniform(1e-6, 1e3), log_uniform(1e-7, 1e5), -1.5..4.0)
            .prop_map(|(slope, root, bend)| Loss::Cubic(slope, root, bend)),
        (0.5..1.5).prop_map(Loss::Flat),
        (log_uniform(1e-6, 1e4), 0.5..1.5, 0.5..1.5)
            .prop_map(|(at, below, above)| Loss::Step(at, below, above)),
        (log_uniform(1e-6, 1.0), log_uniform(1e-2, 1e4), -0.1..0.1)
            .prop_map(|(amplitude, frequency, drift)| Loss::Wave(amplitude, frequency, drift)),
        (log_uniform(1e-6, 1e4), not_finite).prop_map(|(at, value)| Loss::Explodes(at, value)),
    ]
}

fn configs() -> impl Strategy<Value = SearchConfig> {
    let fractions = (log_uniform(1e-3, 0.9), log_uniform(1e-4, 0.9));
    let counts = (2..60_usize, 0..5_usize);
    (fractions, counts).prop_map(|((tolerance, accuracy), (evaluations, verification))| {
        SearchConfig::default()
            .with_tolerance(tolerance)
            .with_accuracy(accuracy)
            .with_max_evaluations(evaluations)
            .with_verification(verification)
    })
}

proptest! {
    #![proptest_config(fixed(10_000))]

    #[test]
    fn every_search_keeps_its_invariants(
        loss in losses(),
        config in configs(),
        guess in log_uniform(1e-14, 1e8),
        slope in prop_oneof![
            Just(None),
            (-1.0..10.0).prop_map(|slope| Some((slope, false))),
            prop_oneof![-1.0..10.0, Just(f64::NAN), Just(f64::INFINITY)].prop_map(|slope| Some((slope, true))),
        ],
        method in methods(),
    ) {
        let line = match slope {
            None => LossLine::new(1.0),
            Some((slope, false)) => LossLine::new(1.0).with_slope(slope),
            Some((slope, true)) => LossLine::new(1.0).with_slope_hint(slope),
        };
        let search = CriticalSearch::new(config).unwrap().with_method(method);
        let mut evaluated = Vec::new();
        let result = search.run(&line, Guess::new(guess), |eta| {
            evaluated.push(eta);
            loss.at(eta)
        });

        let traced: Vec<f64> = result.trace.iter().map(|e| e.learning_rate).collect();
        prop_assert_eq!(&traced, &evaluated);
        prop_assert!(traced.len() <= config.max_evaluations);
        for &eta in &traced {
            prop_assert!((config.min_learning_rate..=config.max_learning_rate).contains(&eta));
        }

        let rise_at = |eta: f64| {
            let loss = loss.at(eta);
            if loss.is_finite() { loss - 1.0 } else { f64::INFINITY }
        };
        match result.outcome {
            Outcome::Bracketed(bracket) => {
                prop_assert!(traced.contains(&bracket.lower()) && traced.contains(&bracket.upper()));
                prop_assert!(rise_at(bracket.lower()) <= 0.0 && rise_at(bracket.upper()) > 0.0);
                prop_assert!(bracket.lower() > 0.0 && bracket.width() <= config.tolerance);
                let clear = 2.0 * line.resolution();
                for evaluation in &result.trace {
                    prop_assert!(evaluation.rise <= clear || evaluation.learning_rate >= bracket.upper());
                }
                let falls = |e: &Evaluation| e.learning_rate <= bracket.lower() && e.rise < -clear;
                prop_assert!(result.trace.iter().any(falls), "no fall was seen: {:?}", result);
                prop_assert!(!bracket.is_verified() || config.verification > 0);
                let critical_lr = bracket.critical_lr();
                prop_assert!(bracket.lower() <= critical_lr && critical_lr <= bracket.upper());
                prop_assert!((0.0..0.9).contains(&bracket.relative_error()));
            }
            Outcome::NoIncrease { limit } => {
                prop_assert!(result.trace.iter().all(|e| e.rise <= 2.0 * line.resolution()));
                prop_assert!(traced.contains(&limit));
            }
            Outcome::BudgetExhausted { lower, upper } => {
                prop_assert_eq!(traced.len(), config.max_evaluations);
                prop_assert!(lower.is_none_or(|eta| rise_at(eta) <= 2.0 * line.resolution()));
                prop_assert!(upper.is_none_or(|eta| rise_at(eta) > 0.0));
            }
            Outcome::NotDescent => {
                let known = slope.is_some_and(|(slope, is_hint)| slope <= 0.0 && !is_hint);
                let limit = config.min_learning_rate;
                let clear = 2.0 * line.resolution();
                let rises_at_the_limit = traced.contains(&limit) && rise_at(limit) > clear;
                let hidden = result.trace.iter().any(|e| e.rise.abs() <= clear);
                let rises = result.trace.iter().filter(|e| e.rise > clear);
                let first_rise = rises.map(|e| e.learning_rate).fold(f64::INFINITY, f64::min);
                let before = result.trace.iter().filter(|e| e.learning_rate < first_rise);
                let falls = before.clone().any(|e| e.rise < -clear);
                let says_nothing = line.slope().is_none() || result.is_slope_refuted();
                let rises_where_seen = says_nothing && hidden && !falls;
                let rises_as_known = known && first_rise.is_finite() && !falls;
                prop_assert!(rises_as_known || rises_at_the_limit || rises_where_seen);
            }
            Outcome::BelowResolution => {}
            Outcome::NonFiniteBaseLoss | Outcome::NonFiniteSlope => prop_assert!(false),
        }
        prop_assert_eq!(result.outcome.bracket().is_some(), result.outcome.name() == "bracketed");
    }

    #[test]
    fn a_resolvable_crossing_is_always_bracketed(
        root in log_uniform(1e-8, 1e5),
        bend in 0.0..4.0, // below 0 the loss falls again further out, which doubling may jump over
        guess in log_uniform(1e-9, 1e6),
        method in methods(),
    ) {
        let config = SearchConfig::default().with_max_evaluations(80);
        let loss = Loss::Cubic(1.0 / root, root, bend);
        let line = LossLine::new(1.0).with_slope(1.0 / root);
        let search = CriticalSearch::new(config).unwrap().with_method(method);
        let result = search.run(&line, Guess::new(guess), |eta| loss.at(eta));

        let bracket = result.outcome.bracket().copied();
        let rounding = 1e-12 * root;
        prop_assert!(
            bracket.is_some_and(|b| b.lower() <= root + rounding && root - rounding <= b.upper()),
            "{result:?}"
        );
    }

    #[test]
    fn guided_search_keeps_its_worst_case(
        loss in losses(),
        tolerance in log_uniform(1e-3, 0.5),
        accuracy in log_uniform(1e-3, 0.5),
        guess in log_uniform(1e-6, 1e4),
        has_history in any::<bool>(),
        slope in prop_oneof![Just(None), log_uniform(1e-6, 1e3).prop_map(Some)],
    ) {
        let config = SearchConfig::default()
            .with_tolerance(tolerance)
            .with_accuracy(accuracy)
            .with_max_evaluations(1000);
        let mut line = LossLine::new(1.0).with_resolution(0.0);
        if let Some(slope) = slope {
            line = line.with_slope(slope);
        }
        let search = CriticalSearch::new(config).unwrap();
        let mut start = Guess::new(guess);
        if has_history {
            let straight = line.with_slope(1.0);
            let before = search.run(&straight, start, |eta| eta * (eta / guess - 1.0));
            start = start.learn(&straight, &before);
        }
        let result = search.run(&line, start, |eta| loss.at(eta));

        let ends: Vec<f64> = match result.outcome {
            Outcome::Bracketed(bracket) => vec![bracket.lower(), bracket.upper()],
            _ => result.trace.iter().map(|e| e.learning_rate).collect(),
        };
        let first = result.trace.first().map_or(guess, |e| e.learning_rate);
        let distance = ends.iter().map(|eta| (eta / first).log2().abs()).fold(0.0, f64::max);
        let wanted = -(1.0 - tolerance.min(accuracy / (1.0 + accuracy))).ln();
        let bisections = (16f64.ln() / wanted).log2().ceil();
        let limit = config.max_learning_rate;
        let reaches_limit = result.trace.iter().any(|seen| seen.learning_rate >= limit);
        let everywhere = if reaches_limit { (limit / first).log2().ceil() + 1.0 } else { 0.0 };
        // Checks of the slope and of the root come on top.
        let checks = if has_history { 4.0 } else { 0.0 };
        let bound = 4.0 + distance.ceil() + bisections + 1.0 + everywhere + checks;
        prop_assert!(result.trace.len() as f64 <= bound, "more than {bound}: {result:?}");
    }

    #[test]
    fn a_first_measurement_takes_eight_evaluations_at_most(
        (bend, curl) in (-0.9..5.0, -0.5..3.0),
        // The fall at the root, as a share of the loss.
        depth in log_uniform(1e-3, 4.0),
        root in log_uniform(1e-6, 1e2),
        // The given slope over the line's own, or `None` for that.
        hint in prop_oneof![Just(None), log_uniform(0.5, 2.0).prop_map(Some)],
        guess in prop_oneof![
            Just(Guess::unknown()), // a learning rate of 0
            Just(Guess::new(1e-10)), // a warmup's first step
            log_uniform(1e-2, 1e2).prop_map(Guess::new), // times η_c
            Just(Guess::new(1e6)),
        ],
    ) {
        let shape = |u: f64| 1.0 + bend * u + curl * u * u;
        prop_assume!((0..=2000).all(|i| shape(0.05 * f64::from(i)) > 0.05));
        let slope = depth / root;
        let line = LossLine::new(1.0);
        let line = match hint {
            None => line.with_slope(slope),
            Some(factor) => line.with_slope_hint(factor * slope),
        };
        let guess = match guess.critical_lr() {
            Some(rate) if (1e-2..=1e2).contains(&rate) => Guess::new(rate * root),
            _ => guess,
        };
        let result = search().run(&line, guess, |eta| {
            let u = eta / root;
            1.0 - depth * u * (1.0 - u) * shape(u)
        });
        prop_assert!(result.outcome.bracket().is_some(), "{:?}", result);
        prop_assert!(result.trace.len() <= 8, "{:?}", result);
    }
}
