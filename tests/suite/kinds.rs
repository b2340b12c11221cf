//! Compares measurements of many small networks with dense scans of the same loss.
//!
//! `cargo test --workspace --test suite -- --ignored --nocapture whole_zoo` prints a line of faults for each kind.
//! `KINDS` selects kinds and cases by words in their names, separated by `;`. `SEED` starts all networks elsewhere.

mod case;
mod fault;
mod held;
mod judge;
mod limits;
mod optimizers;
mod run;
mod table;
mod tally;
mod tasks;
mod ways;

use case::Case;
use fault::Fault;
use held::{Tallies, held};
use sharpness_tests::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use table::{Row, rows};
use tally::Tally;

const SHORT: u64 = 4;

fn chosen() -> Vec<Row> {
    let words = std::env::var("KINDS").unwrap_or_default();
    let seed = std::env::var("SEED").map(|seed| seed.parse().unwrap());
    let is_chosen = |name: &str| words.split(';').any(|word| name.contains(word));
    let rows = rows().into_iter().filter_map(|mut row| {
        if !is_chosen(&row.name) {
            row.cases.retain(|case| is_chosen(&case.name));
        }
        if let Ok(seed) = seed {
            row.cases.iter_mut().for_each(|case| case.seed = seed);
        }
        (!row.cases.is_empty()).then_some(row)
    });
    rows.collect()
}

fn all_held(cases: &[Case], mut each: impl FnMut(Tallies)) {
    let next = AtomicUsize::new(0);
    let (send, received) = mpsc::channel();
    let work = |send: mpsc::Sender<(usize, Tallies)>| {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(case) = cases.get(index)
        {
            let tallies = catch_unwind(AssertUnwindSafe(|| held(case)));
            let tallies = tallies.unwrap_or_else(|_| panicked(case));
            send.send((index, tallies)).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let send = send.clone();
            scope.spawn(|| work(send));
        }
        drop(send);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (index, tallies) in received {
            waiting.insert(index, tallies);
            while let Some(tallies) = waiting.remove(&due) {
                due += 1;
                each(tallies);
            }
        }
    });
}

fn panicked(case: &Case) -> Tallies {
    let mut tally = Tally::default();
    tally.add_fault(Fault::Panic, format!("{} panicked", case.name));
    Tallies::from([(TRAIN_TASK.to_string(), tally)])
}

fn report(rows: Vec<Row>) -> (Tally, Vec<String>) {
    let cases: Vec<Case> = rows.iter().flat_map(|row| row.cases.clone()).collect();
    let (mut total, mut worse) = (Tally::default(), Vec::new());
    println!("{}", Tally::header());
    let mut rows = rows.into_iter();
    let mut row = rows.next();
    let (mut kinds, mut cases_of_row) = (Tallies::new(), 0);
    all_held(&cases, |tallies| {
        for (loss, tally) in tallies {
            kinds.entry(loss).or_default().add(&tally);
        }
        cases_of_row += 1;
        let Some(of) = row.take_if(|row| row.cases.len() == cases_of_row) else {
            return;
        };
        (row, cases_of_row) = (rows.next(), 0);
        for (loss, tally) in std::mem::take(&mut kinds) {
            let name = match loss.as_str() {
                TRAIN_TASK => of.name.clone(),
                task => format!("{}, {task}", of.name),
            };
            println!("{}", tally.line(&name));
            for note in tally.notes() {
                println!("    {note}");
            }
            worse.extend(excess(&name, &tally));
            total.add(&tally);
        }
    });
    println!("{}", total.line("all"));
    if std::env::var_os("KINDS").is_none() {
        worse.extend(excess("all", &total));
    }
    (total, worse)
}

fn excess(kind: &str, tally: &Tally) -> Vec<String> {
    let faults = Fault::ALL.into_iter();
    faults
        .filter(|fault| tally.exceeds(*fault, limits::share(kind, *fault)))
        .map(|fault| format!("{kind}: {fault:?} {}", tally.of(fault)))
        .collect()
}

#[test]
fn a_few_measurements_of_every_kind_are_true() {
    let mut rows = chosen();
    for row in &mut rows {
        row.cases = row.cases.drain(..).map(|case| case.short(SHORT)).collect();
    }
    let (total, worse) = report(rows);
    assert!(worse.is_empty(), "{worse:#?}");
    assert!(total.bracketed * 2 > total.measured);
}

#[test]
#[ignore = "takes minutes: run it after a change of the search, by hand"]
fn whole_zoo() {
    let (_, worse) = report(chosen());
    assert!(worse.is_empty(), "{worse:#?}");
}
