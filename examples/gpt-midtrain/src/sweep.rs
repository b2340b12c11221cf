use crate::ProbeFlags;
use crate::base::Base;
use crate::mix::Mix;
use anyhow::{Context, Result};
use burn::optim::GradientsParams;
use burn_sharpness::{Measurement, MeasurementOutcome, SharpnessConfig, SharpnessProbe};
use gpt::model::Gpt;
use gpt::optimizer::adamw;
use gpt::run::write_result;
use gpt::say;
use gpt::tokens::TokenBatch;
use serde::Serialize;
use sharpness_report::plot::{Axis, Chart, Series, Style};
use std::fmt::{Display, Formatter};
use std::path::Path;
use std::sync::Arc;

/// The learning rate at which no one trains: it only starts the first search.
const FIRST_GUESS: f64 = 1e-2;

/// The tasks, and the training batch itself as `mix`.
pub const TASKS: [&str; 3] = ["pretrain", "target", "mix"];

/// What was measured at a fixed checkpoint, mix by mix.
pub struct Sweep {
    /// The mixes, by rising fraction of pre-training text.
    pub points: Vec<Point>,
}

/// What was measured along the updates of one mix.
pub struct Point {
    /// The fraction of pre-training text.
    pub ratio: f64,
    /// The measurements of each of [`TASKS`], one a batch.
    tasks: [Vec<Arc<Measurement>>; 3],
}

/// The measurements, one a line.
pub const SWEEP_FILE: &str = "sweep.csv";

/// A line of [`SWEEP_FILE`].
#[derive(Serialize)]
struct Line<'a> {
    ratio: f64,
    task: &'a str,
    batch: usize,
    outcome: MeasurementOutcome,
    critical_lr: Option<f64>,
    critical_sharpness: Option<f64>,
}

/// The mix at which the pre-training and the target text allow the same learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweetSpot {
    /// The fraction of pre-training text.
    pub ratio: f64,
    /// The largest learning rate that neither task forbids there.
    pub learning_rate: f64,
}

/// Measures both tasks along the updates that training on each mix would make. Updates nothing.
///
/// # Errors
///
/// If the flags make no sense.
pub fn measure(base: &Base, ratios: &[f64], flags: &ProbeFlags) -> Result<Sweep> {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_tolerance(flags.tolerance);
    let loss = |model: &Gpt, batch: TokenBatch| model.loss(batch);
    let [pretrain, target, _] = TASKS;
    let probe = SharpnessProbe::builder(config)
        .with_task(
            pretrain,
            base.pretrain.held_out_batches(flags.batches, base),
            loss,
        )
        .with_task(
            target,
            base.target.held_out_batches(flags.batches, base),
            loss,
        )
        .build()?;

    let mut points = Vec::new();
    for &ratio in ratios {
        let mut mix = Mix::new(base, ratio);
        let mut optim = adamw(0.0);
        let gradients = |batch: &TokenBatch| {
            GradientsParams::from_grads(base.model.loss(batch.clone()).backward(), &base.model)
        };
        // At the learning rate 0 the optimizer learns the mix's moments, and the weights stay.
        for _ in 0..flags.settle {
            let grads = gradients(&mix.next_batch());
            optim.step(0.0, base.model.clone(), grads);
        }
        let mut tasks: [Vec<Arc<Measurement>>; 3] = Default::default();
        for _ in 0..flags.batches {
            let batch = mix.next_batch();
            let grads = gradients(&batch);
            let of_mix = probe.measure(&base.model, &optim, FIRST_GUESS, &grads, |model| {
                model.loss(batch.clone())
            });
            let of_tasks = [probe.latest(pretrain), probe.latest(target), of_mix];
            for (task, measurement) in tasks.iter_mut().zip(of_tasks) {
                task.extend(measurement);
            }
            optim.step(0.0, base.model.clone(), grads);
        }
        let point = Point { ratio, tasks };
        say!("{}", point.line());
        points.push(point);
    }
    Ok(Sweep { points })
}

/// The critical sharpness of a measurement, where "hurt at once" is infinite sharpness and "gains
/// without limit" is none; absent where nothing is known.
fn extended(measurement: &Measurement) -> Option<f64> {
    match measurement.outcome {
        MeasurementOutcome::NotDescent => Some(f64::INFINITY),
        MeasurementOutcome::NoIncrease => Some(0.0),
        _ => measurement.critical_sharpness,
    }
}

/// A quantile of values that may be infinite, by the nearest rank, so that none is invented.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((share * last as f64).round() as usize).copied()
}

impl Point {
    fn sharpness(&self, task: usize) -> Vec<f64> {
        let measurements = self.tasks[task].iter();
        measurements.filter_map(|m| extended(m)).collect()
    }

    /// The median over the batches.
    pub fn median(&self, task: usize) -> Option<f64> {
        quantile(&self.sharpness(task), 0.5)
    }

    /// The largest learning rate that this task allows, infinite if any is allowed.
    pub fn largest_rate(&self, task: usize) -> Option<f64> {
        self.median(task).map(|sharpness| 2.0 / sharpness)
    }

    /// The largest learning rate that neither task forbids, and the task that forbids more.
    fn limit(&self) -> Option<(f64, &'static str)> {
        let rates = (0..2).filter_map(|task| Some((self.largest_rate(task)?, TASKS[task])));
        rates.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn line(&self) -> String {
        let cell = |task: usize| {
            let values = self.sharpness(task);
            let show = |share| quantile(&values, share).map_or("–".to_string(), show_sharpness);
            format!("{:>10} ({} … {})", show(0.5), show(0.25), show(0.75))
        };
        let limit = self.limit().map_or("–".to_string(), |(rate, task)| {
            format!("{} ({task})", show_rate(rate))
        });
        format!(
            "{:>5.2}  {:<32}  {:<32}  {limit}",
            self.ratio,
            cell(0),
            cell(1)
        )
    }
}

fn show_sharpness(value: f64) -> String {
    if value.is_infinite() {
        "hurt".to_string()
    } else if value == 0.0 {
        "gains".to_string()
    } else {
        format!("{value:.1}")
    }
}

fn show_rate(value: f64) -> String {
    match value {
        0.0 => "none".to_string(),
        value if value.is_infinite() => "any".to_string(),
        value => format!("{value:.2e}"),
    }
}

/// Where the curves of two values over the ratio cross: the first is above the second before, and
/// below it after.
fn crossing(points: &[(f64, f64, f64)]) -> Option<SweetSpot> {
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
    // Where a task is hurt at once on one side, all that is known is the interval; what both allow
    // is known at its ends.
    let allowed = |a: f64, b: f64| 2.0 / a.max(b);
    Some(SweetSpot {
        ratio: 0.5 * (left + right),
        learning_rate: allowed(a, b).max(allowed(c, d)),
    })
}

impl Sweep {
    /// Where the medians cross.
    pub fn sweet_spot(&self) -> Option<SweetSpot> {
        let points = self.points.iter();
        let medians = points.filter_map(|p| Some((p.ratio, p.median(0)?, p.median(1)?)));
        crossing(&medians.collect::<Vec<_>>())
    }

    /// The ratios at which the curves of the single batches cross.
    fn crossings_of_batches(&self) -> Vec<f64> {
        let batches = self.points.first().map_or(0, |point| point.tasks[0].len());
        let of_batch = |batch: usize| {
            let points = self.points.iter().filter_map(|point| {
                let value = |task: usize| extended(point.tasks[task].get(batch)?);
                Some((point.ratio, value(0)?, value(1)?))
            });
            crossing(&points.collect::<Vec<_>>()).map(|spot| spot.ratio)
        };
        (0..batches).filter_map(of_batch).collect()
    }

    /// Writes `sweep.csv`, `sweep.svg` and `sweep.txt`.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(SWEEP_FILE);
        let unwritable = || format!("{} cannot be written", path.display());
        let mut csv = csv::Writer::from_path(&path).with_context(unwritable)?;
        for point in &self.points {
            for (task, measurements) in TASKS.iter().zip(&point.tasks) {
                for (batch, measurement) in measurements.iter().enumerate() {
                    csv.serialize(Line {
                        ratio: point.ratio,
                        task,
                        batch,
                        outcome: measurement.outcome.clone(),
                        critical_lr: measurement.critical_lr,
                        critical_sharpness: measurement.critical_sharpness,
                    })
                    .with_context(unwritable)?;
                }
            }
        }
        csv.flush().with_context(unwritable)?;
        write_result(folder, "sweep.txt", &self.to_string())?;
        match self.chart().svg() {
            Ok(svg) => write_result(folder, "sweep.svg", &svg),
            Err(error) => {
                // No number anywhere is a result too: the table and the CSV say which outcomes.
                eprintln!("warning: {error}");
                Ok(())
            }
        }
    }

    fn chart(&self) -> Chart {
        let names = ["pre-training loss", "target loss"];
        let mut chart = Chart::new(
            "Relative critical sharpness along the updates of a mix",
            Axis::linear("fraction r of pre-training text in the mix").with_range(-0.02, 1.02),
            Axis::log("critical sharpness λc (median, middle half)"),
        );
        let finite = |value: f64| value.is_finite() && value > 0.0;
        for (task, name) in names.into_iter().enumerate() {
            let mut series = Series {
                name: name.to_string(),
                ..Series::default()
            };
            for point in &self.points {
                let values = point.sharpness(task);
                let at = |share| quantile(&values, share).unwrap_or(f64::NAN);
                series.points.push((point.ratio, at(0.5)));
                if finite(at(0.25)) {
                    series.band.push((point.ratio, at(0.25), at(0.75)));
                }
            }
            chart = chart.with_series(series);
        }
        let drawn = chart.series.iter().flat_map(|series| &series.points);
        let highest = drawn.map(|point| point.1).filter(|y| y.is_finite());
        let highest = highest.fold(0.0, f64::max);
        for (task, name) in names.into_iter().enumerate() {
            let hurt = self
                .points
                .iter()
                .filter(|p| p.median(task) == Some(f64::INFINITY));
            let hurt: Vec<(f64, f64)> = hurt.map(|p| (p.ratio, 1.5 * highest)).collect();
            if !hurt.is_empty() {
                chart = chart.with_series(Series {
                    name: format!("{name} rises at once"),
                    points: hurt,
                    style: Style::Points,
                    belongs_to: Some(task),
                    ..Series::default()
                });
            }
        }
        match self.sweet_spot() {
            Some(spot) => chart.with_mark(
                spot.ratio,
                &format!(
                    "sweet spot: r = {:.2}, η up to {:.1e}",
                    spot.ratio, spot.learning_rate
                ),
            ),
            None => chart,
        }
    }
}

impl Display for Sweep {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{:>5}  {:<32}  {:<32}  largest learning rate",
            "ratio", "λc of the pre-training loss", "λc of the target loss"
        )?;
        for point in &self.points {
            writeln!(f, "{}", point.line())?;
        }
        writeln!(
            f,
            "(median over the batches, with the quartiles; `hurt`: the update raises the loss at once)"
        )?;
        match self.sweet_spot() {
            Some(spot) => {
                write!(
                    f,
                    "sweet spot: r = {:.2}, where neither task forbids a learning rate up to {}",
                    spot.ratio,
                    show_rate(spot.learning_rate)
                )?;
                let crossings = self.crossings_of_batches();
                let spread = [0.25, 0.75].map(|share| quantile(&crossings, share));
                if let [Some(low), Some(high)] = spread {
                    write!(f, " (single batches: r = {low:.2} … {high:.2})")?;
                }
                writeln!(f)
            }
            None => {
                let best = self
                    .points
                    .iter()
                    .filter_map(|p| Some((p.limit()?, p.ratio)));
                let best = best.max_by(|a, b| a.0.0.total_cmp(&b.0.0));
                match best {
                    Some(((rate, _), ratio)) => writeln!(
                        f,
                        "sweet spot: the curves do not cross; the largest learning rate that neither task forbids is {}, at r = {ratio:.2}",
                        show_rate(rate)
                    ),
                    None => writeln!(f, "sweet spot: none, since neither task was measured"),
                }
            }
        }
    }
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

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = [3.0, 1.0, f64::INFINITY, 2.0];
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(f64::INFINITY));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
