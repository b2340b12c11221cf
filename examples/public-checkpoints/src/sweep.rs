//! Only one checkpoint is in memory at a time.

use crate::checkpoint::Checkpoint;
use crate::model::Transformer;
use crate::probe::{Search, gradient};
use crate::record::{Line, Record, Warming};
use crate::text::{Drawing, TOKENIZER_FILE, Texts, Windowed};
use anyhow::{Context, Result};
use burn::tensor::Device;
use gpt::optimizer::{adamw, sgd};

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

impl Sweep {
    pub fn run(
        &self,
        checkpoints: &[Checkpoint],
        record: &mut Record,
        mut seen: impl FnMut(&Checkpoint, &[Line]),
    ) -> Result<()> {
        let mut last = None;
        let mut guesses = [FIRST_GUESS; 2];
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
        [of_gradient, of_adamw]: &mut [f64; 2],
    ) -> Result<Vec<Line>> {
        let windows = &windows.windows;
        let mut model = Transformer::open(&checkpoint.folder, &checkpoint.config, &self.device)?;
        let mut batches = windows.batches(self.drawing, &self.device);
        let batch = batches.draw();
        let tasks = windows.tasks(self.drawing, &self.device.clone().inner());

        // The gradient first: warming at a rate above 0 moves the weights.
        let search = self.search;
        let along = search.measure(&model, &sgd(0.0), &batch, &[], *of_gradient)?;
        *of_gradient = along[0].critical_lr.unwrap_or(*of_gradient);
        let along = along.iter().map(|m| Line::new(checkpoint, None, m));
        let mut lines: Vec<Line> = along.collect();

        let mut optim = adamw(self.warming.weight_decay);
        for _ in 0..self.warming.steps {
            let grads = gradient(&model, &batches.draw());
            model = optim.step(checkpoint.warm_rate, model, grads);
        }
        let along = search.measure(&model, &optim, &batch, &tasks, *of_adamw)?;
        *of_adamw = along[0].critical_lr.unwrap_or(*of_adamw);
        let warming = Some(self.warming);
        lines.extend(along.iter().map(|m| Line::new(checkpoint, warming, m)));
        Ok(lines)
    }
}
