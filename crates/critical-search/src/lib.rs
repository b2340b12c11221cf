//! Finds the **critical learning rate** of a loss along an update direction.
//!
//! With parameters θ, loss L and an optimizer whose step is θ ← θ − ηΔθ, write
//!
//! ```text
//! f(η) = L(θ − ηΔθ) − L(θ)          the rise of the loss
//! η_c  = min { η > 0 : f(η) > 0 }   the critical learning rate
//! λ_c  = 2 / η_c                    the critical sharpness
//! ```
//!
//! (Kalra et al., arXiv 2601.16979, 2026.) Each value of f costs one forward pass of a model. The crate knows numbers
//! only: no tensors, no I/O.
//!
//! 1. Describe the loss at the start of the update, and its slope if you know it, by a [`LossLine`].
//! 2. Call [`CriticalSearch::run`] with a closure that returns the loss at a learning rate. The search ends in a named
//!    [`Outcome`]: a [`Bracket`] that two evaluations certify, or the reason why there is none.
//! 3. During a training run, pass the [`Guess`] from search to search: with it, a search takes about two evaluations.
//!
//! [`algorithm`] explains the search.
//!
//! ```
//! use critical_search::{CriticalSearch, Guess, LossLine, Outcome, SearchConfig};
//!
//! // L(θ − ηΔθ) = 1 − 4η + 8η²: the loss falls at first (slope g·Δθ = 4) and is back at 1 at η = 1/2.
//! let search = CriticalSearch::new(SearchConfig::default())?;
//! let line = LossLine::new(1.0).with_slope(4.0);
//! let result = search.run(&line, Guess::new(0.1), |learning_rate: f64| {
//!     1.0 - 4.0 * learning_rate + 8.0 * learning_rate.powi(2)
//! });
//!
//! let Outcome::Bracketed(bracket) = result.outcome else { panic!("{:?}", result.outcome) };
//! assert!(bracket.lower() <= 0.5 && 0.5 < bracket.upper());
//! assert!((bracket.critical_lr() - 0.5).abs() <= 3.0 * bracket.relative_error() * 0.5 + 1e-9);
//! # Ok::<(), critical_search::SearchConfigError>(())
//! ```

// Nothing that a training run can reach may panic.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod algorithm;
mod audit;
mod calibration;
mod config;
mod forecast;
mod guess;
mod guided;
mod judge;
mod known_rounding;
mod line;
mod look;
mod outcome;
mod published;
mod rounding;
mod scatter;
mod search;
mod shape;
mod slope_test;
mod trace;
mod verdict;

pub use config::{Method, SearchConfig, SearchConfigError};
pub use guess::Guess;
pub use line::LossLine;
pub use outcome::{Bracket, Evaluation, Outcome, Rise, SearchResult};
pub use scatter::Scatter;
pub use search::{CriticalSearch, Interrupted};

/// Compiles and runs the code of README.md as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
