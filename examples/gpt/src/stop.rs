use anyhow::{Context, Result};
use burn::train::checkpoint::{CheckpointingAction, CheckpointingStrategy};
use burn::train::metric::store::{Aggregate, EventStoreClient, Split};
use burn::train::{EarlyStoppingStrategy, Interrupter};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const CHECKPOINTS: usize = 2;

/// A request to stop a training before its last step.
///
/// burn's own stop leaves the epoch without a checkpoint. Here the loader ends the epoch early: burn validates and
/// saves as after any epoch, and then learns that it was the last.
#[derive(Clone, Default)]
pub struct Stop {
    wish: Interrupter,
    signal: Arc<AtomicBool>,
    last_loss: Arc<Mutex<Option<f64>>>,
    failure: Arc<OnceLock<String>>,
    /// Keeps all checkpoints, not only the last few.
    pub keeps_all: bool,
}

impl Stop {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes Ctrl-C, a termination and the end of the terminal requests; a second signal ends the process.
    pub fn with_signals(self) -> Result<Self> {
        for signal in signals() {
            // Shells report a signal by this exit code.
            flag::register_conditional_shutdown(signal, 128 + signal, self.signal.clone())
                .and_then(|_| flag::register(signal, self.signal.clone()))
                .context("the process cannot listen to Ctrl-C")?;
        }
        Ok(self)
    }

    /// The dashboard's key `q` stops this interrupter.
    pub fn wish(&self) -> Interrupter {
        self.wish.clone()
    }

    pub fn is_wished(&self) -> bool {
        let is_wished = self.wish.should_stop() || self.signal.load(Ordering::Relaxed);
        is_wished || self.failure.get().is_some()
    }

    /// Keeps the first reason.
    pub fn fail(&self, why: String) {
        let _ = self.failure.set(why);
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    pub fn last_loss(&self) -> Option<f64> {
        *self
            .last_loss
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn has_diverged(&self) -> bool {
        self.last_loss().is_some_and(|loss| !loss.is_finite())
    }

    fn after_epoch(&self, epoch: usize, loss: Option<f64>) -> Vec<CheckpointingAction> {
        *self
            .last_loss
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = loss;
        // Checkpoints of NaN must not push out the last good ones.
        if self.has_diverged() {
            return Vec::new();
        }
        let old = epoch.checked_sub(CHECKPOINTS);
        let old = old.filter(|old| *old > 0 && !self.keeps_all);
        let mut actions = vec![CheckpointingAction::Save];
        actions.extend(old.map(CheckpointingAction::Delete));
        actions
    }
}

fn signals() -> Vec<i32> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = vec![SIGINT, SIGTERM];
    #[cfg(target_os = "linux")]
    {
        use signal_hook::consts::SIGHUP;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !ignores(&status, SIGHUP) {
            signals.push(SIGHUP);
        }
    }
    signals
}

/// Under `nohup`, the end of the terminal must not end the run.
#[cfg(target_os = "linux")]
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| (mask >> (signal - 1)) & 1 == 1)
}

impl CheckpointingStrategy for Stop {
    fn checkpointing(
        &mut self,
        epoch: usize,
        store: &EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        let loss = store.find_metric("Loss", epoch, Aggregate::Mean, &Split::Valid);
        self.after_epoch(epoch, loss)
    }
}

impl EarlyStoppingStrategy for Stop {
    fn should_stop(&mut self, _epoch: usize, _store: &EventStoreClient) -> bool {
        self.is_wished() || self.has_diverged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_weights_push_out_no_checkpoint() {
        use CheckpointingAction::{Delete, Save};
        let stop = Stop::new();
        assert_eq!(stop.after_epoch(1, Some(3.0)), [Save]);
        assert_eq!(stop.after_epoch(3, None), [Save, Delete(1)]);
        assert!(!stop.has_diverged());
        assert_eq!(stop.after_epoch(4, Some(f64::NAN)), []);
        assert!(stop.has_diverged() && !stop.is_wished());
        assert_eq!(stop.after_epoch(4, Some(f64::INFINITY)), []);
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_is_a_wish() {
        let stop = Stop::new().with_signals().unwrap();
        assert!(!stop.is_wished());
        signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
        assert!(stop.is_wished());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_to_be_ignored_is_ignored() {
        use signal_hook::consts::{SIGHUP, SIGPIPE};
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(ignores(status, SIGHUP) && ignores(status, SIGPIPE));
        assert!(!ignores(status, signal_hook::consts::SIGTERM));
        assert!(ignores("", SIGHUP), "unknown: as the system has it");
    }
}
