//! Only one checkpoint is in memory at a time.

use crate::checkpoint::Checkpoint;
use crate::direction::{Direction, Warming};
use crate::model::Transformer;
use crate::probe::{Search, gradient};
use crate::record::{Line, Record};
use crate::text::{Drawing, TOKENIZER_FILE, Texts, Windowed};
use anyhow::{Context, Result};
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::Device;
use burn_sharpness::Measurement;
use gpt::optimizer::adamw;

/// The largest default window.
const CONTEXT: usize = 512;
/// The start of the first searches.
const FIRST_GUESS: f64 = 1e-2;

pub struct Sweep {
    pub texts: Texts,
    pub drawing: Drawing,
    /// The tokens of a window.
    pub context: Option<usize>,
    pub warming: Warming,
    pub search: Search,
    /// With autodiff.
    pub device: Device,
}

/// For reuse if the next checkpoint has the same tokenizer.
struct LastWindows {
    tokenizer: Vec<u8>,
    vocab: usize,
    context: usize,
    windows: Windowed,
}

struct Guesses {
    adamw: f64,
    gradient: f64,
}

impl Sweep {
    pub fn run(
        &self,
        checkpoints: &[Checkpoint],
        record: &mut Record,
        mut seen: impl FnMut(&Checkpoint, &[Line]),
    ) -> Result<()> {
        let mut last = None;
        let mut guesses = Guesses {
            adamw: FIRST_GUESS,
            gradient: FIRST_GUESS,
        };
        for checkpoint in checkpoints {
            let windows = self.windows(checkpoint, last.take())?;
            let lines = self.measure(checkpoint, &windows, &mut guesses)?;
            for line in &lines {
                record.append(line)?;
            }
            seen(checkpoint, &lines);
            last = Some(windows);
        }
        Ok(())
    }

    fn windows(&self, checkpoint: &Checkpoint, last: Option<LastWindows>) -> Result<LastWindows> {
        let path = checkpoint.folder.join(TOKENIZER_FILE);
        let tokenizer = std::fs::read(&path)
            .with_context(|| format!("the tokenizer {} cannot be read", path.display()))?;
        let vocab = checkpoint.config.vocab();
        let positions = checkpoint.config.positions();
        let context = self.context.unwrap_or(positions.min(CONTEXT));
        anyhow::ensure!(
            context <= positions,
            "--context is {context}, but the model in {} sees {positions} tokens at most",
            checkpoint.folder.display()
        );
        if let Some(last) = last
            && (&last.tokenizer, last.vocab, last.context) == (&tokenizer, vocab, context)
        {
            return Ok(last);
        }
        let windows = self.texts.windows(&checkpoint.folder, vocab, context)?;
        Ok(LastWindows {
            tokenizer,
            vocab,
            context,
            windows,
        })
    }

    fn measure(
        &self,
        checkpoint: &Checkpoint,
        windows: &LastWindows,
        guesses: &mut Guesses,
    ) -> Result<Vec<Line>> {
        let windows = &windows.windows;
        let mut model = Transformer::open(&checkpoint.folder, &checkpoint.config, &self.device)?;
        let mut batches = windows.batches(self.drawing, &self.device);
        let batch = batches.draw();
        let tasks = windows.tasks(self.drawing, &self.device.clone().inner());
        let line = |direction, measurement: &Measurement| {
            Line::new(checkpoint, direction, self.warming, measurement)
        };

        // The gradient first: warming at a rate above 0 moves the weights.
        let sgd: ModuleOptimizer = SgdConfig::new().init();
        let along = self
            .search
            .measure(&model, &sgd, &batch, &[], guesses.gradient)?;
        let mut lines = Vec::new();
        for measurement in along {
            let next = line(Direction::Gradient, &measurement);
            guesses.gradient = next.critical_lr().unwrap_or(guesses.gradient);
            lines.push(next);
        }

        let mut optim = adamw(self.warming.weight_decay);
        for _ in 0..self.warming.steps {
            let grads = gradient(&model, &batches.draw());
            model = optim.step(checkpoint.warm_rate, model, grads);
        }
        let along = self
            .search
            .measure(&model, &optim, &batch, &tasks, guesses.adamw)?;
        for (index, measurement) in along.iter().enumerate() {
            let next = line(Direction::AdamW, measurement);
            if index == 0 {
                guesses.adamw = next.critical_lr().unwrap_or(guesses.adamw);
            }
            lines.push(next);
        }
        Ok(lines)
    }
}
