//! Times an evaluation of the probe against the model's own forward pass.

use crate::statistics::quantile;
use crate::table::PassRow;
use crate::workload::Workload;
use anyhow::Result;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn_sharpness::{SharpnessConfig, SharpnessProbe, Step, Update};
use std::time::Instant;

/// Uncounted steps, which allocate, and whose searches are longer.
const WARM_UP: usize = 2;
/// The model's own passes after each step.
const OWN_PASSES: usize = 2;

#[derive(Clone, Copy)]
enum Way {
    StepFirst,
    Virtual,
}

pub fn rows<M: Module + 'static, B>(
    workload: impl Fn() -> Result<Workload<M, B>>,
    device: &str,
) -> Result<Vec<PassRow>> {
    let ways = [
        (Way::StepFirst, "the step shows it"),
        (Way::Virtual, "a virtual step"),
    ];
    let rows = ways.map(|(way, direction)| {
        let workload = workload()?;
        let (name, weights) = (workload.name, workload.model.num_params());
        let (own, evaluations) = time(workload, way)?;
        Ok(PassRow {
            workload: name,
            device: device.to_string(),
            weights,
            direction,
            evaluations: evaluations.len(),
            pass_seconds: quantile(&own, 0.5),
            evaluation_seconds: quantile(&evaluations, 0.5),
        })
    });
    rows.into_iter().collect()
}

/// Returns the seconds of the model's own passes, and of the probe's evaluations.
fn time<M: Module + 'static, B>(
    workload: Workload<M, B>,
    way: Way,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1))?;
    let (mut model, mut optim, loss_of) = (workload.model, workload.optim, workload.loss);
    let (mut own, mut evaluations) = (Vec::new(), Vec::new());
    for (step, batch) in workload.batches.iter().enumerate() {
        let loss = loss_of(&model, batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let training_loss = loss.try_into_scalar::<f64>()?;
        let rates = (workload.rates)(step);
        let is_counted = step >= WARM_UP;
        // An evaluation lasts from the end of the previous evaluation; the time before the first does not count.
        let mut ended: Option<Instant> = None;
        let evaluate = |model: &M| {
            let value = loss_of(model, batch).try_into_scalar::<f64>();
            let before = ended.replace(Instant::now());
            if let Some(before) = before.filter(|_| is_counted) {
                evaluations.push(before.elapsed().as_secs_f64());
            }
            value.unwrap_or(f64::NAN)
        };
        model = match way {
            Way::StepFirst => {
                let made = Step::new(model, &mut optim, rates, grads);
                probe.optimize_step(made.with_training_loss(training_loss), evaluate)
            }
            Way::Virtual => {
                let update = Update::new(&model, &optim, rates.clone(), &grads);
                probe.measure_update(update.with_training_loss(training_loss), evaluate);
                optim.step(rates, model, grads)
            }
        };
        let valid = model.valid();
        for _ in 0..OWN_PASSES {
            let started = Instant::now();
            loss_of(&valid, batch).try_into_scalar::<f64>()?;
            if is_counted {
                own.push(started.elapsed().as_secs_f64());
            }
        }
    }
    Ok((own, evaluations))
}
