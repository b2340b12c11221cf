//! Values that a configuration may leave out, and what all of them must fulfil.

use anyhow::{Result, ensure};

pub(super) fn epsilon_1e_5() -> f64 {
    1e-5
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn at_least_1(sizes: &[(&str, usize)]) -> Result<()> {
    for (name, size) in sizes {
        ensure!(*size > 0, "{name} is 0, but must be at least 1");
    }
    Ok(())
}

pub(super) fn above_0(name: &str, value: f64) -> Result<()> {
    ensure!(
        value > 0.0 && value.is_finite(),
        "{name} is {value}, but must be above 0"
    );
    Ok(())
}
