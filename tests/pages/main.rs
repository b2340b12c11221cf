//! Checks the promises of README, the book and the other pages: their commands share one build, their links resolve,
//! their code compiles.

mod code;
mod commands;
mod links;
mod messages;
mod page;
mod quantities;
mod units;
