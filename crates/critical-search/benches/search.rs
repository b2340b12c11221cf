//! Benchmarks the searches on recorded lines: their evaluations, and their own time.

#[path = "../tests/recorded/mod.rs"]
mod recorded;

use criterion::{BenchmarkId, Criterion};
use critical_search::{CriticalSearch, Guess, Method, SearchConfig};
use recorded::Line;
use std::hint::black_box;

const WORKLOADS: [&str; 3] = ["gpt", "full-batch", "momentum"];
const METHODS: [(&str, Method); 2] = [("guided", Method::Guided), ("published", Method::Published)];
const WARM_UP: usize = 5;

fn search(method: Method, tolerance: f64) -> CriticalSearch {
    let config = SearchConfig::default().with_tolerance(tolerance);
    CriticalSearch::new(config)
        .expect("the tolerance is a fraction")
        .with_method(method)
}

fn evaluations(lines: &[Line], search: &CriticalSearch) -> Vec<usize> {
    let mut guess = Guess::new(0.01);
    let each = lines.iter().map(|line| {
        let (result, next) = line.search(search, guess);
        guess = next;
        result.trace.len()
    });
    each.collect()
}

fn print_table() {
    println!("| recorded lines | ε | method | lines | evaluations: mean | median | most |");
    println!("|---|---|---|---|---|---|---|");
    for workload in WORKLOADS {
        let lines = recorded::lines(workload);
        for tolerance in [1.0 / 3.0, 1.0 / 16.0, 1.0 / 256.0] {
            for (name, method) in METHODS {
                let mut counts = evaluations(&lines, &search(method, tolerance)).split_off(WARM_UP);
                counts.sort_unstable();
                println!(
                    "| {workload} | 1/{:.0} | {name} | {} | {:.2} | {} | {} |",
                    1.0 / tolerance,
                    counts.len(),
                    counts.iter().sum::<usize>() as f64 / counts.len() as f64,
                    counts[counts.len() / 2],
                    counts[counts.len() - 1],
                );
            }
        }
    }
    println!();
}

fn main() {
    print_table();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("all recorded lines");
    for workload in WORKLOADS {
        let lines = recorded::lines(workload);
        for (name, method) in METHODS {
            let search = search(method, 1.0 / 16.0);
            group.bench_function(BenchmarkId::new(name, workload), |bencher| {
                bencher.iter(|| evaluations(black_box(&lines), &search));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
