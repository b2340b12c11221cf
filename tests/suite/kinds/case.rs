//! What is trained, and how.

use super::optimizers::Optimizer;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::ParamGroup;
use sharpness_tests::{Kind, Network};

/// What a loop does besides what every loop does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tweak {
    None,
    /// Gradients of 1024 times the loss.
    Scaled,
    /// The same, scaled back before the step.
    Unscaled,
    /// Clipped by hand to a norm.
    ClippedNorm(f64),
    /// Clipped by hand, each value.
    ClippedValues(f64),
    /// Noise of this size on each value.
    Noise(f32),
    /// Gradients that are NaN at a step.
    NanAt(u64),
    /// Gradients of two batches, whose losses are added.
    Accumulated,
    /// Losses with a constant added.
    Offset(f64),
    /// Losses shifted so that the second one is this.
    Second(f64),
    /// An average of the weights, which the loop keeps.
    Averaged,
    /// The first layer does not learn.
    Frozen,
    /// A block has the learning rate 0.
    StillGroup,
    /// All in 64 bits.
    Double,
}

/// The parameters that an optimizer moves.
#[derive(Clone)]
pub struct Part {
    pub optimizer: Optimizer,
    /// Whether it moves the parameter of a path.
    pub owns: fn(&str) -> bool,
}

/// One training.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub kind: Kind,
    /// One optimizer, or several that share the model; in a game each has its own turn.
    pub parts: Vec<Part>,
    /// By what the learning rate is multiplied at a step.
    pub schedule: fn(u64) -> f64,
    /// The size of a batch.
    pub size: fn(u64) -> usize,
    pub batches: u64,
    pub steps: u64,
    /// The steps between measurements.
    pub every: u64,
    /// The first measured step of the short run.
    pub late: u64,
    pub seed: u64,
    pub tweak: Tweak,
    /// Whether other losses are measured, too.
    pub has_tasks: bool,
    /// Whether it is trained by burn's `Learner`, too.
    pub has_learner: bool,
    /// The first measured step.
    pub from: u64,
}

impl Case {
    pub fn new(name: &str, kind: Kind, optimizer: Optimizer) -> Self {
        let parts = vec![Part {
            optimizer,
            owns: |_| true,
        }];
        Self {
            name: name.to_string(),
            kind,
            parts,
            schedule: |_| 1.0,
            size: |_| 32,
            batches: 24,
            steps: 120,
            every: 1,
            late: 0,
            seed: 3,
            tweak: Tweak::None,
            has_tasks: false,
            has_learner: false,
            from: 0,
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// A few measurements of it.
    pub fn short(mut self, measurements: u64) -> Self {
        self.every = self.every.min(5);
        self.from = self.late;
        self.steps = self.steps.min(self.from + measurements * self.every);
        self
    }

    pub fn is_measured(&self, step: u64) -> bool {
        step >= self.from && (step - self.from).is_multiple_of(self.every)
    }

    /// The learning rate of a part at a step.
    pub fn rate(&self, part: usize, step: u64) -> f64 {
        self.parts[part].optimizer.rate * (self.schedule)(step)
    }

    /// The same of each group of parameters.
    pub fn rates(&self, rate: f64) -> ModuleLearningRate {
        match self.tweak {
            Tweak::StillGroup => {
                let still = ParamGroup::from_predicate("blocks.1");
                ModuleLrScheduler::new(rate).with_group(still, 0.0).step()
            }
            _ => rate.into(),
        }
    }

    /// Whether the loop would have to copy running statistics, which burn shares between all clones.
    pub fn has_running_statistics(&self) -> bool {
        matches!(self.kind.network, Network::BatchNorm | Network::Convolution)
    }
}
