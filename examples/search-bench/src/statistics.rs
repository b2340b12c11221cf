/// NaN without numbers.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the value that this share of the numbers does not exceed, or NaN without numbers.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Summarizes relative errors.
pub struct Errors {
    pub rms: f64,
    pub p95: f64,
    pub max: f64,
}

impl Errors {
    pub fn new(errors: Vec<f64>) -> Self {
        let squares: Vec<f64> = errors.iter().map(|error| error * error).collect();
        Self {
            rms: mean(&squares).sqrt(),
            p95: quantile(&errors, 0.95),
            max: errors.iter().copied().fold(f64::NAN, f64::max),
        }
    }
}
