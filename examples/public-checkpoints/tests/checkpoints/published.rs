//! Compares models with the published implementations on the same files.

use anyhow::{Context, Error, Result, ensure};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Int, Tensor, TensorData};
use burn_sharpness::{Measurement, MeasurementOutcome};
use gpt::optimizer::sgd;
use gpt::tokens::TokenBatch;
use public_checkpoints::config::ModelConfig;
use public_checkpoints::model::Transformer;
use public_checkpoints::probe::{Search, gradient, loss};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Deserialize)]
struct Expected {
    input_ids: Vec<Vec<i64>>,
    loss: f64,
    logits_0_0: Vec<f64>,
    logits_3_23: Vec<f64>,
    gradient: Along,
    adamw_first_step: AdamW,
}

#[derive(Deserialize)]
struct Along {
    slope: f64,
    critical_lr: f64,
}

#[derive(Deserialize)]
struct AdamW {
    betas: [f32; 2],
    eps: f32,
    weight_decay: f32,
    #[serde(flatten)]
    along: Along,
}

/// The folders here, and in each folder of `SHARPNESS_CHECKPOINTS`.
fn folders() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut roots = vec![here];
    if let Some(given) = std::env::var_os("SHARPNESS_CHECKPOINTS") {
        roots.extend(std::env::split_paths(&given).filter(|path| !path.as_os_str().is_empty()));
    }
    let mut folders = Vec::new();
    for root in roots {
        let before = folders.len();
        let holds = |folder: &Path| folder.join("expected.json").exists();
        if holds(&root) {
            folders.push(root.clone());
        }
        let entries = std::fs::read_dir(&root).unwrap_or_else(|error| panic!("{root:?}: {error}"));
        let mut below: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        below.sort();
        folders.extend(below.into_iter().filter(|folder| holds(folder)));
        assert!(folders.len() > before, "{root:?} holds no expected.json");
    }
    folders
}

fn close(what: &str, value: f64, expected: f64, allowed: f64) -> Result<()> {
    ensure!(
        (value - expected).abs() <= allowed,
        "{what} is {value}, expected {expected} to {allowed:.1e}"
    );
    Ok(())
}

fn check_logits(what: &str, logits: &Tensor<3>, at: [usize; 2], expected: &[f64]) -> Result<()> {
    let [row, position] = at;
    let logits = logits.clone();
    let logits = logits.slice([row..row + 1, position..position + 1, 0..expected.len()]);
    for (index, (value, expected)) in logits.into_data().iter::<f64>().zip(expected).enumerate() {
        close(&format!("{what}[{index}]"), value, *expected, 1e-4)?;
    }
    Ok(())
}

fn check_line(what: &str, measured: &Arc<Measurement>, expected: &Along) -> Result<()> {
    let is_bracketed = measured.outcome == MeasurementOutcome::Bracketed;
    ensure!(is_bracketed, "{what}: {measured:?}");
    for (name, value, expected) in [
        ("slope", measured.slope, expected.slope),
        ("η_c", measured.critical_lr, expected.critical_lr),
    ] {
        let value = value.with_context(|| format!("{what}: no {name}"))?;
        close(&format!("{what}: {name}"), value, expected, 0.01 * expected)?;
    }
    Ok(())
}

fn check(folder: &Path) -> Result<()> {
    let json = std::fs::read_to_string(folder.join("expected.json"))?;
    let expected: Expected = serde_json::from_str(&json)?;
    let device = gpt::device::of_environment().unwrap().autodiff();
    let model = Transformer::open(folder, &ModelConfig::open(folder)?, &device)?;

    let rows = expected.input_ids.len();
    let time = expected.input_ids[0].len() - 1;
    let tokens = |offset: usize| -> Tensor<2, Int> {
        let rows_of = expected.input_ids.iter();
        let tokens = rows_of.flat_map(|row| row[offset..offset + time].to_vec());
        Tensor::from_data(TensorData::new(tokens.collect(), [rows, time]), &device)
    };
    let (inputs, targets) = (tokens(0), tokens(1));
    let logits = model.valid().forward(inputs.clone());
    check_logits("logits_0_0", &logits, [0, 0], &expected.logits_0_0)?;
    check_logits("logits_3_23", &logits, [3, 23], &expected.logits_3_23)?;

    let part = |range: std::ops::Range<usize>| TokenBatch {
        inputs: inputs.clone().slice([range.clone()]),
        targets: targets.clone().slice([range]),
    };
    let batch = vec![part(0..1), part(1..rows)];
    let value = loss(&model.valid(), &batch).map_err(Error::msg)?.value();
    close("loss", value, expected.loss, 1e-5)?;

    let search = Search {
        tolerance: 1.0 / 1024.0,
        verification: 8,
        interval: false,
    };
    let along = |optim: &ModuleOptimizer| search.measure(&model, optim, &batch, &[], 0.01);
    check_line("gradient", &along(&sgd(0.0))?[0], &expected.gradient)?;
    let published = &expected.adamw_first_step;
    let adamw = burn::optim::AdamWConfig::new()
        .with_beta_1(published.betas[0])
        .with_beta_2(published.betas[1])
        .with_epsilon(published.eps)
        .with_weight_decay(published.weight_decay)
        .init();
    check_line("AdamW", &along(&adamw)?[0], &published.along)?;

    let [in_parts, at_once] =
        [batch, vec![part(0..rows)]].map(|batch| burn_norm(&model, &gradient(&model, &batch)));
    close("the gradient in parts", in_parts, at_once, 1e-5 * at_once)
}

fn burn_norm(model: &Transformer, grads: &GradientsParams) -> f64 {
    struct Sum<'a>(&'a GradientsParams, f64);
    impl burn::module::ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                self.1 += grad.square().sum().into_scalar::<f64>();
            }
        }
    }
    let mut sum = Sum(grads, 0.0);
    model.visit(&mut sum);
    sum.1.sqrt()
}

#[test]
fn each_folder_gives_what_the_published_implementation_says() {
    let folders = folders();
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|folder| {
            let failure = check(folder).err()?;
            Some(format!("{}: {failure:#}", folder.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
