use crate::flags::{above_0, at_least_one};
use anyhow::{Result, ensure};
use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::optim::LearningRate;
use serde::{Deserialize, Serialize};

/// A longer run is a mistake.
const MOST_STEPS: u64 = 1 << 28;

/// Rises linearly from 0 to the peak, stays there, and falls along a cosine to the final rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmupStableDecay {
    pub peak: f64,
    /// The learning rate after the last step.
    pub end: f64,
    pub warmup: u64,
    pub decay: u64,
    pub steps: u64,
}

impl WarmupStableDecay {
    pub fn usual(peak: f64, steps: u64) -> Self {
        Self {
            peak,
            end: 0.0,
            warmup: steps / 10,
            decay: steps / 5,
            steps,
        }
    }

    pub fn validate(&self) -> Result<()> {
        let (peak, end, steps) = (self.peak, self.end, self.steps);
        let (warmup, decay) = (self.warmup, self.decay);
        above_0("the learning rate", peak)?;
        ensure!(
            (0.0..=peak).contains(&end),
            "the final learning rate is {end}, but must lie between 0 and the peak {peak}"
        );
        at_least_one(&[("the number of steps", steps)])?;
        ensure!(
            steps <= MOST_STEPS,
            "the number of steps is {steps}, but must be at most {MOST_STEPS}"
        );
        ensure!(
            warmup.saturating_add(decay) <= steps,
            "{warmup} warmup and {decay} decay steps do not fit into {steps} steps"
        );
        Ok(())
    }

    /// Steps count from 0.
    pub fn at(&self, step: u64) -> f64 {
        let decay_start = self.steps - self.decay;
        if step < self.warmup {
            self.peak * step as f64 / self.warmup as f64
        } else if step < decay_start || self.decay == 0 {
            self.peak
        } else {
            let progress = (step - decay_start) as f64 / self.decay as f64;
            let cosine = (std::f64::consts::PI * progress.min(1.0)).cos();
            self.end + 0.5 * (self.peak - self.end) * (1.0 + cosine)
        }
    }

    pub fn scheduler(self) -> Scheduler {
        Scheduler {
            schedule: self,
            step: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Scheduler {
    schedule: WarmupStableDecay,
    step: u64,
}

impl Scheduler {
    /// Returns the next step of a run's only scheduler.
    pub fn step_of(record: &LrSchedulerRecord) -> Option<u64> {
        record.record("0").scalar("step")
    }
}

impl LrScheduler for Scheduler {
    fn step(&mut self) -> LearningRate {
        let learning_rate = self.schedule.at(self.step);
        self.step += 1;
        learning_rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("step", self.step)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(step) = record.scalar("step") {
            self.step = step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;

    const SCHEDULE: WarmupStableDecay = WarmupStableDecay {
        peak: 1.0,
        end: 0.1,
        warmup: 4,
        decay: 4,
        steps: 12,
    };

    #[test]
    fn it_warms_up_stays_and_decays() {
        let rates: Vec<f64> = (0..13).map(|step| SCHEDULE.at(step)).collect();
        assert_eq!(rates[..9], [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert!(rates[8..].windows(2).all(|pair| pair[1] < pair[0]));
        assert!((rates[10] - 0.55).abs() < 1e-12, "half way down");
        assert!((rates[12] - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_record_carries_the_step() {
        let mut scheduler = ModuleLrScheduler::new(SCHEDULE.scheduler());
        for _ in 0..3 {
            scheduler.step();
        }
        let record = scheduler.to_record();
        assert_eq!(Scheduler::step_of(&record), Some(3));
        let mut resumed = ModuleLrScheduler::new(SCHEDULE.scheduler()).load_record(record);
        assert_eq!(resumed.step().base(), SCHEDULE.at(3));
    }

    #[test]
    fn impossible_schedules_are_named() {
        type Change = fn(&mut WarmupStableDecay);
        let changes: [(Change, &str); 4] = [
            (|schedule| schedule.steps = 7, "do not fit into 7"),
            (|schedule| schedule.warmup = u64::MAX, "do not fit into 12"),
            (|schedule| schedule.peak = -1.0, "-1"),
            (|schedule| schedule.end = 2.0, "2"),
        ];
        for (change, said) in changes {
            let mut schedule = SCHEDULE;
            change(&mut schedule);
            let error = schedule.validate().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(SCHEDULE.validate().is_ok());
    }
}
