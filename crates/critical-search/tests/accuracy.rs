//! What a search costs and how far its η_c is off, on recorded lines of real training.

mod recorded;

use critical_search::{CriticalSearch, Guess, LossLine, Method, SearchConfig};
use recorded::Line;

const WORKLOADS: [&str; 3] = ["gpt", "full-batch", "momentum"];
/// The searches that warm up.
const WARM_UP: usize = 5;

/// What the searches along the lines of a workload come to.
struct Score {
    evaluations: f64,
    most: usize,
    first: usize,
    rms: f64,
    p95: f64,
    largest: f64,
    stated: f64,
    outside: f64,
}

fn search(tolerance: f64, accuracy: f64, method: Method) -> CriticalSearch {
    let config = SearchConfig::default()
        .with_tolerance(tolerance)
        .with_accuracy(accuracy);
    CriticalSearch::new(config).unwrap().with_method(method)
}

/// η_c by a search as fine as the lines are.
fn truth(line: &Line, near: f64) -> f64 {
    let exact = line.known().with_resolution(0.0);
    let fine = search(1.0 / 2048.0, 1e-4, Method::Guided);
    let (result, _) = line.search_as(&exact, &fine, Guess::new(near));
    result.outcome.bracket().unwrap().critical_lr()
}

fn score(
    lines: &[Line],
    search: &CriticalSearch,
    told: impl Fn(usize, &Line) -> LossLine,
) -> Score {
    let mut guess = Guess::new(0.01);
    let (mut counts, mut errors, mut stated, mut first) = (vec![], vec![], vec![], 0);
    for (index, line) in lines.iter().enumerate() {
        let (result, next) = line.search_as(&told(index, line), search, guess);
        guess = next;
        if index == 0 {
            first = result.trace.len();
        }
        if index < WARM_UP {
            continue;
        }
        let bracket = result
            .outcome
            .bracket()
            .unwrap_or_else(|| panic!("{result:?}"));
        counts.push(result.trace.len());
        errors.push(
            (bracket.critical_lr() / truth(line, bracket.critical_lr()))
                .ln()
                .abs(),
        );
        stated.push(bracket.relative_error());
    }
    let n = counts.len() as f64;
    let rms = |values: &[f64]| (values.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
    let outside = errors
        .iter()
        .zip(&stated)
        .filter(|(e, s)| **e > 3.0 * **s + 1e-4)
        .count();
    let stated = rms(&stated);
    let rms = rms(&errors);
    errors.sort_by(f64::total_cmp);
    Score {
        evaluations: counts.iter().sum::<usize>() as f64 / n,
        most: counts.iter().copied().max().unwrap(),
        first,
        rms,
        p95: errors[errors.len() * 95 / 100],
        largest: errors[errors.len() - 1],
        stated,
        outside: outside as f64 / n,
    }
}

fn print(name: &str, score: &Score) {
    println!(
        "{name:44} first {:2} mean {:.2} most {:2} | rms {:.2}% p95 {:.2}% max {:.2}% stated {:.2}% outside 3x {:.1}%",
        score.first,
        score.evaluations,
        score.most,
        100.0 * score.rms,
        100.0 * score.p95,
        100.0 * score.largest,
        100.0 * score.stated,
        100.0 * score.outside
    );
}

#[test]
fn table() {
    for workload in WORKLOADS {
        let lines = recorded::lines(workload);
        for tolerance in [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 3.0, 1.0 / 2.0] {
            for accuracy in [0.005, 0.01, 0.02, 0.04] {
                let s = score(
                    &lines,
                    &search(tolerance, accuracy, Method::Guided),
                    |_, l| l.known(),
                );
                print(
                    &format!("{workload} width {tolerance:.3} accuracy {accuracy}"),
                    &s,
                );
            }
        }
        let s = score(
            &lines,
            &search(1.0 / 16.0, 0.02, Method::Published),
            |_, l| l.known(),
        );
        print(&format!("{workload} published 1/16"), &s);
    }
}

#[test]
fn hints() {
    for workload in WORKLOADS {
        let lines = recorded::lines(workload);
        let guided = search(0.25, 0.02, Method::Guided);
        let s = score(&lines, &guided, |_, l| l.unknown());
        print(&format!("{workload} no slope"), &s);
        for factor in [0.3, 1.0, 3.0] {
            let s = score(&lines, &guided, |_, l| {
                l.unknown().with_slope_hint(factor * l.slope())
            });
            print(&format!("{workload} hint x {factor}"), &s);
        }
        let s = score(&lines, &guided, |i, l| {
            l.unknown()
                .with_slope_hint(l.slope() * (1.1 * ((i * i) as f64).sin()).exp())
        });
        print(&format!("{workload} noisy hint"), &s);
    }
}
