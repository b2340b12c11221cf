use crate::probe::{Batch, Task};
use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::{Device, Int, Tensor};
use gpt::guard::without_panic;
use gpt::text::{Domain, Text};
use gpt::tokens::{TokenBatch, Windows};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};
use tokenizers::Tokenizer;

pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The task of the training text if updates use a mix.
pub const DATA_TASK: &str = "data";
const PIECE_BYTES: usize = 1 << 16;

/// The training text as [`DATA_TASK`], and the tasks.
pub struct Texts(Vec<(String, Text)>);

pub struct Windowed(Vec<(String, Windows)>);

#[derive(Clone, Copy, Debug)]
pub struct Drawing {
    pub windows: usize,
    /// The most windows in memory at a time.
    pub micro_batch: usize,
    /// The fraction of windows from the training text; the others come from the tasks, in turn.
    pub ratio: f64,
    pub seed: u64,
}

impl Texts {
    /// Reads at most `limit` bytes of each text; without `data`, the documentation of packages.
    pub fn read(
        data: Option<&Path>,
        tasks: &[(String, PathBuf)],
        field: &str,
        limit: usize,
    ) -> Result<Self> {
        let data = match data {
            Some(path) => Text::of_path(path, field, limit)?,
            None => Text::of_packages(Domain::Prose, limit)?,
        };
        let mut texts = vec![(DATA_TASK.to_string(), data)];
        for (name, path) in tasks {
            let text = Text::of_path(path, field, limit);
            let text = text.with_context(|| format!("the text of the task {name}"))?;
            texts.push((name.clone(), text));
        }
        Ok(Self(texts))
    }

    pub fn describe(&self) -> Vec<(String, String)> {
        let texts = self.0.iter();
        let texts = texts.map(|(name, text)| (name.clone(), text.to_string()));
        texts.collect()
    }

    pub fn windows(&self, folder: &Path, vocab: usize, context: usize) -> Result<Windowed> {
        let path = folder.join(TOKENIZER_FILE);
        let (tokenizer, notes): (Tokenizer, _) = gpt::tokenizer_file::open(&path)?;
        for note in notes {
            gpt::say!("note    {note}");
        }
        let largest = tokenizer.get_vocab(true).values().copied().max();
        let largest = largest.with_context(|| format!("{} has no token", path.display()))?;
        ensure!(
            (largest as usize) < vocab,
            "the vocabularies do not match: {} has tokens up to {largest}, but the model in {} has {vocab} only",
            path.display(),
            folder.display()
        );
        let windows = self.0.iter().map(|(name, text)| {
            let tokens = without_panic(|| encode(&tokenizer, &text.content));
            let failed = || format!("the tokenizer {} failed", path.display());
            let tokens = tokens.with_context(failed)?;
            let windows = Windows::new(tokens, context, &format!("the text {name}"))?;
            Ok((name.clone(), windows))
        });
        Ok(Windowed(windows.collect::<Result<_>>()?))
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let bound = rest.floor_char_boundary(PIECE_BYTES);
        let end = rest[bound..].find('\n');
        let end = end.map_or(rest.len(), |end| bound + end + 1);
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    let encodings = tokenizer.encode_batch_fast(pieces, false);
    let encodings = encodings.map_err(|error| anyhow!("{error}"))?;
    let tokens = encodings.iter().flat_map(|piece| piece.get_ids());
    Ok(tokens.copied().collect())
}

impl Windowed {
    /// Returns the batches of updates, the same for every checkpoint with these tokens.
    pub fn batches<'a>(&'a self, drawing: Drawing, device: &'a Device) -> Batches<'a> {
        Batches {
            text: self,
            drawing,
            random: StdRng::seed_from_u64(drawing.seed),
            device,
        }
    }

    /// Returns the batches to measure the tasks on, spread evenly over their texts.
    pub fn tasks(&self, drawing: Drawing, device: &Device) -> Vec<Task> {
        let tasks = self.0.iter().skip(usize::from(drawing.ratio >= 1.0));
        let tasks = tasks.map(|(name, text)| Task {
            name: name.clone(),
            batch: drawing.split(text.even_batch(0, 1, drawing.windows, device)),
        });
        tasks.collect()
    }
}

impl Drawing {
    fn split(self, batch: TokenBatch) -> Batch {
        let parts = |tokens: Tensor<2, Int>| tokens.split(self.micro_batch, 0);
        let parts = parts(batch.inputs).into_iter().zip(parts(batch.targets));
        let batches = parts.map(|(inputs, targets)| TokenBatch { inputs, targets });
        batches.collect()
    }
}

pub struct Batches<'a> {
    text: &'a Windowed,
    drawing: Drawing,
    random: StdRng,
    device: &'a Device,
}

impl Batches<'_> {
    pub fn draw(&mut self) -> Batch {
        let Drawing { windows, ratio, .. } = self.drawing;
        let of_data = (ratio * windows as f64).round() as usize;
        let texts = &self.text.0;
        let before = |task: usize| (windows - of_data) * task / (texts.len() - 1);
        let parts = texts
            .iter()
            .enumerate()
            .map(|(index, (_, text))| match index {
                0 => (text, of_data),
                index => (text, before(index) - before(index - 1)),
            });
        let parts = parts.filter(|(_, windows)| *windows > 0);
        let parts = parts.map(|(text, windows)| {
            let batch = text.random_batch(windows, &mut self.random, self.device);
            self.drawing.split(batch)
        });
        parts.flatten().collect()
    }
}

pub fn parse_task(text: &str) -> Result<(String, PathBuf)> {
    let parts = text.split_once('=');
    let parts = parts.filter(|(name, path)| !name.is_empty() && !path.is_empty());
    let (name, path) = parts.context("expected NAME=PATH, such as math=math.jsonl")?;
    Ok((name.to_string(), PathBuf::from(path)))
}
