use crate::base::{Base, Source};
use crate::flags::ProbeFlags;
use crate::mix::Mix;
use crate::point::{Point, TASKS, extended};
use crate::sweet_spot::{SweetSpot, crossing};
use anyhow::{Result, ensure};
use burn::optim::GradientsParams;
use burn_sharpness::{Measurement, MeasurementOutcome, SharpnessConfig, SharpnessProbe};
use gpt::model::Gpt;
use gpt::optimizer::adamw;
use gpt::run::write_result;
use gpt::say;
use gpt::tokens::TokenBatch;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

mod show;

/// It trains nothing, and only starts the first search.
const FIRST_GUESS: f64 = 1e-2;

pub struct Sweep {
    pub points: Vec<Point>,
}

pub const SWEEP_FILE: &str = "sweep.csv";

#[derive(Serialize)]
struct Line<'a> {
    ratio: f64,
    task: &'a str,
    batch: usize,
    outcome: MeasurementOutcome,
    critical_lr: Option<f64>,
    critical_sharpness: Option<f64>,
}

/// Measures both tasks along the updates of each mix, and updates nothing.
pub fn measure(base: &Base, ratios: &[f64], flags: &ProbeFlags) -> Result<Sweep> {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_tolerance(flags.tolerance);
    let loss = |model: &Gpt, batch: TokenBatch| model.loss(batch);
    let [pretrain, target, _] = TASKS;
    let batches = |source: &Source| source.held_out_batches(flags.batches, base);
    let probe = SharpnessProbe::builder(config)
        .with_task(pretrain, batches(&base.pretrain), loss)
        .with_task(target, batches(&base.target), loss)
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
    pub fn sweet_spot(&self) -> Option<SweetSpot> {
        let points = self.points.iter();
        let medians = points.filter_map(|p| Some((p.ratio, p.median(0)?, p.median(1)?)));
        crossing(&medians.collect::<Vec<_>>())
    }

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

    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
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
                    })?;
                }
            }
        }
        write_result(folder, SWEEP_FILE, csv.into_inner()?)?;
        write_result(folder, "sweep.txt", self.to_string())?;
        match self.chart().svg() {
            Ok(svg) => write_result(folder, "sweep.svg", svg),
            Err(error) => {
                // A sweep without a number is a result, too.
                gpt::warn!("warning: {error}");
                Ok(())
            }
        }
    }

    /// Counts the measurements of both tasks, and returns those that are `None` in [`extended`].
    fn counts(&self) -> (usize, Vec<&Measurement>) {
        let tasks = self.points.iter().flat_map(|point| &point.tasks[..2]);
        let all: Vec<&Measurement> = tasks.flatten().map(Arc::as_ref).collect();
        let failed = all.iter().copied().filter(|m| extended(m).is_none());
        (all.len(), failed.collect())
    }

    pub fn verdict(&self) -> Result<()> {
        let (all, failed) = self.counts();
        ensure!(
            failed.len() < all,
            "not one of the {all} measurements of the tasks gave a result: sweep.csv has their outcomes"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_measured_is_counted() {
        use MeasurementOutcome::{BelowResolution, NonFiniteBaseLoss, NotDescent};
        let measured = |outcome: MeasurementOutcome| {
            vec![Arc::new(Measurement::new(0, None, "target", outcome))]
        };
        let sweep = |outcomes: [MeasurementOutcome; 3]| Sweep {
            points: vec![Point {
                ratio: 0.5,
                tasks: outcomes.map(measured),
            }],
        };
        // The mix itself is no task.
        let some = sweep([NotDescent, BelowResolution, NonFiniteBaseLoss]);
        let text = some.to_string();
        let said = "1 of 2 measurements of the tasks say nothing";
        assert!(text.contains(said), "{text}");
        assert!(text.contains(&BelowResolution.to_string()), "{text}");
        some.verdict().unwrap();
        let none = sweep([BelowResolution, NonFiniteBaseLoss, NotDescent]);
        let error = none.verdict().unwrap_err().to_string();
        assert!(error.contains("not one of the 2 measurements"), "{error}");
        let all = sweep([NotDescent, NotDescent, NotDescent]).to_string();
        assert!(!all.contains("say nothing"), "{all}");
    }
}
