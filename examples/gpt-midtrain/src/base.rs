use anyhow::{Error, Result, bail, ensure};
use burn::lr_scheduler::LrScheduler;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use clap::Args;
use gpt::folder::OwnedFolder;
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::{PEAK_LEARNING_RATE, adamw};
use gpt::run::RunFolder;
use gpt::schedule::WarmupStableDecay;
use gpt::text::{Domain, Text};
use gpt::tokenizer::Tokenizer;
use gpt::tokens::{TokenBatch, Windows};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The batches that a held-out loss is the mean of.
const HELD_OUT_BATCHES: usize = 8;
/// The vocabulary of a model that is pre-trained here.
const VOCAB: usize = 1024;

/// Where the model and the texts come from.
#[derive(Args, Clone, Debug)]
pub struct BaseFlags {
    /// Folder of a run of gpt-pretrain, whose newest checkpoint is continued [default: pre-train a
    /// small model, quickly]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    /// The pre-training text: a file, or a folder of .txt, .md, .jsonl and .parquet files [default:
    /// that of the run, or the documentation of the packages in Cargo.lock]
    #[arg(long, value_name = "PATH")]
    pretrain_data: Option<PathBuf>,
    /// The text of the target domain [default: the code of the packages in Cargo.lock]
    #[arg(long, value_name = "PATH")]
    target_data: Option<PathBuf>,
    /// Folder for the results [default: the first free runs/gpt-midtrain-N]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The most text of a domain to read, in millions of bytes
    #[arg(long, default_value_t = 4)]
    megabytes: usize,
    /// Windows of text in a batch
    #[arg(long, default_value_t = 10)]
    batch: usize,
    /// Updates of the pre-training, without --model
    #[arg(long, default_value_t = 400)]
    pretrain_steps: u64,
    /// Seed of weights and data
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Backend: flex (CPU, built in), tch, cuda or wgpu (each a cargo feature)
    #[arg(long, default_value = "flex")]
    device: String,
}

/// A pre-trained model and two kinds of text.
pub struct Base {
    /// The model.
    pub model: Gpt,
    /// The text that it was trained on.
    pub pretrain: Source,
    /// The text of the target domain.
    pub target: Source,
    /// The number of windows of a batch.
    pub batch: usize,
    /// The seed of the batches.
    pub seed: u64,
    /// Where the model is, with autodiff.
    pub device: Device,
}

/// The windows of a domain.
pub struct Source {
    /// Those to train on.
    pub train: Windows,
    held_out: Windows,
}

/// What is needed of the configuration that gpt-pretrain writes.
#[derive(Deserialize)]
struct Pretrained {
    model: GptConfig,
    settings: PretrainedText,
}

#[derive(Deserialize)]
struct PretrainedText {
    data: Option<PathBuf>,
    domain: String,
}

impl BaseFlags {
    /// The folder for the results, made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn folder(&self) -> Result<OwnedFolder> {
        OwnedFolder::for_results(self.out.as_deref(), "gpt-midtrain", "sweep.csv")
    }

    fn text(&self, data: Option<&Path>, domain: Domain) -> Result<Text> {
        let limit = self.megabytes.saturating_mul(1_000_000);
        let text = match data {
            Some(path) => Text::of_path(path, gpt::text::TEXT_FIELD, limit)?,
            None => Text::of_packages(domain, limit)?,
        };
        println!("text    {text}");
        Ok(text)
    }
}

impl Base {
    /// Loads the model, or pre-trains one, and reads both texts.
    ///
    /// # Errors
    ///
    /// Whatever is missing or does not fit.
    pub fn new(flags: &BaseFlags) -> Result<Self> {
        for (flag, count) in [("--batch", flags.batch), ("--megabytes", flags.megabytes)] {
            ensure!(count > 0, "{flag} is 0, but must be at least 1");
        }
        let device = gpt::device::open(&flags.device)?.autodiff();
        device.seed(flags.seed);
        let run = match &flags.model {
            Some(path) => Some(RunFolder::of_run(path)?),
            None => None,
        };
        let pretrained = match &run {
            Some(run) => Some(run.load_config::<Pretrained>()?),
            None => None,
        };
        let (of_run, domain) = match &pretrained {
            Some(Pretrained { settings, .. }) => {
                (settings.data.as_deref(), settings.domain.as_str())
            }
            None => (None, "prose"),
        };
        let domain = match domain {
            "prose" => Domain::Prose,
            "code" => Domain::Code,
            other => bail!("the run was trained on the domain {other}, which is not known here"),
        };
        let other_domain = match domain {
            Domain::Prose => Domain::Code,
            Domain::Code => Domain::Prose,
        };
        let pretrain_data = flags.pretrain_data.as_deref().or(of_run);
        let pretrain = flags.text(pretrain_data, domain)?;
        let target = flags.text(flags.target_data.as_deref(), other_domain)?;

        let tokenizer = match &run {
            Some(run) if run.tokenizer().exists() => Tokenizer::load(&run.tokenizer())?,
            Some(_) => Tokenizer::Bytes,
            None => Tokenizer::train(&pretrain.content, VOCAB)?,
        };
        let config = match &pretrained {
            Some(pretrained) => pretrained.model.clone(),
            None => GptConfig::new(VOCAB, 128, 4, 4, 128),
        };
        ensure!(
            tokenizer.vocab() == config.vocab,
            "the run's tokenizer has {} tokens, but its model {}",
            tokenizer.vocab(),
            config.vocab
        );
        let pretrain = Source::new(tokenizer.encode(&pretrain.content)?, config.context)?;
        let target = Source::new(tokenizer.encode(&target.content)?, config.context)?;

        let model = config.init(&device);
        let model = match &run {
            Some(run) => {
                let checkpoint = run.newest_checkpoint()?;
                println!(
                    "model   {} at step {}",
                    run.path().display(),
                    checkpoint.step
                );
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
        println!("loss    {pretrain:.3} on held-out pre-training text, {target:.3} on target text");
        Ok(base)
    }

    /// The held-out losses of a model, on pre-training and on target text.
    ///
    /// # Errors
    ///
    /// If a loss cannot be read from the device.
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
    fn new(mut tokens: Vec<u32>, context: usize) -> Result<Self> {
        let held_out = tokens.split_off(tokens.len() - tokens.len() / 20);
        let windows = |tokens, part: &str| Windows::new(tokens, context, part).map_err(Error::msg);
        Ok(Self {
            train: windows(tokens, "the part to train on")?,
            held_out: windows(held_out, "the held-out twentieth")?,
        })
    }

    /// So many batches of text that no model here was trained on, always the same.
    pub fn held_out_batches(&self, batches: usize, base: &Base) -> Vec<TokenBatch> {
        let device = base.device.clone().inner();
        (0..batches)
            .map(|index| {
                self.held_out
                    .even_batch(index, batches, base.batch, &device)
            })
            .collect()
    }
}

fn pre_train(mut model: Gpt, text: &Source, flags: &BaseFlags, device: &Device) -> Result<Gpt> {
    let steps = flags.pretrain_steps;
    let schedule = WarmupStableDecay {
        peak: PEAK_LEARNING_RATE,
        end: 0.0,
        warmup: steps / 10,
        decay: steps / 5,
        steps,
    };
    schedule.validate().map_err(Error::msg)?;
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
            println!("pre-training  step {step:>4} of {steps}  loss {loss:.3}");
        }
    }
    Ok(model)
}
