//! Runs a training in its own process, and reports its time and peak memory.

use crate::statistics::quantile;
use crate::workload::{Workload, train};
use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn_sharpness::{SharpnessConfig, SharpnessProbe};
use clap::ValueEnum;
use gpt::terminal::print;
use serde::{Deserialize, Serialize};
use std::process::Command;

/// Uncounted steps, which allocate memory and compile kernels.
const WARM_UP: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    With,
    Without,
}

#[derive(Serialize, Deserialize)]
pub struct Taken {
    pub weights: usize,
    pub steps: usize,
    /// The median without measurements.
    pub step_seconds: f64,
    /// The median; `None` without a probe.
    pub measurement_seconds: Option<f64>,
    pub evaluations: Option<f64>,
    pub bracketed: usize,
    pub peak_bytes: u64,
}

pub fn tell<M: Module + 'static, B>(workload: Workload<M, B>, probe: Probe) -> Result<()> {
    let config = SharpnessConfig::new().with_every(1);
    let probe = match probe {
        Probe::With => Some(SharpnessProbe::new(config)?),
        Probe::Without => None,
    };
    let trained = train(workload, probe.as_ref(), |_| {})?;
    let steps = trained.step_seconds.get(WARM_UP..).unwrap_or_default();
    let counted = trained.measurements.get(WARM_UP..).unwrap_or_default();
    let seconds: Vec<f64> = counted.iter().map(|m| m.seconds).collect();
    let evaluations = counted.iter().map(|m| m.evaluations).sum::<usize>();
    let taken = Taken {
        weights: trained.weights,
        steps: steps.len(),
        step_seconds: quantile(steps, 0.5),
        measurement_seconds: probe.as_ref().map(|_| quantile(&seconds, 0.5)),
        evaluations: probe.map(|_| evaluations as f64 / counted.len() as f64),
        bracketed: counted.iter().filter(|m| m.critical_lr.is_some()).count(),
        peak_bytes: peak()?,
    };
    Ok(print(&(serde_json::to_string(&taken)? + "\n"))?)
}

pub fn with_and_without(arguments: &[String]) -> Result<[Taken; 2]> {
    let taken = |probe: &str| -> Result<Taken> {
        let mut process = Command::new(std::env::current_exe()?);
        let output = process.args(arguments).args(["--taken", probe]).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the process {probe} a probe failed: {}",
            error.trim_end()
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    Ok([taken("with")?, taken("without")?])
}

fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = || {
        let mut lines = status.lines();
        let peak = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes = peak.trim().strip_suffix("kB")?;
        kilobytes.trim().parse::<u64>().ok()
    };
    let peak = peak().context("the system does not tell the peak memory of a process")?;
    Ok(1024 * peak)
}
