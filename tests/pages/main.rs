//! Checks README and the book: code, commands, links, messages, units.

mod code;
mod commands;
mod links;
mod messages;
mod page;
mod quantities;
mod units;
