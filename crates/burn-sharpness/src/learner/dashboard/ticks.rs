/// The widest gap drawn to scale, in measurements.
const WIDEST: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tick {
    Point(usize, f64),
    Empty,
}

/// Burn counts one tick per point, for all series of a chart together, and its full history keeps the multiples of a
/// growing power of two. The number of ticks between measurements is always odd, so every series falls on such
/// multiples equally often.
pub(super) struct Ticks {
    series: usize,
    interval: u64,
    last_step: Option<u64>,
    pub(super) has_point: bool,
}

impl Ticks {
    pub(super) fn new(series: usize, interval: u64) -> Self {
        Self {
            series,
            interval: interval.max(1),
            last_step: None,
            has_point: false,
        }
    }

    pub(super) fn of(&mut self, step: u64, values: &[Option<f64>]) -> Vec<Tick> {
        let between = match self.last_step {
            // A run that went back draws the repeated steps after the earlier steps.
            Some(last) => (step.saturating_sub(last) / self.interval).clamp(1, WIDEST),
            None => 1,
        };
        self.last_step = Some(step);
        let width = self.series as u64 | 1;
        let gap = ((width * between) | 1) - self.series as u64;
        let gap = std::iter::repeat_n(Tick::Empty, gap as usize);
        let values = values.iter().take(self.series).enumerate();
        let points = values.map(|(series, value)| match value {
            Some(value) if value.is_finite() => Tick::Point(series, *value),
            _ => Tick::Empty,
        });
        let mut ticks: Vec<Tick> = gap.chain(points).collect();
        if !self.has_point {
            // Burn takes the ends of its axes from the first tick, even from an empty tick.
            let first = ticks.iter().position(|tick| *tick != Tick::Empty);
            ticks.drain(..first.unwrap_or(ticks.len()));
            self.has_point = !ticks.is_empty();
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 250;

    /// As in burn's full history: when full, it keeps every second tick and doubles its stride.
    #[derive(Clone)]
    struct History {
        points: Vec<(usize, f64)>,
        stride: usize,
    }

    impl History {
        fn push(&mut self, tick: usize, value: f64) {
            if !tick.is_multiple_of(self.stride) {
                return;
            }
            self.points.push((tick, value));
            if self.points.len() > MOST {
                let kept = self.points.iter().step_by(2).copied().collect();
                self.points = kept;
                self.stride *= 2;
            }
        }
    }

    fn kept(series: usize, interval: u64, steps: impl Iterator<Item = u64>) -> Vec<History> {
        let (points, stride) = (Vec::new(), 1);
        let mut histories = vec![History { points, stride }; series];
        let mut ticks = Ticks::new(series, interval);
        let mut now = 0;
        for step in steps {
            for tick in ticks.of(step, &vec![Some(step as f64); series]) {
                if let Tick::Point(series, value) = tick {
                    histories[series].push(now, value);
                }
                now += 1;
            }
        }
        histories
    }

    #[test]
    fn every_series_keeps_its_share_however_far_the_history_is_thinned() {
        for series in 1..=8 {
            for interval in [1, 2, 5, 8, 10, 100] {
                let steps = (0..1000).map(|index| index * interval);
                for history in kept(series, interval, steps) {
                    let count = history.points.len();
                    assert!((MOST / 2 - 1..=MOST).contains(&count), "{count}");
                    let values = history.points.windows(2);
                    let widest = values.map(|pair| pair[1].1 - pair[0].1).fold(0.0, f64::max);
                    assert!(widest <= (16 * interval) as f64, "{series}: {widest}");
                }
            }
        }
    }

    #[test]
    fn a_schedule_that_changes_is_drawn_to_scale_and_loses_no_series() {
        let steps = || (0..100).map(|i| 2 * i).chain((0..900).map(|i| 200 + 8 * i));
        for series in 2..=5 {
            for history in kept(series, 2, steps()) {
                assert!(history.points.len() > MOST / 3, "{series}");
                let (last, step) = *history.points.last().unwrap();
                let middle = history.points.iter().find(|point| point.1 >= step / 2.0);
                let ratio = middle.unwrap().0 as f64 / last as f64;
                assert!((ratio - 0.5).abs() < 0.03, "{ratio}");
            }
        }
    }

    #[test]
    fn a_missing_value_is_a_tick_without_a_point() {
        let mut ticks = Ticks::new(2, 10);
        assert!(ticks.of(0, &[None, None]).is_empty());
        assert!(!ticks.has_point);
        assert_eq!(ticks.of(10, &[None, Some(3.0)]), [Tick::Point(1, 3.0)]);
        assert!(ticks.has_point);
        let expected = [Tick::Empty, Tick::Point(0, 1.0), Tick::Empty];
        assert_eq!(ticks.of(20, &[Some(1.0), Some(f64::NAN)]), expected);
    }

    #[test]
    fn a_step_that_goes_back_or_leaps_takes_few_ticks() {
        let mut ticks = Ticks::new(3, 1);
        ticks.of(500, &[Some(1.0); 3]);
        assert_eq!(ticks.of(20, &[Some(1.0); 3]).len(), 3);
        assert!(ticks.of(u64::MAX, &[Some(1.0); 3]).len() < 4000);
    }
}
