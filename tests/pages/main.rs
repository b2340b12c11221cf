mod code;
mod commands;
mod links;
mod messages;
mod page;
mod quantities;
mod units;
