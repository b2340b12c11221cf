/// The mix with the same largest learning rate for both tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweetSpot {
    pub ratio: f64,
    pub learning_rate: f64,
}

/// Finds the crossing of two curves; before it, the first curve is above the second.
pub fn crossing(points: &[(f64, f64, f64)]) -> Option<SweetSpot> {
    let pair = points.windows(2).find(|pair| {
        let [(_, pretrain, target), (_, next_pretrain, next_target)] = [pair[0], pair[1]];
        pretrain > target && next_pretrain <= next_target
    })?;
    let [(left, a, b), (right, c, d)] = [pair[0], pair[1]];
    let logs = [a, b, c, d].map(f64::ln);
    if logs.iter().all(|log| log.is_finite()) {
        let [a, b, c, d] = logs;
        let share = (a - b) / ((a - b) + (d - c));
        let sharpness = (a + share * (c - a)).exp();
        return Some(SweetSpot {
            ratio: left + share * (right - left),
            learning_rate: 2.0 / sharpness,
        });
    }
    // If an update hurts a task at any rate, only the interval is known, and the allowed rate at its ends.
    let allowed = |a: f64, b: f64| 2.0 / a.max(b);
    Some(SweetSpot {
        ratio: 0.5 * (left + right),
        learning_rate: allowed(a, b).max(allowed(c, d)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_cross_where_their_logarithms_do() {
        let spot = crossing(&[(0.0, 100.0, 1.0), (0.5, 10.0, 1.0), (1.0, 1.0, 100.0)]).unwrap();
        // From a decade above to two decades below: a third of the way.
        assert!((spot.ratio - (0.5 + 0.5 / 3.0)).abs() < 1e-12);
        let sharpness = 10f64.powf(1.0 - 1.0 / 3.0);
        assert!((spot.learning_rate - 2.0 / sharpness).abs() < 1e-12);
        assert_eq!(crossing(&[(0.0, 1.0, 2.0), (1.0, 1.0, 3.0)]), None);
    }

    #[test]
    fn a_task_that_is_hurt_at_once_bounds_the_crossing() {
        let spot = crossing(&[(0.0, f64::INFINITY, 5.0), (0.5, 10.0, 20.0)]).unwrap();
        assert_eq!((spot.ratio, spot.learning_rate), (0.25, 0.1));
    }
}
