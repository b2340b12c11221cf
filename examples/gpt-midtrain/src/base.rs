use crate::flags::BaseFlags;
use anyhow::{Context, Error, Result, ensure};
use burn::lr_scheduler::LrScheduler;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::{PEAK_LEARNING_RATE, adamw};
use gpt::run::RunFolder;
use gpt::say;
use gpt::schedule::WarmupStableDecay;
use gpt::text::{Domain, TEXT_FIELD, Text, limit};
use gpt::tokenizer::Tokenizer;
use gpt::tokens::{TokenBatch, Windows};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use sharpness_report::shown::number;
use std::path::{Path, PathBuf};

const HELD_OUT_BATCHES: usize = 8;

pub struct Base {
    pub model: Gpt,
    pub pretrain: Source,
    pub target: Source,
    pub batch: usize,
    pub seed: u64,
    pub device: Device,
}

pub struct Source {
    pub train: Windows,
    held_out: Windows,
}

#[derive(Deserialize)]
struct Pretrained {
    model: GptConfig,
    settings: PretrainedText,
}

#[derive(Deserialize)]
struct PretrainedText {
    data: Option<PathBuf>,
    #[serde(default)]
    text_field: Option<String>,
    domain: Domain,
}

impl Base {
    pub fn new(flags: &BaseFlags) -> Result<Self> {
        let device = gpt::device::open(&flags.device)?.autodiff();
        device.seed(flags.seed);
        let run = flags.model.as_deref().map(RunFolder::of_run).transpose()?;
        let pretrained = run.as_ref().map(RunFolder::load_config::<Pretrained>);
        let pretrained = pretrained.transpose()?;
        let (of_run, domain) = match &pretrained {
            Some(Pretrained { settings, .. }) => (settings.data.as_deref(), settings.domain),
            None => (None, Domain::Prose),
        };
        let pretrain_data = flags.pretrain_data.as_deref().or(of_run);
        let field = flags.text_field.as_deref();
        let of_run = pretrained
            .as_ref()
            .filter(|_| flags.pretrain_data.is_none());
        let field_of_run = of_run.and_then(|run| run.settings.text_field.as_deref());
        let read_text = |data: Option<&Path>, field: Option<&str>, domain| {
            read_text(data, field.unwrap_or(TEXT_FIELD), domain, flags.megabytes)
        };
        let pretrain = read_text(pretrain_data, field.or(field_of_run), domain);
        let pretrain = pretrain.context("the pre-training text (--pretrain-data)")?;
        let target_field = flags.target_text_field.as_deref().or(field);
        let target = read_text(flags.target_data.as_deref(), target_field, domain.other());
        let target = target.context("the target text (--target-data)")?;

        let tokenizer = match &run {
            Some(run) if run.tokenizer().exists() => Tokenizer::load(&run.tokenizer())?,
            Some(_) => Tokenizer::Bytes,
            None => Tokenizer::train(&pretrain.content, flags.vocab)?,
        };
        let config = match &pretrained {
            Some(pretrained) => pretrained.model.clone(),
            None => flags.new_model(),
        };
        ensure!(
            tokenizer.vocab() == config.vocab,
            "the run's tokenizer has {} tokens, but its model {}",
            tokenizer.vocab(),
            config.vocab
        );
        let source = |text: &Text, name: &str| {
            let tokens = tokenizer.encode(&text.content)?;
            let [train, held_out] = Windows::split(tokens, config.context, name)?;
            Ok::<_, Error>(Source { train, held_out })
        };
        let pretrain = source(&pretrain, "the pre-training text")?;
        let target = source(&target, "the target text")?;

        let model = config.init(&device);
        let model = match &run {
            Some(run) => {
                let checkpoint = run.newest_checkpoint()?;
                let step = checkpoint.step;
                say!("model   {} at step {step}", run.path().display());
                model.try_load_record(run.load_weights(checkpoint)?)?
            }
            None => pre_train(model, &pretrain, flags, &device)?,
        };
        let base = Self {
            model,
            pretrain,
            target,
            batch: flags.batch,
            seed: flags.seed,
            device,
        };
        let [pretrain, target] = base.held_out_losses(&base.model)?;
        let [pretrain, target] = [pretrain, target].map(number);
        say!("loss    {pretrain} on held-out pre-training text, {target} on target text");
        Ok(base)
    }

    pub fn held_out_losses(&self, model: &Gpt) -> Result<[f64; 2]> {
        let model = model.valid();
        let loss = |source: &Source| -> Result<f64> {
            let batches = source.held_out_batches(HELD_OUT_BATCHES, self);
            let count = batches.len() as f64;
            let mut sum = 0.0;
            for batch in batches {
                sum += model.loss(batch).try_into_scalar::<f64>()?;
            }
            Ok(sum / count)
        };
        Ok([loss(&self.pretrain)?, loss(&self.target)?])
    }
}

impl Source {
    pub fn held_out_batches(&self, batches: usize, base: &Base) -> Vec<TokenBatch> {
        let device = base.device.clone().inner();
        let windows = &self.held_out;
        (0..batches)
            .map(|index| windows.even_batch(index, batches, base.batch, &device))
            .collect()
    }
}

fn pre_train(mut model: Gpt, text: &Source, flags: &BaseFlags, device: &Device) -> Result<Gpt> {
    let steps = flags.pretrain_steps;
    let schedule = WarmupStableDecay::usual(PEAK_LEARNING_RATE, steps);
    schedule.validate()?;
    let mut scheduler = schedule.scheduler();
    let mut optim = adamw(0.0);
    let mut random = StdRng::seed_from_u64(flags.seed);
    for step in 0..steps {
        let batch = text.train.random_batch(8, &mut random, device);
        let loss = model.loss(batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        model = optim.step(scheduler.step(), model, grads);
        if step.is_multiple_of(50) || step + 1 == steps {
            let loss = loss.try_into_scalar::<f64>()?;
            let shown = number(loss);
            say!("pre-training  step {step:>4} of {steps}  loss {shown}");
            ensure!(
                loss.is_finite(),
                "the pre-training failed: its loss is {loss}"
            );
        }
    }
    Ok(model)
}

/// Without a path, reads packages in Cargo.lock.
fn read_text(data: Option<&Path>, field: &str, domain: Domain, megabytes: f64) -> Result<Text> {
    let limit = limit(megabytes)?;
    let text = match data {
        Some(path) => Text::of_path(path, field, limit)?,
        None => Text::of_packages(domain, limit)?,
    };
    say!("text    {text}");
    Ok(text)
}
