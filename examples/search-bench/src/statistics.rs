//! What many numbers have in common.

/// The mean; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The value that this share of them does not exceed; NaN of none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Relative errors: their root mean square, what 95 of 100 do not exceed, and the largest.
pub struct Errors {
    pub rms: f64,
    pub p95: f64,
    pub max: f64,
}

impl Errors {
    /// Of these relative errors.
    pub fn new(errors: Vec<f64>) -> Self {
        let squares: Vec<f64> = errors.iter().map(|error| error * error).collect();
        Self {
            rms: mean(&squares).sqrt(),
            p95: quantile(&errors, 0.95),
            max: errors.iter().copied().fold(f64::NAN, f64::max),
        }
    }
}
