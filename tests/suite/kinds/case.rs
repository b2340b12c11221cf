use super::optimizers::Optimizer;
use sharpness_tests::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tweak {
    None,
    /// Gradients of 1024 times the loss.
    Scaled,
    /// Gradients of 1024 times the loss, scaled back before the step.
    Unscaled,
    ClippedNorm(f64),
    ClippedValues(f64),
    Noise(f32),
    NanAt(u64),
    Accumulated,
    Offset(f64),
    /// Losses shifted to give the second loss this value.
    Second(f64),
    Averaged,
    Frozen,
    StillGroup,
    Double,
}

#[derive(Clone)]
pub struct Part {
    pub optimizer: Optimizer,
    pub owns: ParamGroup,
}

impl Part {
    pub fn new(optimizer: Optimizer, owns: ParamGroup) -> Self {
        Self { optimizer, owns }
    }
}

#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub kind: Kind,
    /// Several optimizers share the model. In a game they take turns.
    pub parts: Vec<Part>,
    pub schedule: fn(u64) -> f64,
    pub size: fn(u64) -> usize,
    pub batches: u64,
    pub steps: u64,
    pub every: u64,
    pub late: u64,
    pub seed: u64,
    pub tweak: Tweak,
    pub has_tasks: bool,
    pub has_learner: bool,
    pub from: u64,
}

impl Case {
    pub fn new(name: &str, kind: Kind, optimizer: Optimizer) -> Self {
        Self {
            name: name.to_string(),
            kind,
            parts: vec![Part::new(optimizer, ParamGroup::all())],
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

    pub fn short(mut self, measurements: u64) -> Self {
        self.every = self.every.min(5);
        self.from = self.late;
        self.steps = self.steps.min(self.from + measurements * self.every);
        self
    }

    pub fn is_measured(&self, step: u64) -> bool {
        step >= self.from && (step - self.from).is_multiple_of(self.every)
    }

    pub fn rate(&self, part: usize, step: u64) -> f64 {
        self.parts[part].optimizer.rate * (self.schedule)(step)
    }

    pub fn rates(&self, rate: f64) -> ModuleLearningRate {
        match self.tweak {
            Tweak::StillGroup => {
                let still = ParamGroup::from_predicate("blocks.1");
                ModuleLrScheduler::new(rate).with_group(still, 0.0).step()
            }
            _ => rate.into(),
        }
    }

    /// All clones share running statistics in burn.
    pub fn has_running_statistics(&self) -> bool {
        matches!(self.kind.network, Network::BatchNorm | Network::Convolution)
    }
}
