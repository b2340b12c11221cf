//! A single binary, since each one links burn.

mod export;
mod files;
mod fuzz;
#[cfg(target_os = "linux")]
mod program;
mod published;
mod refused;
mod sweep;
mod variant;
