//! Critical sharpness of published checkpoints.

#![allow(missing_docs, reason = "the crate is not published")]
// Nothing that a sweep can reach may panic.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod checkpoint;
pub mod config;
mod files;
pub mod gpt2;
pub mod model;
pub mod name;
pub mod olmo2;
pub mod probe;
pub mod record;
pub mod report;
pub mod sweep;
pub mod text;
pub mod weights;
