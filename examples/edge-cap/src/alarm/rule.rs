use super::Seen;

const WINDOW: usize = 20;
/// Numbers of consecutive steps above a threshold that raise an alarm.
pub const ROWS: [usize; 5] = [1, 2, 3, 5, 10];
const THRESHOLDS: usize = 60;

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The distance of a signal from its usual value at a step.
pub type Signal = fn(&[Seen], usize) -> Option<f64>;

fn over_median(steps: &[Seen], step: usize, of: fn(&Seen) -> Option<f64>) -> Option<f64> {
    let before = steps[step.saturating_sub(WINDOW)..step].iter();
    Some((of(&steps[step])? / median(before.filter_map(of))?).abs())
}

pub const SIGNALS: [(&str, Signal); 4] = [
    ("η/η_c", |steps, step| steps[step].edge_ratio),
    ("slope over its median of 20 steps", |steps, step| {
        over_median(steps, step, |seen| seen.slope)
    }),
    ("‖g‖ over its median of 20 steps", |steps, step| {
        over_median(steps, step, |seen| seen.gradient_norm)
    }),
    ("loss, in standard deviations of 20 steps", |steps, step| {
        let before = steps[step.saturating_sub(WINDOW)..step].iter();
        let before: Vec<f64> = before.filter_map(|seen| seen.loss).collect();
        let count = before.len() as f64;
        let mean = before.iter().sum::<f64>() / count;
        let square = before.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count;
        Some((steps[step].loss? - mean) / square.sqrt()).filter(|z| z.is_finite())
    }),
];

/// A run and its break.
pub struct Judged<'a> {
    pub steps: &'a [Seen],
    pub broken: Option<usize>,
}

impl Judged<'_> {
    /// Returns the first alarm before the run breaks: the last of `row` steps above the threshold.
    fn alarm(&self, signal: Signal, threshold: f64, row: usize) -> Option<usize> {
        let mut count = 0;
        (WINDOW..self.broken.unwrap_or(self.steps.len())).find(|step| {
            // A step without a number neither extends the row nor ends it.
            match signal(self.steps, *step) {
                Some(value) if value > threshold => count += 1,
                Some(_) => count = 0,
                None => {}
            }
            count == row
        })
    }
}

#[derive(Default)]
pub struct Score {
    leads: Vec<usize>,
    broken: usize,
    false_alarms: usize,
    intact: usize,
}

impl Score {
    pub fn of(runs: &[Judged<'_>], signal: Signal, threshold: f64, row: usize) -> Self {
        let mut score = Self::default();
        for run in runs {
            let alarm = run.alarm(signal, threshold, row);
            match run.broken {
                Some(broken) => {
                    score.broken += 1;
                    score.leads.extend(alarm.map(|alarm| broken - alarm));
                }
                None => {
                    score.intact += 1;
                    score.false_alarms += usize::from(alarm.is_some());
                }
            }
        }
        score.leads.sort_unstable();
        score
    }

    /// The share of true alarms minus the share of false alarms.
    fn value(&self) -> f64 {
        self.leads.len() as f64 / self.broken.max(1) as f64
            - self.false_alarms as f64 / self.intact.max(1) as f64
    }

    pub fn row(&self, name: &str, threshold: f64, row: usize) -> String {
        let lead = |part: usize| match self.leads.len() {
            0 => "none".to_string(),
            count => self.leads[(count - 1) * part / 4].to_string(),
        };
        format!(
            "| {name} | {threshold:.3} | {row} | {} of {} | {} ({} to {}) | {} of {} |",
            self.leads.len(),
            self.broken,
            lead(2),
            lead(1),
            lead(3),
            self.false_alarms,
            self.intact,
        )
    }
}

/// Returns the threshold and the row length of the highest value.
pub fn chosen(runs: &[Judged<'_>], signal: Signal) -> (f64, usize) {
    let values = runs
        .iter()
        .flat_map(|run| (WINDOW..run.steps.len()).filter_map(|step| signal(run.steps, step)));
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let mut best = (f64::NEG_INFINITY, f64::INFINITY, 1);
    for part in 0..THRESHOLDS {
        // Most of the useful thresholds lie among the largest values.
        let rank = 1.0 - 0.5_f64.powf(part as f64 / 6.0);
        let Some(threshold) = values.get((rank * values.len() as f64) as usize) else {
            continue;
        };
        for row in ROWS {
            let value = Score::of(runs, signal, *threshold, row).value();
            if value > best.0 {
                best = (value, *threshold, row);
            }
        }
    }
    (best.1, best.2)
}
