//! Small networks of many kinds, each measured in all ways at every step of a training and held against a dense scan of the
//! very loss that was measured. `kinds/table.rs` is the table of what is trained.
//!
//! `cargo test --workspace --test suite -- --ignored --nocapture whole_zoo` makes all measurements and prints what is wrong
//! with them, a line a kind. `KINDS` leaves out all kinds and cases whose name has none of these words, separated by `;`.

mod case;
mod fault;
mod held;
mod judge;
mod optimizers;
mod run;
mod table;
mod tally;
mod tasks;
mod ways;

use case::Case;
use fault::Fault;
use held::{Tallies, held};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use table::{Row, rows};
use tally::Tally;

/// The measurements of each case in the short run.
const SHORT: u64 = 6;

/// The cases of the table whose names, or whose kinds' names, have one of the words of `KINDS`.
fn chosen() -> Vec<Row> {
    let words = std::env::var("KINDS").unwrap_or_default();
    let is_chosen = |name: &str| words.split(';').any(|word| name.contains(word));
    let rows = rows().into_iter().filter_map(|mut row| {
        if !is_chosen(&row.name) {
            row.cases.retain(|case| is_chosen(&case.name));
        }
        (!row.cases.is_empty()).then_some(row)
    });
    rows.collect()
}

/// What became of all cases, in their order.
fn all_held(cases: &[Case]) -> Vec<Tallies> {
    let (next, held_so_far) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, case)) = take(&next, cases) {
                    let tallies = catch_unwind(AssertUnwindSafe(|| held(case)));
                    let tallies = tallies.unwrap_or_else(|_| panicked(case));
                    held_so_far.lock().unwrap().push((index, tallies));
                }
            });
        }
    });
    let mut held_so_far = held_so_far.into_inner().unwrap();
    held_so_far.sort_by_key(|(index, _)| *index);
    held_so_far
        .into_iter()
        .map(|(_, tallies)| tallies)
        .collect()
}

fn take<'a>(next: &AtomicUsize, cases: &'a [Case]) -> Option<(usize, &'a Case)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, cases.get(index)?))
}

fn panicked(case: &Case) -> Tallies {
    let mut tally = Tally::default();
    tally.add_fault(Fault::Panic);
    tally.note(format!("{} panicked", case.name));
    Tallies::from([("train".to_string(), tally)])
}

/// Prints a line for each kind, and returns what is worse than it may be.
fn report(rows: &[Row]) -> (Tally, Vec<String>) {
    let cases: Vec<Case> = rows.iter().flat_map(|row| row.cases.clone()).collect();
    let mut held = all_held(&cases).into_iter();
    let (mut total, mut worse) = (Tally::default(), Vec::new());
    println!("{}", Tally::header());
    for row in rows {
        let mut kinds = Tallies::new();
        for (loss, tally) in held.by_ref().take(row.cases.len()).flatten() {
            kinds.entry(loss).or_default().add(&tally);
        }
        for (loss, tally) in kinds {
            let name = match loss.as_str() {
                "train" => row.name.clone(),
                task => format!("{}, {task}", row.name),
            };
            println!("{}", tally.line(&name));
            for note in &tally.notes {
                println!("    {note}");
            }
            for fault in Fault::ALL {
                let share = table::share(&name, fault);
                if tally.exceeds(fault, share) {
                    worse.push(format!("{name}: {fault:?} {}", tally.of(fault)));
                }
            }
            total.add(&tally);
        }
    }
    println!("{}", total.line("all"));
    (total, worse)
}

#[test]
fn a_few_measurements_of_every_kind_are_true() {
    let mut rows = chosen();
    for row in &mut rows {
        row.cases = row.cases.drain(..).map(|case| case.short(SHORT)).collect();
    }
    let (total, worse) = report(&rows);
    assert!(worse.is_empty(), "{worse:#?}");
    assert!(total.bracketed * 2 > total.measured);
}

#[test]
#[ignore = "takes minutes: run it after a change of the search, by hand"]
fn whole_zoo() {
    let (_, worse) = report(&chosen());
    assert!(worse.is_empty(), "{worse:#?}");
}
