//! Writes a training that `scripts/published.py` repeats.

use crate::statistics::mean;
use crate::workload::{Workload, seeded, train};
use anyhow::Result;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use burn_sharpness::{Measurement, SharpnessConfig, SharpnessProbe};
use gpt::export::export_model;
use gpt::model::{Gpt, GptConfig};
use gpt::run::write_result;
use gpt::tokens::TokenBatch;
use serde::Serialize;
use std::path::Path;

const FILE: &str = "reference.json";

#[derive(Serialize)]
struct Reference<'a> {
    device: &'a str,
    step_seconds: f64,
    learning_rates: Vec<f64>,
    /// The tokens of each step's windows: inputs are all but the last, targets all but the first.
    batches: Vec<Vec<Vec<i64>>>,
    measurements: Vec<Measurement>,
}

/// Makes the first weights before the batches: burn draws a weight when it is first read, so the order of reading
/// matters.
pub fn write(
    shape: &GptConfig,
    workload: impl FnOnce() -> Result<Workload<Gpt, TokenBatch>>,
    on: &Device,
    device: &str,
    folder: &Path,
) -> Result<()> {
    let model = shape.init(&seeded(on)).materialize();
    export_model(&model, shape, folder)?;
    let workload = Workload {
        model,
        ..workload()?
    };
    let windows = workload.batches.iter().map(|batch| {
        let (inputs, targets) = (rows(&batch.inputs), rows(&batch.targets));
        let windows = inputs.into_iter().zip(targets);
        let windows = windows.map(|(mut row, targets)| {
            row.extend(targets.last());
            row
        });
        windows.collect()
    });
    let batches = windows.collect();
    let steps = 0..workload.batches.len();
    let learning_rates = steps.map(|step| (workload.rates)(step).base()).collect();

    let config = SharpnessConfig::new().with_every(workload.every);
    let probe = SharpnessProbe::new(config)?;
    let trained = train(workload, Some(&probe), |_| {})?;
    let reference = Reference {
        device,
        step_seconds: mean(&trained.step_seconds),
        learning_rates,
        batches,
        measurements: trained.measurements.iter().map(|m| (**m).clone()).collect(),
    };
    write_result(folder, FILE, serde_json::to_string(&reference)?)
}

fn rows(tokens: &Tensor<2, Int>) -> Vec<Vec<i64>> {
    let [_, time] = tokens.dims();
    let values: Vec<i64> = tokens.to_data().iter().collect();
    values.chunks(time).map(<[i64]>::to_vec).collect()
}
