//! Predicts a quantity of the next line from earlier lines.

/// Predicts a positive quantity by its last value or its mean, whichever has erred less, times a learned power of
/// another quantity that is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Forecast {
    last: Seen,
    mean: Seen,
    error_of_last: f64,
    error_of_mean: f64,
    square: f64,
    square_of_other: f64,
    product: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Seen {
    value: f64,
    other: Option<f64>,
}

impl Seen {
    fn other_since(&self, earlier: &Self) -> f64 {
        match (self.other, earlier.other) {
            (Some(here), Some(there)) => here - there,
            _ => 0.0,
        }
    }
}

impl Forecast {
    const MEAN_WEIGHT: f64 = 0.4;
    /// The squared logarithmic error, a factor of 4, that restarts the mean if the last value failed too.
    const ELSEWHERE: f64 = 1.92;
    const ERROR_WEIGHT: f64 = 0.1;
    /// The last value is noisier than the mean, so it must do clearly better.
    const CLEARLY: f64 = 0.9;
    /// Not 0, so that the first change does not decide.
    const FIRST_SQUARE: f64 = 1e-2;
    const EXPLAINED: f64 = 0.3;
    /// The logarithm of a factor of 8.
    const MOST: f64 = 2.08;

    fn first(seen: Seen) -> Self {
        Self {
            last: seen,
            mean: seen,
            error_of_last: 0.0,
            error_of_mean: 0.0,
            square: 0.0,
            square_of_other: Self::FIRST_SQUARE,
            product: 0.0,
        }
    }

    fn push(self, seen: Seen) -> Self {
        let blend = |old: f64, new: f64, weight: f64| old + weight * (new - old);
        let lately = |old: f64, new: f64| blend(old, new, Self::ERROR_WEIGHT);
        let error = |from: &Seen| (self.from(from, seen.other) - seen.value).powi(2);
        let errors = [error(&self.last), error(&self.mean)];
        let change = seen.value - self.last.value;
        let change_of_other = seen.other_since(&self.last);
        let weight = if errors.iter().all(|error| *error > Self::ELSEWHERE) {
            1.0
        } else {
            Self::MEAN_WEIGHT
        };
        let mean = Seen {
            value: blend(self.mean.value, seen.value, weight),
            other: match (self.mean.other, seen.other) {
                (Some(old), Some(new)) => Some(blend(old, new, weight)),
                (old, new) => new.or(old),
            },
        };
        Self {
            last: Seen {
                other: seen.other.or(self.last.other),
                ..seen
            },
            mean,
            error_of_last: lately(self.error_of_last, errors[0]),
            error_of_mean: lately(self.error_of_mean, errors[1]),
            square: lately(self.square, change * change),
            square_of_other: lately(self.square_of_other, change_of_other * change_of_other),
            product: lately(self.product, change * change_of_other),
        }
    }

    pub(crate) fn learn(
        forecast: Option<Self>,
        value: Option<f64>,
        other: Option<f64>,
    ) -> Option<Self> {
        let Some(value) = value.and_then(logarithm) else {
            return forecast;
        };
        let seen = Seen {
            value,
            other: other.and_then(logarithm),
        };
        Some(match forecast {
            Some(forecast) => forecast.push(seen),
            None => Self::first(seen),
        })
    }

    fn power(&self) -> f64 {
        let explained = self.product * self.product / self.square_of_other;
        if self.product > 0.0 && explained >= Self::EXPLAINED * self.square {
            (self.product / self.square_of_other).min(1.0)
        } else {
            0.0
        }
    }

    fn from(&self, seen: &Seen, other: Option<f64>) -> f64 {
        let here = Seen { other, ..*seen };
        let more = self.power() * here.other_since(seen);
        seen.value + more.clamp(-Self::MOST, Self::MOST)
    }

    fn prefers_last(&self) -> bool {
        self.error_of_last < Self::CLEARLY * self.error_of_mean
    }

    pub(crate) fn prediction(&self) -> f64 {
        self.prediction_with(None)
    }

    pub(crate) fn prediction_with(&self, other: Option<f64>) -> f64 {
        let seen = if self.prefers_last() {
            &self.last
        } else {
            &self.mean
        };
        self.from(seen, other.and_then(logarithm)).exp()
    }

    pub(crate) fn error(&self) -> f64 {
        if self.prefers_last() {
            self.error_of_last
        } else {
            self.error_of_mean
        }
    }
}

fn logarithm(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then(|| value.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(values: impl Iterator<Item = (f64, Option<f64>)>) -> Forecast {
        let learn = |forecast, (value, other)| Forecast::learn(forecast, Some(value), other);
        values.fold(None, learn).unwrap()
    }

    #[test]
    fn the_power_of_the_other_quantity_is_learned() {
        let others = || (0..100).map(|i| (f64::from(i * i).sin() / 2.0).exp());
        let half = forecast(others().map(|other| (3.0 * other.sqrt(), Some(other))));
        let off = half.prediction_with(Some(4.0)) / 6.0 - 1.0;
        assert!(off.abs() < 0.1, "{half:?}");
        let values = (0..100).map(|i| ((f64::from(i % 5) - 2.0) / 2.0).exp());
        let none = forecast(values.zip(others().map(Some)));
        let off = none.prediction_with(Some(2.0)) / none.prediction() - 1.0;
        assert!(off.abs() < 0.2, "{none:?}");
    }

    #[test]
    fn another_quantity_that_is_unknown_or_no_number_changes_nothing() {
        let known = || (0..50).map(|i| (f64::from(i), f64::from(i % 7 + 1)));
        let plain = forecast(known().map(|(_, value)| (value, None)));
        let no_numbers = [f64::NAN, 0.0, -1.0, f64::INFINITY].map(Some);
        for other in no_numbers.into_iter().chain([None]) {
            let same = forecast(known().map(|(_, value)| (value, other)));
            assert_eq!(same, plain);
            assert_eq!(same.prediction_with(other), plain.prediction());
        }
        assert_eq!(Forecast::learn(None, Some(f64::NAN), None), None);
    }
}
