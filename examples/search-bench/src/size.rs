//! Measures time and peak memory at a size of the GPT.

use crate::process::with_and_without;
use crate::workload::VOCAB;
use anyhow::{Context, Result, ensure};
use clap::Args;
use gpt::model::GptConfig;
use gpt::terminal::print;
use sharpness_report::shown::decimals;

#[derive(Args)]
pub struct Shape {
    /// Transformer blocks of the GPT
    #[arg(long, default_value_t = 4)]
    gpt_layers: usize,
    /// Width of its residual stream
    #[arg(long, default_value_t = 128)]
    gpt_width: usize,
    /// Attention heads of a block
    #[arg(long, default_value_t = 4)]
    gpt_heads: usize,
    /// Tokens that it sees at a time
    #[arg(long, default_value_t = 128)]
    gpt_context: usize,
    /// Rows of its embedding: the text uses 1,024 of them
    #[arg(long, default_value_t = VOCAB)]
    gpt_vocab: usize,
}

impl Shape {
    pub fn config(&self) -> Result<GptConfig> {
        ensure!(
            self.gpt_vocab >= VOCAB,
            "--gpt-vocab is {}, but the text has {VOCAB} tokens",
            self.gpt_vocab
        );
        let config = GptConfig::new(
            self.gpt_vocab,
            self.gpt_context,
            self.gpt_layers,
            self.gpt_heads,
            self.gpt_width,
        );
        config.validate()?;
        Ok(config)
    }
}

pub fn compare(device: &str, arguments: &[String]) -> Result<()> {
    let [with, without] = with_and_without(arguments)?;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let measurement = with.measurement_seconds.context("nothing was measured")?;
    let row = format!(
        "| {device} | {:.1}M | {} s | {} s | {:.2} | {} of {} | {:.2} GB | {:.2} GB |",
        without.weights as f64 / 1e6,
        decimals(without.step_seconds, 2),
        decimals(measurement, 2),
        with.evaluations.unwrap_or(f64::NAN),
        with.bracketed,
        with.steps,
        gigabytes(without.peak_bytes),
        gigabytes(with.peak_bytes),
    );
    let head = "| device | weights | step | measurement | evaluations | bracketed | peak memory without probe | with |\n|---|---|---|---|---|---|---|---|";
    Ok(print(&format!("{head}\n{row}\n"))?)
}
