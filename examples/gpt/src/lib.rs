//! Shared parts of the examples.

#![allow(missing_docs, reason = "the crate is not published")]
// Nothing that a training run can reach may panic.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub use sharpness_report::terminal;

/// Prints a line, and ignores a failed write: the results of a run are its files.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => {
        $crate::terminal::say(format_args!($($line)*))
    };
}

#[macro_export]
macro_rules! warn {
    ($($line:tt)*) => {
        $crate::terminal::warn(format_args!($($line)*))
    };
}

pub mod activation;
pub mod device;
pub mod export;
pub mod flags;
pub mod folder;
pub mod guard;
pub mod loader;
pub mod metrics;
pub mod model;
pub mod optimizer;
pub mod output;
pub mod progress;
pub mod run;
pub mod schedule;
pub mod small;
pub mod stop;
pub mod text;
pub mod tokenizer;
pub mod tokenizer_file;
pub mod tokens;
mod windows;
