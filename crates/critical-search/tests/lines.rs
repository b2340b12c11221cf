//! Searches along recorded lines: the rise of the loss along real updates, every fifth of a GPT's
//! first 400, and 200 each of a fully connected network's (`cargo run -p search-bench -- --lines
//! FILE` records such lines).

use critical_search::{CriticalSearch, Guess, LossLine, Method, SearchConfig};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    workload: String,
    slope: f64,
    base_loss: f64,
    /// (η, f(η)), by rising η.
    points: Vec<(f64, f64)>,
}

impl Line {
    /// f(η), with f(η)/η interpolated between the points.
    fn rise(&self, eta: f64) -> f64 {
        let h = |(eta, rise): (f64, f64)| rise / eta;
        let next = self.points.partition_point(|(at, _)| *at <= eta);
        let (from, to) = match next {
            0 => ((0.0, -self.slope), (self.points[0].0, h(self.points[0]))),
            _ if next == self.points.len() => return eta * h(self.points[next - 1]),
            _ => {
                let [a, b] = [self.points[next - 1], self.points[next]];
                ((a.0, h(a)), (b.0, h(b)))
            }
        };
        eta * (from.1 + (to.1 - from.1) * (eta - from.0) / (to.0 - from.0))
    }

    /// Whether f changes its sign once only between the recorded points.
    fn crosses_once(&self) -> bool {
        let signs: Vec<bool> = self.points.iter().map(|(_, rise)| *rise > 0.0).collect();
        signs.windows(2).filter(|pair| pair[0] != pair[1]).count() == 1
    }
}

/// The mean evaluations of a search that goes from line to line, but for the first five.
fn mean_evaluations(lines: &[&Line], tolerance: f64, method: Method) -> f64 {
    let config = SearchConfig {
        tolerance,
        ..SearchConfig::default()
    };
    let search = CriticalSearch::new(config).unwrap().with_method(method);
    let mut guess = Guess::new(0.01);
    let mut evaluations = Vec::new();
    for recorded in lines {
        let line = LossLine::new(recorded.base_loss).with_slope(recorded.slope);
        let result = search.run(&line, guess, |eta| recorded.base_loss + recorded.rise(eta));
        let bracket = result.outcome.bracket();
        let bracket = bracket.unwrap_or_else(|| panic!("{}: {result:?}", recorded.workload));
        if recorded.crosses_once() {
            // The recorded place 1 is the critical learning rate to a part in a thousand.
            let critical_lr = recorded.points[12].0;
            assert!(bracket.lower() <= 1.01 * critical_lr);
            assert!(bracket.upper() >= 0.99 * critical_lr);
        }
        evaluations.push(result.trace.len());
        guess = guess.learn(&line, &result);
    }
    let counted = &evaluations[5..];
    counted.iter().sum::<usize>() as f64 / counted.len() as f64
}

#[test]
fn real_lines_are_bracketed_with_few_evaluations() {
    let lines: Vec<Line> = serde_json::from_str(include_str!("lines.json")).unwrap();
    // Workload, and the most that a guided search may take at 1/16 and at 1/256.
    for (workload, coarse, fine) in [
        ("gpt", 3.5, 4.6),
        ("full-batch", 2.3, 3.6),
        ("momentum", 3.4, 4.6),
    ] {
        let lines: Vec<&Line> = lines
            .iter()
            .filter(|line| line.workload.contains(workload))
            .collect();
        assert!(lines.len() >= 80);
        for (tolerance, bound, published) in [(1.0 / 16.0, coarse, 5.5), (1.0 / 256.0, fine, 9.5)] {
            let guided = mean_evaluations(&lines, tolerance, Method::Guided);
            let baseline = mean_evaluations(&lines, tolerance, Method::Published);
            println!(
                "{workload} 1/{:.0}: {guided:.3} against {baseline:.3}",
                1.0 / tolerance
            );
            assert!(guided <= bound, "{workload} at {tolerance}: {guided}");
            assert!(
                baseline >= published,
                "{workload} at {tolerance}: {baseline}"
            );
        }
    }
}
