use crate::settings::{RunConfig, Settings};
use anyhow::{Result, bail, ensure};
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::tensor::Device;
use burn::train::metric::{LearningRateMetric, LossMetric};
use burn::train::renderer::MetricsRenderer;
use burn::train::renderer::tui::TuiMetricsRendererWrapper;
use burn::train::{Learner, SupervisedTraining};
use burn_sharpness::{
    LearningRateFinder, LearningRateRange, SharpnessMetrics, SharpnessProbe, SharpnessSummary,
};
use gpt::loader::collect;
use gpt::metrics::MetricFiles;
use gpt::model::{Gpt, GptConfig};
use gpt::optimizer::adamw;
use gpt::progress::PlainProgress;
use gpt::run::{Checkpoint, RunFolder};
use gpt::say;
use gpt::stop::Stop;
use gpt::terminal::can_draw;
use gpt::tokenizer::Tokenizer;
use gpt::tokens::{TrainBatches, Windows, valid_loader};
use std::path::Path;

const VALID_BATCHES: usize = 8;

/// One batch for each step of the finder's trial.
const FINDER_BATCHES: u64 = 108;

pub fn find_learning_rate(
    settings: &Settings,
    model: &GptConfig,
    train: Windows,
    device: &Device,
) -> Result<LearningRateRange> {
    let device = device.clone().autodiff();
    device.seed(settings.seed);
    // The loss of an update is the mean over its batches, as for one large batch.
    let batches = TrainBatches::new(
        train,
        settings.batch * settings.accumulate,
        1,
        FINDER_BATCHES,
        FINDER_BATCHES,
        settings.seed,
        0,
    );
    let batches = collect(&batches.loader(), &device)?;
    let finder = LearningRateFinder::new().with_search(settings.probe());
    let optim = adamw(settings.weight_decay);
    let range = finder.find(&model.init(&device), &optim, &batches, |model, batch| {
        model.loss(batch.clone())
    });
    Ok(range?)
}

pub struct Ending {
    pub summary: SharpnessSummary,
    step: u64,
    loss: Option<f64>,
    failure: Option<String>,
}

impl Ending {
    /// Fails if the training broke off, or if its loss is not finite or far above a guess.
    pub fn verdict(&self, config: &RunConfig, folder: &RunFolder) -> Result<()> {
        let (step, steps) = (self.step, config.settings.steps);
        if let Some(failure) = &self.failure {
            bail!("the training broke off before step {step} of {steps}: {failure}");
        }
        let guess = (config.model.vocab as f64).ln();
        // A NaN is not below anything.
        ensure!(
            self.loss.is_none_or(|loss| loss < 2.0 * guess),
            "the training failed: before step {step} of {steps} the validation loss is {:.1}, against {guess:.1} for a guess; choose a lower --lr, or a longer --warmup",
            self.loss.unwrap_or(f64::NAN)
        );
        if step < steps {
            let folder = folder.path().display();
            say!("stopped             before step {step} of {steps}: --resume {folder} goes on");
        }
        Ok(())
    }
}

/// Writes the first weights and all kept checkpoints, and returns their steps.
pub fn export(
    settings: &Settings,
    model: &GptConfig,
    tokenizer: &Tokenizer,
    run: &RunFolder,
    device: &Device,
    to: &Path,
) -> Result<Vec<u64>> {
    let write = |gpt: &Gpt, step: u64| {
        gpt::export::export(gpt, model, tokenizer, &to.join(format!("step-{step}")))
    };
    let first = first_model(settings, model, &device.clone().autodiff());
    write(&first, 0)?;
    let mut steps = vec![0];
    for checkpoint in run.checkpoints() {
        let record = run.load_weights(checkpoint)?;
        write(&first.clone().try_load_record(record)?, checkpoint.step)?;
        steps.push(checkpoint.step);
    }
    steps.sort_unstable();
    Ok(steps)
}

fn first_model(settings: &Settings, model: &GptConfig, device: &Device) -> Gpt {
    device.seed(settings.seed);
    model.init(device)
}

/// Without `keep_checkpoints`, keeps only the last few.
pub fn train(
    settings: &Settings,
    model: &GptConfig,
    [train, valid]: [Windows; 2],
    device: &Device,
    folder: &RunFolder,
    checkpoint: Option<Checkpoint>,
    keep_checkpoints: bool,
) -> Result<Ending> {
    let mut stop = Stop::new().with_signals()?;
    stop.keeps_all = keep_checkpoints;
    let probe = SharpnessProbe::new(settings.probe().with_directory(folder.path()))?;
    let device = device.clone().autodiff();
    let model = first_model(settings, model, &device);
    let optim = adamw(settings.weight_decay);
    let scheduler = ModuleLrScheduler::new(settings.schedule().scheduler());

    let first_step = checkpoint.map_or(0, |checkpoint| checkpoint.step);
    let first_epoch = checkpoint.map_or(0, |checkpoint| checkpoint.epoch);
    let epochs = (settings.steps - first_step).div_ceil(settings.epoch_steps());
    let train = TrainBatches::new(
        train,
        settings.batch,
        settings.accumulate,
        settings.epoch_steps(),
        settings.steps,
        settings.seed,
        first_step,
    );
    let train = train.with_stop(stop.clone());
    let valid = valid_loader(valid, settings.batch, VALID_BATCHES);

    let failed = stop.clone();
    let metrics = MetricFiles::new(folder.path(), move |why| failed.fail(why));
    let mut training = SupervisedTraining::new(folder.path(), train.loader(), valid)
        .with_metric_logger(metrics)
        .metric_train_numeric(LossMetric::new())
        .metric_valid_numeric(LossMetric::new())
        .metric_train_numeric(LearningRateMetric::new())
        .metrics_sharpness(&probe)
        .with_default_checkpointers()
        .with_checkpointing_strategy(stop.clone())
        .early_stopping(stop.clone())
        .grads_accumulation(settings.accumulate)
        .num_epochs(first_epoch + epochs as usize);
    if let Some(checkpoint) = checkpoint {
        training = training.checkpoint(checkpoint.epoch);
    }
    let renderer: Box<dyn MetricsRenderer> = match can_draw() {
        true => probe.dashboard(Box::new(TuiMetricsRendererWrapper::new(
            stop.wish(),
            checkpoint.map(|checkpoint| checkpoint.epoch),
        ))),
        false => Box::new(PlainProgress::default()),
    };
    let training = training.renderer(renderer);
    let result = training.launch(Learner::new(probe.attach(model), optim, scheduler));
    // The dashboard leaves the screen when it is dropped.
    drop(result.renderer);
    Ok(Ending {
        summary: probe.summary(),
        step: train.next_step(),
        loss: stop.last_loss(),
        failure: stop.failure().or_else(|| Some(result.error?.to_string())),
    })
}
