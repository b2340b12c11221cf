//! Writes a training that `scripts/published.py` repeats.

use crate::statistics::mean;
use crate::workload::{GptPretraining, Workload, train};
use anyhow::Result;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Int, Tensor};
use burn_sharpness::{Measurement, SharpnessConfig, SharpnessProbe};
use gpt::export::export_model;
use gpt::model::Gpt;
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

/// Holds the first weights and batches: burn draws a weight when it is first read, so the order of reading matters.
struct Told<'a> {
    workload: &'a GptPretraining,
    model: Gpt,
    batches: Vec<TokenBatch>,
}

impl Workload for Told<'_> {
    type Model = Gpt;
    type Batch = TokenBatch;

    fn name(&self) -> &'static str {
        self.workload.name()
    }

    fn every(&self) -> u64 {
        self.workload.every()
    }

    fn init(&self) -> (Gpt, ModuleOptimizer) {
        (self.model.clone(), self.workload.init().1)
    }

    fn batches(&self) -> Result<Vec<TokenBatch>> {
        Ok(self.batches.clone())
    }

    fn learning_rate(&self, step: usize) -> f64 {
        self.workload.learning_rate(step)
    }

    fn loss(&self, model: &Gpt, batch: &TokenBatch) -> Tensor<1> {
        self.workload.loss(model, batch)
    }
}

pub fn write(workload: &GptPretraining, device: &str, folder: &Path) -> Result<()> {
    let workload = &Told {
        model: workload.init().0.materialize(),
        batches: workload.batches()?,
        workload,
    };
    export_model(&workload.model, &workload.workload.shape, folder)?;
    let windows = workload.batches.iter().map(|batch| {
        let (inputs, targets) = (rows(&batch.inputs), rows(&batch.targets));
        let windows = inputs.into_iter().zip(targets);
        let windows = windows.map(|(mut row, targets)| {
            row.extend(targets.last());
            row
        });
        windows.collect()
    });

    let config = SharpnessConfig::new().with_every(workload.every());
    let probe = SharpnessProbe::new(config)?;
    let trained = train(workload, Some(&probe), |_| {})?;
    let reference = Reference {
        device,
        step_seconds: mean(&trained.step_seconds),
        learning_rates: (0..workload.batches.len())
            .map(|step| workload.learning_rate(step))
            .collect(),
        batches: windows.collect(),
        measurements: trained
            .measurements
            .iter()
            .map(|measured| Measurement::clone(measured))
            .collect(),
    };
    write_result(folder, FILE, serde_json::to_string(&reference)?)
}

fn rows(tokens: &Tensor<2, Int>) -> Vec<Vec<i64>> {
    let [_, time] = tokens.dims();
    let values: Vec<i64> = tokens.to_data().iter().collect();
    values.chunks(time).map(<[i64]>::to_vec).collect()
}
