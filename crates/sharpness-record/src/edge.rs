use std::fmt::{Display, Formatter};

/// The edge ratio η/η_c above which a run is near the edge.
pub const NEAR_EDGE: f64 = 0.5;

/// Returns the edge threshold 2/η, the critical sharpness above which a step at η raises the loss.
///
/// `None` unless η is positive and 2/η finite.
pub fn edge_threshold(learning_rate: f64) -> Option<f64> {
    let threshold = 2.0 / learning_rate;
    (threshold > 0.0 && threshold.is_finite()).then_some(threshold)
}

/// Returns the edge ratio η/η_c = ηλ_c/2: above 1, the step raises the loss.
///
/// `None` unless η_c is positive and the ratio finite.
///
/// ```
/// assert_eq!(sharpness_record::edge_ratio(0.01, 0.04), Some(0.25));
/// assert_eq!(sharpness_record::edge_ratio(0.01, 0.0), None);
/// ```
pub fn edge_ratio(learning_rate: f64, critical_lr: f64) -> Option<f64> {
    let ratio = learning_rate / critical_lr;
    (critical_lr > 0.0 && ratio.is_finite()).then_some(ratio)
}

/// Locates a step relative to the Edge of Stability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    /// The edge ratio is at most [`NEAR_EDGE`].
    Below,
    /// The edge ratio is above [`NEAR_EDGE`] and at most 1.
    Near,
    /// The edge ratio is above 1: the step raises the loss.
    Past,
}

impl Edge {
    /// Locates a step by its [edge ratio](edge_ratio); `None` for NaN.
    ///
    /// ```
    /// use sharpness_record::Edge;
    ///
    /// assert_eq!(Edge::of(0.62), Some(Edge::Near));
    /// assert_eq!(Edge::of(1.5).map(|edge| edge.to_string()), Some("past the edge".to_string()));
    /// ```
    pub fn of(ratio: f64) -> Option<Self> {
        match ratio {
            ratio if ratio > 1.0 => Some(Self::Past),
            ratio if ratio > NEAR_EDGE => Some(Self::Near),
            ratio if ratio.is_nan() => None,
            _ => Some(Self::Below),
        }
    }
}

impl Display for Edge {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Below => "below the edge",
            Self::Near => "near the edge",
            Self::Past => "past the edge",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_past_above_1_and_near_above_a_half() {
        for (ratio, edge) in [
            (0.0, Some(Edge::Below)),
            (0.5, Some(Edge::Below)),
            (0.5 + f64::EPSILON, Some(Edge::Near)),
            (1.0, Some(Edge::Near)),
            (1.0 + f64::EPSILON, Some(Edge::Past)),
            (f64::INFINITY, Some(Edge::Past)),
            (f64::NAN, None),
        ] {
            assert_eq!(Edge::of(ratio), edge, "{ratio}");
        }
    }

    #[test]
    fn what_is_no_learning_rate_has_no_threshold_and_no_ratio() {
        for rate in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, 1e-310] {
            assert_eq!(edge_threshold(rate), None, "{rate}");
        }
        assert_eq!(edge_ratio(0.0, 0.1), Some(0.0), "a warmup begins at 0");
        for critical in [0.0, -1.0, f64::NAN] {
            assert_eq!(edge_ratio(0.1, critical), None, "{critical}");
        }
        assert_eq!(edge_ratio(f64::NAN, 0.1), None);
        assert_eq!(edge_ratio(1e300, 1e-300), None);
    }
}
