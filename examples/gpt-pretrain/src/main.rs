//! Pre-trains a small GPT on real text, with critical sharpness in burn's dashboard.
//!
//! ```sh
//! cargo run -p gpt-pretrain
//! ```

mod settings;
mod training;

use anyhow::{Context, Error, Result, ensure};
use burn::tensor::Device;
use clap::{CommandFactory, FromArgMatches, Parser};
use gpt::model::GptConfig;
use gpt::run::{RunFolder, exit_code, write_result};
use gpt::say;
use gpt::text::Text;
use gpt::tokenizer::Tokenizer;
use gpt::tokens::Windows;
use settings::{RunConfig, Settings, TokenKind};
use sharpness_report::{Run, report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const REPORT: &str = "report.html";

/// Pre-train a small GPT on real text, with critical sharpness in burn's dashboard.
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(flatten)]
    settings: Settings,

    /// Folder of the run: configuration, metrics, measurements, checkpoints [default: the first free runs/gpt-pretrain-N]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Resume the run in this folder, or in --out, from its newest checkpoint
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,

    /// Keep all checkpoints, and write the first weights and each checkpoint in GPT-2's published layout, to
    /// folders in this folder; a finished run is only exported
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,

    /// Train nothing: measure how large a learning rate this model can begin with, and how large it can become
    #[arg(long, conflicts_with_all = ["resume", "out", "export"])]
    find_lr: bool,
}

fn main() -> ExitCode {
    exit_code(run())
}

fn run() -> Result<()> {
    let matches = Flags::command().get_matches();
    let flags = Flags::from_arg_matches(&matches)?;
    let settings = flags.settings.checked(&matches, flags.find_lr)?;
    if flags.find_lr {
        return find_learning_rate(&settings);
    }

    let (folder, saved, settings) = match &flags.resume {
        None => {
            let folder = RunFolder::for_new_run(flags.out.as_deref(), "gpt-pretrain")?;
            (folder, None, settings)
        }
        Some(resume) => {
            let folder = resume.as_ref().xor(flags.out.as_ref());
            let folder =
                folder.context("--resume needs the folder of a run, as its value or in --out")?;
            let folder = RunFolder::to_resume(folder)?;
            let saved: RunConfig = folder.load_config()?;
            let settings = settings.resumed(&saved.settings, &matches)?;
            (folder, Some(saved), settings)
        }
    };
    settings.validate()?;
    let device = gpt::device::open(&settings.device)?;
    let checkpoint = saved.as_ref().map(|_| folder.newest_checkpoint());
    let checkpoint = checkpoint.transpose()?;
    let is_over = checkpoint.is_some_and(|checkpoint| checkpoint.step >= settings.steps);
    if let Some(checkpoint) = checkpoint {
        ensure!(
            !is_over || flags.export.is_some(),
            "the run in {} has made {} steps already: give more --steps to go on, or --export its checkpoints",
            folder.path().display(),
            checkpoint.step
        );
    }

    let text = read_text(&settings)?;
    let tokenizer = match (settings.tokens, &saved) {
        (TokenKind::Bpe, Some(_)) => Tokenizer::load(&folder.tokenizer())?,
        _ => new_tokenizer(&settings, &text)?,
    };
    let config = RunConfig {
        model: settings.model(tokenizer.vocab()),
        settings,
        text: text.source.clone(),
        text_digest: text.digest(),
    };
    if let Some(saved) = &saved {
        ensure!(
            saved.text_digest == config.text_digest,
            "the text has changed since the run began (digest {}, then {}): resume with the same --data",
            config.text_digest,
            saved.text_digest
        );
        ensure!(
            saved.model.vocab == config.model.vocab,
            "the tokenizer {} has {} tokens, but the run's model {}: the vocabularies do not match",
            folder.tokenizer().display(),
            config.model.vocab,
            saved.model.vocab
        );
    }
    if let Some(to) = &flags.export
        && is_over
    {
        return export(&config, &tokenizer, &device, &folder, to);
    }
    let windows = windows(&text, &tokenizer, &config.model)?;

    folder.save_config(&config)?;
    tokenizer.save(&folder.tokenizer())?;
    say!("run     {}", folder.path().display());
    if let Some(checkpoint) = checkpoint {
        say!("resume  at step {}", checkpoint.step);
    }

    let ending = training::train(
        &config.settings,
        &config.model,
        windows,
        &device,
        &folder,
        checkpoint,
        flags.export.is_some(),
    )?;
    say!("\n{}", ending.summary);
    write_report(&folder);
    say!("run                 {}", folder.path().display());
    let exported = match &flags.export {
        Some(to) => export(&config, &tokenizer, &device, &folder, to),
        None => Ok(()),
    };
    ending.verdict(&config, &folder)?;
    exported
}

fn export(
    config: &RunConfig,
    tokenizer: &Tokenizer,
    device: &Device,
    run: &RunFolder,
    to: &Path,
) -> Result<()> {
    let (settings, model) = (&config.settings, &config.model);
    for step in training::export(settings, model, tokenizer, run, device, to)? {
        let folder = to.join(format!("step-{step}"));
        say!("export              {}", folder.display());
    }
    Ok(())
}

/// A training without a report still counts as done.
fn write_report(folder: &RunFolder) {
    let path = folder.path().join(REPORT);
    let made = Run::open(folder.path()).map_err(Error::from);
    match made.and_then(|run| write_result(folder.path(), REPORT, report::html(&[run]))) {
        Ok(()) => say!("report              {}", path.display()),
        Err(error) => gpt::warn!("note: there is no report: {error:#}"),
    }
}

fn read_text(settings: &Settings) -> Result<Text> {
    let text = settings.text()?;
    say!("text    {text}");
    Ok(text)
}

fn new_tokenizer(settings: &Settings, text: &Text) -> Result<Tokenizer> {
    match settings.tokens {
        TokenKind::Bytes => Ok(Tokenizer::Bytes),
        TokenKind::Bpe => Tokenizer::train(&text.content, settings.vocab),
    }
}

fn windows(text: &Text, tokenizer: &Tokenizer, model: &GptConfig) -> Result<[Windows; 2]> {
    let tokens = tokenizer.encode(&text.content)?;
    let windows = Windows::split(tokens, model.context, "the text")?;
    let ([train, valid], kinds) = (windows.each_ref().map(Windows::tokens), model.vocab);
    say!("tokens  {train} to train on and {valid} to validate, of {kinds} kinds");
    Ok(windows)
}

fn find_learning_rate(settings: &Settings) -> Result<()> {
    settings.validate()?;
    let device = gpt::device::open(&settings.device)?;
    let text = read_text(settings)?;
    let tokenizer = new_tokenizer(settings, &text)?;
    let model = settings.model(tokenizer.vocab());
    let [train, _] = windows(&text, &tokenizer, &model)?;
    let range = training::find_learning_rate(settings, &model, train, &device)?;
    say!("\n{range}");
    Ok(())
}
