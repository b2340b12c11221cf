use crate::base::Base;
use crate::flags::ProbeFlags;
use crate::mix::Mix;
use crate::point::{Point, TASKS, extended, quantile, show_rate};
use crate::sweet_spot::{SweetSpot, crossing};
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

/// What was measured at a fixed checkpoint, mix by mix.
pub struct Sweep {
    /// The mixes, by rising fraction of pre-training text.
    pub points: Vec<Point>,
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
