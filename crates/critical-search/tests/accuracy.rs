//! Measures the cost of a search and the error of its η_c on recorded lines; `-- --nocapture` prints the tables behind
//! the defaults.

mod given;
mod recorded;

use critical_search::{CriticalSearch, Guess, LossLine, Method, SearchConfig};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use recorded::Line;

const WORKLOADS: [&str; 3] = ["gpt", "full-batch", "momentum"];
const WARM_UP: usize = 5;

struct Score {
    first: usize,
    mean: f64,
    most: usize,
    rms: f64,
    p95: f64,
    largest: f64,
    stated: f64,
    outside: usize,
    /// The brackets without the true η_c.
    missed: usize,
}

fn search(config: SearchConfig, method: Method) -> CriticalSearch {
    CriticalSearch::new(config).unwrap().with_method(method)
}

fn guided() -> CriticalSearch {
    search(SearchConfig::default(), Method::Guided)
}

fn published() -> CriticalSearch {
    let config = SearchConfig::default().with_tolerance(1.0 / 16.0);
    search(config, Method::Published)
}

fn truth(line: &Line, near: f64) -> f64 {
    let config = SearchConfig::default()
        .with_tolerance(1.0 / 2048.0)
        .with_accuracy(1e-5);
    let exact = line.known().with_resolution(0.0);
    let (result, _) = line.search_as(&exact, &search(config, Method::Guided), Guess::new(near));
    result.outcome.bracket().unwrap().critical_lr()
}

fn score(
    workload: &str,
    search: &CriticalSearch,
    told: impl Fn(usize, &Line) -> LossLine,
) -> Score {
    let (mut guess, mut missed) = (Guess::new(0.01), 0);
    let (mut counts, mut errors, mut stated) = (vec![], vec![], vec![]);
    for (index, line) in recorded::lines(workload).iter().enumerate() {
        let (result, next) = line.search_as(&told(index, line), search, guess);
        guess = next;
        let bracket = result.outcome.bracket();
        let bracket = bracket.unwrap_or_else(|| panic!("{workload} {index}: {result:?}"));
        let root = truth(line, bracket.critical_lr());
        let is_inside = bracket.lower() <= 1.01 * root && root <= 1.01 * bracket.upper();
        missed += usize::from(!is_inside);
        counts.push(result.trace.len());
        errors.push((bracket.critical_lr() / root - 1.0).abs());
        stated.push(bracket.relative_error());
    }
    let first = counts[0];
    let (counts, stated) = (&counts[WARM_UP..], &stated[WARM_UP..]);
    let mut errors = errors.split_off(WARM_UP);
    let rms = |of: &[f64]| (of.iter().map(|v| v * v).sum::<f64>() / of.len() as f64).sqrt();
    // The true η_c is known to 1e-5.
    let is_outside = |(error, stated): &(&f64, &f64)| **error > 3.0 * **stated + 1e-5;
    let outside = errors.iter().zip(stated).filter(is_outside).count();
    errors.sort_by(f64::total_cmp);
    Score {
        first,
        mean: counts.iter().sum::<usize>() as f64 / counts.len() as f64,
        most: counts.iter().copied().max().unwrap(),
        rms: rms(&errors),
        p95: errors[errors.len() * 95 / 100],
        largest: errors[errors.len() - 1],
        stated: rms(stated),
        outside,
        missed,
    }
}

fn print(name: &str, score: &Score) {
    let Score {
        first, mean, most, ..
    } = score;
    let errors = [score.rms, score.p95, score.largest, score.stated];
    let errors = errors
        .map(|error| format!("{:.2}%", 100.0 * error))
        .join(" | ");
    println!(
        "{name:40} | {first:2} | {mean:.2} | {most} | {errors} | {}",
        score.outside
    );
}

fn print_header() {
    println!(
        "{:40} | first | mean | most | rms | 95% | largest | stated | beyond 3 × stated",
        "evaluations and errors"
    );
}

#[test]
fn the_defaults_are_cheap_and_accurate() {
    print_header();
    for (workload, evaluations, rms) in [
        ("gpt", 2.5, 0.003),
        ("full-batch", 2.2, 0.001),
        ("momentum", 2.45, 0.003),
    ] {
        for tolerance in [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 3.0, 1.0 / 2.0] {
            for accuracy in [0.005, 0.01, 0.015, 0.02, 0.04] {
                let config = SearchConfig::default()
                    .with_tolerance(tolerance)
                    .with_accuracy(accuracy);
                let score = score(workload, &search(config, Method::Guided), |_, l| l.known());
                let name = format!("{workload} 1/{:.0} to {accuracy}", 1.0 / tolerance);
                print(&name, &score);
                assert!(score.outside <= 1, "{name}: {} beyond", score.outside);
                // The invisible part of an interpolation error grows with the square of the bracket's width.
                let most = (2.0 * accuracy).max(0.25 * tolerance * tolerance);
                assert!(score.largest <= most, "{name}: {}", score.largest);
            }
        }
        let score = score(workload, &guided(), |_, line| line.known());
        print(&format!("{workload} defaults"), &score);
        assert!(score.mean <= evaluations, "{workload}: {}", score.mean);
        assert!(score.rms <= rms, "{workload}: {}", score.rms);
        assert!(score.largest <= 0.02, "{workload}: {}", score.largest);
    }
}

#[test]
fn narrow_brackets_take_few_evaluations_more() {
    for (workload, coarse, fine) in [
        ("gpt", 3.2, 4.2),
        ("full-batch", 2.3, 3.4),
        ("momentum", 3.1, 4.2),
    ] {
        assert!(recorded::lines(workload).len() >= 80);
        for (tolerance, bound, published) in [(1.0 / 16.0, coarse, 5.5), (1.0 / 256.0, fine, 9.5)] {
            let config = SearchConfig::default().with_tolerance(tolerance);
            let [guided, baseline] = [Method::Guided, Method::Published].map(|method| {
                let score = score(workload, &search(config, method), |_, line| line.known());
                assert_eq!(score.missed, 0, "{workload} at {tolerance}");
                score.mean
            });
            let case = format!("{workload} at {tolerance}: {guided:.3} against {baseline:.3}");
            println!("{case}");
            assert!(guided <= bound && baseline >= published, "{case}");
        }
    }
}

#[test]
fn to_look_at_the_rounding_costs_little_where_there_is_none() {
    print_header();
    for workload in WORKLOADS {
        let unknown = |_, line: &Line| line.known().with_unknown_rounding();
        let without = score(workload, &guided(), |_, line| line.known());
        let with = score(workload, &guided(), unknown);
        let lines = recorded::lines(workload).len();
        print(&format!("{workload}, lines {lines}"), &without);
        print(&format!("{workload}, rounding unknown"), &with);
        assert!(with.mean <= without.mean + 0.5);
        assert!(with.outside == 0, "{}", with.outside);
    }
}

#[test]
fn the_published_estimator_takes_more_evaluations_for_a_larger_error() {
    print_header();
    for workload in WORKLOADS {
        let guided = score(workload, &guided(), |_, line| line.known());
        let published = score(workload, &published(), |_, line| line.known());
        print(&format!("{workload} published 1/16"), &published);
        assert!(published.mean >= 5.5 && published.mean >= 2.4 * guided.mean);
        assert!(published.rms >= 0.012 && published.rms >= 3.0 * guided.rms);
        assert!(published.largest <= 1.0 / 30.0 && published.outside == 0);
    }
}

#[test]
fn a_first_measurement_takes_eight_evaluations_at_most() {
    let lines = WORKLOADS.map(recorded::lines);
    let mut most = 0;
    for line in lines.iter().flatten() {
        let guesses = [1e-10, 1e-3, 1e6].map(Guess::new);
        for guess in guesses.into_iter().chain([Guess::unknown()]) {
            let known = line.search_as(&line.known(), &guided(), guess).0;
            let hint = line.unknown().with_slope_hint(line.slope());
            let hint = line.search_as(&hint, &guided(), guess).0;
            for result in [known, hint] {
                assert!(result.outcome.bracket().is_some(), "{guess:?}: {result:?}");
                assert!(result.trace.len() <= 8, "{guess:?}: {result:?}");
                most = most.max(result.trace.len());
            }
        }
    }
    println!("at most {most}");
}

#[test]
fn without_a_known_slope_a_warm_search_costs_little_more() {
    print_header();
    for workload in WORKLOADS {
        let none = score(workload, &guided(), |_, line| line.unknown());
        let mut scores = vec![("no slope".to_string(), none)];
        for factor in [0.3, 1.0, 3.0, f64::NAN, f64::INFINITY, -1.0] {
            let hinted = |_, line: &Line| line.unknown().with_slope_hint(factor * line.slope());
            let score = score(workload, &guided(), hinted);
            scores.push((format!("hint × {factor}"), score));
        }
        let noisy = |index: usize, line: &Line| {
            let factor = 3f64.powf(((index * index) as f64).sin());
            line.unknown().with_slope_hint(factor * line.slope())
        };
        scores.push(("noisy hint".to_string(), score(workload, &guided(), noisy)));
        for (name, score) in scores {
            print(&format!("{workload} {name}"), &score);
            assert!(score.mean <= 3.6, "{workload} {name}: {}", score.mean);
            assert!(score.rms <= 0.004 && score.largest <= 0.03 && score.outside <= 1);
        }
    }
}

/// h = −(1 − u)(1 + bu + cu² + w sin(fu + φ)) with u = η/root, up to shapes that no three points reveal.
#[test]
fn the_stated_error_holds_on_generated_lines() {
    let mut runner = TestRunner::new(given::fixed(256));
    let (curve, wave) = ((-0.9..5.0, -0.5..3.0), (0.0..0.5, 0.5..6.0, 0.0..6.0));
    let shapes = (curve, wave, -0.4..0.4, 0..3_u8);
    for tolerance in [1.0 / 16.0, 1.0 / 4.0, 1.0 / 3.0, 1.0 / 2.0] {
        let config = SearchConfig::default().with_tolerance(tolerance);
        let search = search(config, Method::Guided);
        let (mut measured, mut outside, mut largest) = (0, 0, 0f64);
        for _ in 0..10_000 {
            let shape = shapes.new_tree(&mut runner).unwrap().current();
            let ((b, c), (w, f, phase), off, told): (_, (f64, f64, f64), f64, _) = shape;
            let shape = |u: f64| 1.0 + b * u + c * u * u + w * (f * u + phase).sin();
            if (0..=2000).any(|i| shape(0.05 * f64::from(i)) < 0.05) {
                continue; // Another root, or nearly so: u = 1 is not the only one.
            }
            let line = LossLine::new(1.0).with_loss_epsilon(f64::EPSILON);
            let line = match told {
                0 => line,
                1 => line.with_slope_hint(2.0 * shape(0.0)),
                _ => line.with_slope(shape(0.0)),
            };
            let guess = Guess::new(off.exp());
            let result = search.run(&line, guess, |u| 1.0 - u * (1.0 - u) * shape(u));
            let bracket = result.outcome.bracket();
            let bracket = bracket.unwrap_or_else(|| panic!("{result:?}"));
            let error = (bracket.critical_lr() - 1.0).abs();
            measured += 1;
            largest = largest.max(error);
            outside += usize::from(error > 3.0 * bracket.relative_error() + 1e-12);
        }
        let (parts, percent) = (1.0 / tolerance, 100.0 * largest);
        println!(
            "1/{parts:.0}: {outside} of {measured} beyond three times the stated error; largest {percent:.2}%"
        );
        assert!(measured > 5_000);
        assert!(50 * outside < measured, "{outside} of {measured}");
        assert!(largest < 0.16, "{largest}");
    }
}
