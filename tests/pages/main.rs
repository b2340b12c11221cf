//! What README, the book and the other pages promise: their commands share one build, their links lead
//! somewhere, and their code is code that compiles.

mod code;
mod commands;
mod links;
mod messages;
mod page;
mod quantities;
mod units;
