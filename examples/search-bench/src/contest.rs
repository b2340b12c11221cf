use crate::statistics::{mean, quantile};
use crate::table::SearchRow;
use crate::workload::{Step, Workload, train};
use anyhow::Result;
use burn::module::Module;
use burn_sharpness::{
    BaseLossSource, Measurement, Method, SharpnessConfig, SharpnessProbe, Update,
};
use critical_search::SearchConfig;
use std::sync::Arc;

/// The measurements that do not count.
const WARM_UP: usize = 5;
/// For the true η_c.
const TRUE_TOLERANCE: f64 = 1.0 / 2048.0;
const TRUE_ACCURACY: f64 = 1e-5;
const PUBLISHED_TOLERANCE: f64 = 1.0 / 16.0;

struct Contender {
    method: &'static str,
    tolerance: f64,
    probe: SharpnessProbe,
    takes_training_loss: bool,
    found: Vec<Arc<Measurement>>,
}

impl Contender {
    fn new(method: &'static str, tolerance: f64, config: SharpnessConfig) -> Result<Self> {
        let config = config.with_tolerance(tolerance);
        Ok(Self {
            method,
            tolerance,
            probe: SharpnessProbe::new(config)?,
            takes_training_loss: true,
            found: Vec::new(),
        })
    }

    fn measure<M: Module + 'static, B>(&mut self, step: &Step<'_, M, B>) {
        let mut update = Update::new(step.model, step.optim, step.learning_rate, step.grads);
        if self.takes_training_loss {
            update = update.with_training_loss(step.training_loss);
        }
        let loss = |model: &M| (step.loss)(model, step.batch);
        self.found.extend(self.probe.measure_update(update, loss));
    }
}

pub fn contest<M: Module + 'static, B>(workload: Workload<M, B>) -> Result<Vec<SearchRow>> {
    let (name, every) = (workload.name, workload.every);
    let config = || SharpnessConfig::new().with_every(every);
    let published = config().with_method(Method::Published);
    let mut guided = Contender::new("guided", SearchConfig::default().tolerance, config())?;
    let mut published = Contender {
        takes_training_loss: false,
        ..Contender::new("published", PUBLISHED_TOLERANCE, published)?
    };
    let truth = config().with_accuracy(TRUE_ACCURACY);
    let mut truth = Contender::new("truth", TRUE_TOLERANCE, truth)?;
    // The guided search measures as in its own training, which makes the step.
    let trained = train(workload, Some(&guided.probe), |step| {
        for contender in [&mut published, &mut truth] {
            contender.measure(&step);
        }
    })?;
    guided.found = trained.measurements;
    let step_seconds = mean(&trained.step_seconds);
    let row = |contender: &Contender, rival: &Contender| {
        row(name, contender, rival, &truth.found, step_seconds)
    };
    Ok(vec![row(&guided, &published), row(&published, &guided)])
}

fn row(
    workload: &'static str,
    contender: &Contender,
    rival: &Contender,
    truth: &[Arc<Measurement>],
    step_seconds: f64,
) -> SearchRow {
    let found = &contender.found;
    let warm = &found[WARM_UP.min(found.len())..];
    let pairs = found.iter().zip(&rival.found).skip(WARM_UP);
    let overlaps: Vec<bool> = pairs.filter_map(|(a, b)| overlap(a, b)).collect();
    let errors = found.iter().zip(truth).skip(WARM_UP);
    let errors = errors
        .filter_map(|(found, truth)| Some((found.critical_lr? / truth.critical_lr? - 1.0).abs()));
    let errors: Vec<f64> = errors.collect();
    let squares: Vec<f64> = errors.iter().map(|error| error * error).collect();
    let evaluations: Vec<f64> = warm.iter().map(|m| m.evaluations as f64).collect();
    let is_evaluated = |m: &Arc<Measurement>| m.base_loss_source == Some(BaseLossSource::Evaluated);
    let base: Vec<f64> = warm.iter().map(|m| f64::from(is_evaluated(m))).collect();
    let seconds: Vec<f64> = warm.iter().map(|m| m.seconds).collect();
    let agreeing = overlaps.iter().filter(|overlap| **overlap).count();
    SearchRow {
        workload,
        tolerance: contender.tolerance,
        method: contender.method,
        steps: warm.len(),
        first_evaluations: found.first().map_or(0, |first| first.evaluations),
        mean_evaluations: mean(&evaluations),
        median_evaluations: quantile(&evaluations, 0.5),
        p95_evaluations: quantile(&evaluations, 0.95),
        mean_base_evaluations: mean(&base),
        rms_error: mean(&squares).sqrt(),
        p95_error: quantile(&errors, 0.95),
        max_error: errors.into_iter().fold(f64::NAN, f64::max),
        overlap: agreeing as f64 / overlaps.len() as f64,
        failures: warm.iter().filter(|m| m.critical_lr.is_none()).count(),
        step_seconds,
        measurement_seconds: mean(&seconds),
    }
}

/// Whether two brackets share a learning rate, if both were found.
fn overlap(a: &Measurement, b: &Measurement) -> Option<bool> {
    a.critical_lr.and(b.critical_lr)?;
    Some(a.lower? <= b.upper? && b.lower? <= a.upper?)
}
