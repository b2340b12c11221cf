use anyhow::{Result, ensure};

pub(super) fn epsilon_1e_5() -> f64 {
    1e-5
}

pub(super) fn yes() -> bool {
    true
}

/// No model is as large, and the product of two such sizes is still a number.
const LARGEST: usize = 1 << 28;

pub(super) fn check_sizes(sizes: &[(&str, usize)]) -> Result<()> {
    for (name, size) in sizes {
        ensure!(
            (1..=LARGEST).contains(size),
            "{name} is {size}, but must be at least 1 and at most {LARGEST}"
        );
    }
    Ok(())
}
