//! Models from files: what they compute, what files they are read from, what is refused, and a sweep. One
//! binary, since each of them links burn.

mod export;
mod files;
mod fuzz;
#[cfg(target_os = "linux")]
mod program;
mod published;
mod refused;
mod sweep;
mod variant;
