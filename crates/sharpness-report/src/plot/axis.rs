use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use sharpness_record::Scale;
use std::ops::Range;

/// An axis of a chart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Axis {
    /// The label, with the unit.
    pub label: String,
    /// Its scale.
    pub scale: Scale,
    /// The ends, if not from the data.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// Creates a linear axis.
    pub fn linear(label: &str) -> Self {
        Self {
            label: label.to_string(),
            scale: Scale::Linear,
            range: None,
        }
    }

    /// Creates a logarithmic axis.
    pub fn log(label: &str) -> Self {
        Self {
            scale: Scale::Log,
            ..Self::linear(label)
        }
    }

    /// Sets the range.
    #[must_use]
    pub fn with_range(mut self, from: f64, to: f64) -> Self {
        self.range = Some((from, to));
        self
    }

    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
        };
        place.is_finite().then_some(place)
    }

    /// Returns the ends as drawn, with a margin if they come from the data.
    pub(crate) fn ends(&self, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
        if let Some((from, to)) = self.range {
            return Some((self.place(from)?, self.place(to)?));
        }
        let places = values.filter_map(|value| self.place(value));
        let (low, high) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
            (low.min(place), high.max(place))
        });
        if low > high {
            return None;
        }
        let margin = match self.scale {
            _ if low == high => 0.5 * low.abs().max(1.0),
            Scale::Linear => 0.02 * (high - low),
            Scale::Log => (0.04 * (high - low)).max(0.05),
        };
        Some((low - margin, high + margin))
    }

    pub(crate) fn ticked(&self, ends: (f64, f64)) -> Ticked {
        let (low, high) = ends;
        let ticks = match self.scale {
            Scale::Linear => linear_ticks(low, high),
            Scale::Log => log_ticks(low, high),
        };
        Ticked { ends, ticks }
    }

    pub(crate) fn tick_label(&self, place: f64) -> String {
        match self.scale {
            Scale::Linear => format_number(if place.abs() < 1e-12 { 0.0 } else { place }),
            Scale::Log => format_number(10f64.powf(place)),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Ticked {
    pub(crate) ends: (f64, f64),
    pub(crate) ticks: Vec<f64>,
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (low, high) = self.ends;
        let share = (value - low) / (high - low);
        // A line may leave the picture, but not the range of a pixel's coordinates.
        from + (share.clamp(-10.0, 10.0) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = high / 6.0 - low / 6.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * magnitude)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    if !(0.0..=10.0).contains(&(last - first)) {
        return Vec::new();
    }
    let counts = 0..=(last - first) as u32;
    let ticks = counts.map(|count| (first + f64::from(count)) * step);
    ticks.collect()
}

fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = low.floor() as i32..=high.ceil() as i32;
    let stride = ((high - low) / 8.0).ceil().max(1.0) as usize;
    let factors: &[f64] = match high - low {
        span if span > 4.0 => &[1.0],
        span if span > 1.2 => &[1.0, 2.0, 5.0],
        _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
    };
    let ticks = decades.step_by(stride).flat_map(|decade| {
        let in_decade = move |factor: &f64| f64::from(decade) + factor.log10();
        factors.iter().map(in_decade)
    });
    ticks.filter(|tick| (low..=high).contains(tick)).collect()
}

/// Formats a number in few characters: `0.0125`, `1500`, `2e-5`.
pub(crate) fn format_number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        "0".to_string()
    } else if (1e-3..1e5).contains(&magnitude) {
        let decimals = (3 - magnitude.log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{value:.decimals$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
            false => text,
        }
    } else {
        let text = format!("{value:.1e}");
        text.replace(".0e", "e")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            linear_ticks(0.0, 1.0),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(linear_ticks(-3.0, 812.0).len(), 5);
        for (low, high) in [
            (0.0, 5e-324),
            (-1.7e308, 1.7e308),
            (1e19, 1e19),
            (f64::NAN, 1.0),
        ] {
            assert!(linear_ticks(low, high).len() < 10, "{low} to {high}");
        }
        let axis = Axis::log("λ");
        let ends = axis.ends([3.0, 2000.0, 0.0].into_iter()).unwrap();
        let ticks = axis.ticked(ends).ticks.into_iter();
        let labels: Vec<String> = ticks.map(|tick| axis.tick_label(tick)).collect();
        assert_eq!(labels.join(" "), "5 10 20 50 100 200 500 1000 2000");
    }

    #[test]
    fn numbers_are_short() {
        let text: Vec<String> = [0.0125, 1500.0, 2e-5, 0.1 + 0.2, 1.25e7, -0.5]
            .map(format_number)
            .to_vec();
        assert_eq!(text, ["0.0125", "1500", "2e-5", "0.3", "1.2e7", "-0.5"]);
    }
}
