//! Searches and samples for the tests.

#![allow(dead_code, reason = "each test uses a part")]

use critical_search::{CriticalSearch, Method, SearchConfig};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// With the defaults.
pub fn search() -> CriticalSearch {
    CriticalSearch::new(SearchConfig::default()).unwrap()
}

pub fn log_uniform(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low.ln()..high.ln()).prop_map(f64::exp)
}

pub fn methods() -> impl Strategy<Value = Method> {
    prop_oneof![Just(Method::Guided), Just(Method::Published)]
}

/// Fixed cases.
pub fn fixed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_global_rejects: 10_000,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    }
}
