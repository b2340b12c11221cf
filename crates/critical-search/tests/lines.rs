mod recorded;

use critical_search::{CriticalSearch, Guess, Method, SearchConfig};
use recorded::Line;

/// Returns η_c to a part in a thousand, if f crosses only once.
fn only_crossing(line: &Line) -> Option<f64> {
    let signs: Vec<bool> = line.points.iter().map(|(_, rise)| *rise > 0.0).collect();
    let crossings = signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    (crossings == 1).then_some(line.points[12].0)
}

fn mean_evaluations(lines: &[Line], tolerance: f64, method: Method) -> f64 {
    let config = SearchConfig::default().with_tolerance(tolerance);
    let search = CriticalSearch::new(config).unwrap().with_method(method);
    let mut guess = Guess::new(0.01);
    let mut evaluations = Vec::new();
    for line in lines {
        let (result, next) = line.search(&search, guess);
        let bracket = result.outcome.bracket();
        let bracket = bracket.unwrap_or_else(|| panic!("{}: {result:?}", line.workload));
        if let Some(critical_lr) = only_crossing(line) {
            assert!(bracket.lower() <= 1.01 * critical_lr);
            assert!(bracket.upper() >= 0.99 * critical_lr);
        }
        evaluations.push(result.trace.len());
        guess = next;
    }
    let counted = &evaluations[5..];
    counted.iter().sum::<usize>() as f64 / counted.len() as f64
}

#[test]
fn real_lines_are_bracketed_with_few_evaluations() {
    let bounds = [
        ("gpt", 3.2, 4.2),
        ("full-batch", 2.3, 3.4),
        ("momentum", 3.1, 4.2),
    ];
    for (workload, coarse, fine) in bounds {
        let lines = recorded::lines(workload);
        assert!(lines.len() >= 80);
        for (tolerance, bound, published) in [(1.0 / 16.0, coarse, 5.5), (1.0 / 256.0, fine, 9.5)] {
            let guided = mean_evaluations(&lines, tolerance, Method::Guided);
            let baseline = mean_evaluations(&lines, tolerance, Method::Published);
            let case = format!("{workload} at {tolerance}: {guided:.3} against {baseline:.3}");
            println!("{case}");
            assert!(guided <= bound && baseline >= published, "{case}");
        }
    }
}
