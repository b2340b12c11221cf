//! Trains the small GPT by AdamW with warmup-stable-decay, at several peak learning rates.

use crate::flags::Flags;
use crate::record::{Cost, Failures, Record, SUMMARY_FILE, cost_table, mean, series};
use anyhow::{Error, Result, ensure};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_sharpness::hessian::{AdamPreconditioner, CurvatureConfig, adam_threshold};
use burn_sharpness::{Measurement, SharpnessConfig, SharpnessProbe, Update};
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::{BETA_1, BETA_2, EPSILON, adamw};
use gpt::run::write_result;
use gpt::say;
use gpt::schedule::WarmupStableDecay;
use gpt::text::{Domain, Text};
use gpt::tokenizer::Tokenizer;
use gpt::tokens::Windows;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use sharpness_report::plot::{Axis, Chart, Series, Style};
use sharpness_report::shown::decimals;
use std::path::Path;
use std::time::Instant;

const VOCAB: usize = 1024;
const BATCH: usize = 8;
const ADAM: AdamPreconditioner = AdamPreconditioner {
    beta_1: BETA_1 as f64,
    beta_2: BETA_2 as f64,
    epsilon: EPSILON as f64,
};

/// The results of the runs: `summary.json`.
#[derive(Serialize)]
struct Summary {
    steps: u64,
    runs: Vec<Run>,
}

/// One run. A field that was not measured is `null`.
#[derive(Serialize)]
struct Run {
    peak_learning_rate: f64,
    /// Means over the three phases of the schedule.
    warmup: Phase,
    stable: Phase,
    decay: Phase,
    last_loss: Option<f64>,
    failures: Failures,
    costs: Vec<Cost>,
}

#[derive(Serialize)]
struct Phase {
    critical_sharpness: Option<f64>,
    /// ηλ_c/2, which is 1 at the edge.
    edge_ratio: Option<f64>,
    directional_sharpness: Option<f64>,
    /// The preconditioned sharpness over its threshold.
    preconditioned_over_threshold: Option<f64>,
}

/// Trains at each peak rate, measures, and writes summary and plots.
///
/// # Errors
///
/// Returns an error if the text cannot be read, if the results cannot be written, or if a training failed.
pub fn run(flags: &Flags, out: &Path) -> Result<()> {
    let steps = flags.steps.unwrap_or(400);
    let device = gpt::device::open(&flags.device)?.autodiff();
    let text = Text::of_packages(Domain::Prose, 4_000_000)?;
    let tokenizer = Tokenizer::train(&text.content, VOCAB)?;
    let config = GptConfig::new(VOCAB, 128, 4, 4, 128);
    let tokens = tokenizer.encode(&text.content)?;
    let windows = Windows::new(tokens, config.context, "the text").map_err(Error::msg)?;

    let mut runs = Vec::new();
    let mut failed = Vec::new();
    for (number, &peak) in flags.peaks.iter().enumerate() {
        say!("peak learning rate {peak:e}");
        device.seed(flags.seed);
        let schedule = WarmupStableDecay {
            peak,
            end: 0.0,
            warmup: steps / 5,
            decay: steps / 5,
            steps,
        };
        schedule.validate().map_err(Error::msg)?;
        let curvature = CurvatureConfig::new(flags.hessian_every.unwrap_or(steps.div_ceil(10)));
        let folder = out.join(format!("peak-{}", number + 1));
        let probe = SharpnessConfig::new()
            .with_every(flags.every)
            .with_curvature(curvature.with_preconditioner(ADAM))
            .with_directory(&folder);
        let probe = SharpnessProbe::new(probe)?;
        let mut model = config.init(&device);
        let mut optim = adamw(0.0);
        let mut random = StdRng::seed_from_u64(flags.seed);
        let mut record = Record::default();
        let mut forward = Vec::new();
        for step in 0..steps {
            let rate = schedule.at(step);
            let batch = windows.random_batch(BATCH, &mut random, &device);
            let grads = GradientsParams::from_grads(model.loss(batch.clone()).backward(), &model);
            let loss = |model: &Gpt| model.loss(batch.clone());
            let update = Update::new(&model, &optim, rate, &grads).with_curvature(loss);
            let measured = probe.measure_update(update, loss);
            if let Some(measurement) = &measured
                && let Some(curvature) = &measurement.curvature
            {
                let started = Instant::now();
                model.valid().loss(batch.clone()).try_into_scalar::<f64>()?;
                forward.push(started.elapsed().as_secs_f64());
                let preconditioned = curvature.preconditioned_sharpness.as_ref();
                let show = |value: Option<f64>| value.map_or("–".to_string(), |v| decimals(v, 1));
                say!(
                    "step {step:>5}  loss {:<5} λ_c {:<8} λ_dir {:<8} λ_max {:<8} λ_pre {:<9} 2/η {}",
                    show(measurement.base_loss),
                    show(measurement.critical_sharpness),
                    show(curvature.directional_sharpness.value),
                    show(curvature.hessian_sharpness.value),
                    show(preconditioned.and_then(|value| value.value)),
                    show(measurement.edge_threshold()),
                );
            }
            if let Some(measurement) = measured {
                record.0.extend([Measurement::clone(&measurement)]);
            }
            model = optim.step(rate, model, grads);
        }
        let loss = final_loss(&model, &windows, &device)?;
        if loss.is_nan() || loss > 2.0 * (VOCAB as f64).ln() {
            failed.push(format!("{peak:e} (loss {loss:.1})"));
        }
        say!("\n{}", record.failures());
        for notice in probe.summary().notices {
            say!("note: {notice}");
        }
        let forward_seconds = mean(forward.into_iter()).unwrap_or(f64::NAN);
        let costs = record.costs(forward_seconds);
        say!("\n{}", cost_table(&costs));
        write_chart(&chart(&record, peak), &folder, "edge.svg")?;
        runs.push((schedule, record, costs));
    }

    let critical = runs.iter().fold(
        Chart::new(
            "Critical sharpness over warmup-stable-decay, AdamW",
            Axis::linear("step"),
            Axis::log("critical sharpness λ_c"),
        ),
        |chart, (schedule, record, _)| {
            let points = record.points(|m| m.critical_sharpness);
            chart.with_series(series(&format!("peak η = {:e}", schedule.peak), points))
        },
    );
    let ends = |chart: Chart| {
        chart
            .with_mark((steps / 5) as f64, "end of warmup")
            .with_mark((steps - steps / 5) as f64, "start of decay")
    };
    write_chart(&ends(critical), out, "critical-sharpness.svg")?;
    let preconditioned = runs.iter().fold(
        Chart::new(
            "Preconditioned sharpness over its Edge-of-Stability threshold",
            Axis::linear("step"),
            Axis::log("λ_pre (1 − β₁) η / (2 + 2β₁)"),
        ),
        |chart, (schedule, record, _)| {
            let points = record.points_of_curvature(preconditioned_over_threshold);
            chart.with_series(series(&format!("peak η = {:e}", schedule.peak), points))
        },
    );
    write_chart(&ends(preconditioned), out, "preconditioned-sharpness.svg")?;

    let runs = runs.into_iter().map(|(schedule, record, costs)| {
        let decay = steps - schedule.decay;
        Run {
            peak_learning_rate: schedule.peak,
            warmup: Phase::new(&record, 0, schedule.warmup),
            stable: Phase::new(&record, schedule.warmup, decay),
            decay: Phase::new(&record, decay, steps),
            last_loss: record.0.training().last().and_then(|m| m.base_loss),
            failures: record.failures(),
            costs,
        }
    });
    let summary = Summary {
        steps,
        runs: runs.collect(),
    };
    let json = serde_json::to_string_pretty(&summary)?;
    say!("{json}");
    write_result(out, SUMMARY_FILE, &json)?;
    say!("written to {}", out.display());
    ensure!(
        failed.is_empty(),
        "the training failed at a peak of {}: its loss is far above {:.1}, the loss of a guess; choose lower --peaks",
        failed.join(", "),
        (VOCAB as f64).ln()
    );
    Ok(())
}

/// Writes a chart. If it has no point, the program says so and writes the other results.
fn write_chart(chart: &Chart, folder: &Path, name: &str) -> Result<()> {
    match chart.svg() {
        Ok(svg) => write_result(folder, name, svg),
        Err(error) => {
            gpt::warn!("warning: {name}: {error}");
            Ok(())
        }
    }
}

/// Returns the loss of the trained model on a batch.
fn final_loss(model: &Gpt, windows: &Windows, device: &Device) -> Result<f64> {
    let batch = windows.even_batch(0, 1, BATCH, device);
    Ok(model.valid().loss(batch).try_into_scalar::<f64>()?)
}

/// Returns λ_pre over (2 + 2β₁)/((1 − β₁)η).
fn preconditioned_over_threshold(measurement: &Measurement) -> Option<f64> {
    let curvature = measurement.curvature.as_ref()?;
    let value = curvature.preconditioned_sharpness.as_ref()?.value?;
    let rate = measurement.learning_rate.filter(|rate| *rate > 0.0)?;
    Some(value / adam_threshold(rate, ADAM.beta_1, 0.0))
}

fn chart(record: &Record, peak: f64) -> Chart {
    Chart::new(
        &format!("Small GPT, AdamW, warmup-stable-decay, peak η = {peak:e}"),
        Axis::linear("step"),
        Axis::log("sharpness; loss"),
    )
    .with_series(Series {
        style: Style::Threshold,
        ..series("2/η", record.points(|m| m.edge_threshold()))
    })
    .with_series(series("λ_c", record.points(|m| m.critical_sharpness)))
    .with_series(series(
        "λ_dir",
        record.curvature(|c| Some(&c.directional_sharpness)),
    ))
    .with_series(series(
        "λ_pre",
        record.curvature(|c| c.preconditioned_sharpness.as_ref()),
    ))
    .with_series(series("loss", record.points(|m| m.base_loss)))
}

impl Phase {
    /// Returns the means over the steps from `from` to before `to`.
    fn new(record: &Record, from: u64, to: u64) -> Self {
        let of = |points: Vec<(f64, f64)>| {
            let range = from as f64..to as f64;
            mean(
                points
                    .into_iter()
                    .filter(|p| range.contains(&p.0))
                    .map(|p| p.1),
            )
        };
        Self {
            critical_sharpness: of(record.points(|m| m.critical_sharpness)),
            edge_ratio: of(record.points(|m| m.edge_ratio())),
            directional_sharpness: of(record.curvature(|c| Some(&c.directional_sharpness))),
            preconditioned_over_threshold: of(
                record.points_of_curvature(preconditioned_over_threshold)
            ),
        }
    }
}
