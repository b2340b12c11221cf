//! Draws what [burn-sharpness] measures.
//!
//! [burn-sharpness]: https://docs.rs/burn-sharpness

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod plot;
