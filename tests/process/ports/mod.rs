//! Programs that follow thirteen of burn's examples. They make the table of docs/attaching.md; `REDRAW=1 cargo test
//! --workspace --test process burns_examples` writes it again.

macro_rules! probed {
    ($($line:tt)*) => { $($line)* };
}
mod programs;

macro_rules! probed {
    ($($line:tt)*) => {};
}
#[allow(unused)]
mod without {
    include!("programs.rs");
}

mod strategy;

use crate::hard::alone;
use burn::lr_scheduler::composed::ComposedLrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::noam::NoamLrSchedulerConfig;
use burn::train::metric::store::{Aggregate, Direction, Split};
use burn::train::{MetricEarlyStoppingStrategy, StoppingCondition};
use sharpness_tests::prelude::*;
use strategy::OneDevice;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/attaching.md");
const BEGIN: &str = "<!-- examples -->\n";
const END: &str = "<!-- end -->\n";
const HOW: &str = "`REDRAW=1 cargo test --workspace --test process burns_examples` writes it again";

/// `said.push(…)` stands for `println!("{}", probe.summary())`.
type Said = Vec<SharpnessSummary>;
type Outcome = Result<Weights, ConfigError>;

enum Manner {
    Plain,
    WithoutMetrics,
    OnDevices(Vec<Device>),
    StoppedEarly,
    Accumulated,
    ByStrategy(OneDevice),
}

fn device() -> Device {
    device::autodiff()
}

fn batches(device: &Device) -> Vec<Batch> {
    Data::new(8, 16, device).all()
}

fn random() -> Tensor<2> {
    Tensor::random([16, 2], Distribution::Normal(0.0, 1.0), &device())
}

fn adamw() -> ModuleOptimizer {
    let config = AdamWConfig::new().with_cautious_weight_decay(true);
    let clipping = GradientClippingConfig::Value(100.0);
    config.with_grad_clipping(Some(clipping)).init()
}

fn schedule() -> ModuleLrScheduler {
    let config = ComposedLrSchedulerConfig::new()
        .cosine(CosineAnnealingLrSchedulerConfig::new(1.0, 20))
        .linear(LinearLrSchedulerConfig::new(1e-8, 1.0, 10))
        .linear(LinearLrSchedulerConfig::new(1e-2, 1e-6, 100));
    config.init().unwrap()
}

fn stopping() -> MetricEarlyStoppingStrategy {
    MetricEarlyStoppingStrategy::new(
        &LossMetric::new(),
        Aggregate::Mean,
        Direction::Lowest,
        Split::Valid,
        StoppingCondition::NoImprovementSince { n_epochs: 5 },
    )
}

fn noam() -> ModuleLrScheduler {
    let config = NoamLrSchedulerConfig::new(0.1).with_warmup_steps(4);
    config.with_model_size(16).init().unwrap()
}

fn soft_update(mut target: Mlp, policy: &Mlp, part: f64) -> Mlp {
    fn moved<const D: usize>(from: &mut Param<Tensor<D>>, to: &Param<Tensor<D>>, part: f64) {
        let values = (from.val() * (1.0 - part) + to.val() * part).detach();
        *from = Param::initialized(ParamId::new(), values);
    }
    for (target, policy) in target.layers.iter_mut().zip(&policy.layers) {
        moved(&mut target.weight, &policy.weight, part);
        if let (Some(target), Some(policy)) = (&mut target.bias, &policy.bias) {
            moved(target, policy, part);
        }
    }
    target
}

fn mlp() -> MlpConfig {
    MlpConfig::for_data()
}

fn tokens() -> Zoo {
    Network::Tokens.kind().init(1, &device())
}

fn adapted() -> Mlp {
    let mut model = mlp().init(&device()).apply_lora(Lora::new(2, 4.0));
    model.layers[1] = LinearConfig::new(12, Data::CLASSES).init(&device());
    model
}

struct Shape {
    name: &'static str,
    example: &'static str,
    program: &'static str,
    with: fn(&Path, &mut Said) -> Outcome,
    without: fn(&Path, &mut Said) -> Outcome,
}

macro_rules! shape {
    ($name:literal, $example:literal, $program:ident($($part:expr),*)) => {
        Shape {
            name: $name,
            example: $example,
            program: stringify!($program),
            with: |dir, said| programs::$program($($part,)* dir, said),
            without: |dir, said| without::$program($($part,)* dir, said),
        }
    };
}

#[rustfmt::skip]
fn shapes() -> [Shape; 13] {
    use Manner::{Accumulated, ByStrategy, OnDevices, Plain, StoppedEarly, WithoutMetrics};
    [
        shape!("classification, dropout", "guide",
            supervised(Plain, mlp().with_dropout(0.5).init(&device()), adam(), 1e-2)),
        shape!("schedule, early stopping, evaluation", "mnist",
            supervised(StoppedEarly, mlp().with_batch_norm().with_dropout(0.5).init(&device()), adamw(), schedule())),
        shape!("convolution, batch norm", "custom-image-dataset",
            supervised(Plain, Network::Convolution.kind().init(1, &device()), SgdConfig::new().init(), 2e-2)),
        shape!("regression", "simple-regression",
            supervised(Plain, Network::Relu.with(Objective::Squared).init(1, &device()), adam(), 1e-3)),
        shape!("a renderer, no metrics", "custom-renderer",
            supervised(WithoutMetrics, mlp().with_dropout(0.5).init(&device()), adam(), 1e-2)),
        shape!("a learning strategy", "custom-learning-strategy",
            supervised(ByStrategy(OneDevice(device())), mlp().init(&device()), adam(), 1e-2)),
        shape!("several devices, warmup", "text-classification",
            supervised(OnDevices(device::two().to_vec()), tokens(), adam(), noam())),
        shape!("LoRA, a new output layer", "text-classification (finetune)",
            supervised(Plain, adapted(), adam(), 1e-3)),
        shape!("accumulated gradients, warmup", "text-generation",
            supervised(Accumulated, tokens(), adam(), noam())),
        shape!("a loop, dropout", "custom-training-loop",
            own_loop(mlp().with_dropout(0.5).init(&device()), task_loss)),
        shape!("a loop, recurrent", "modern-lstm",
            own_loop(Network::Recurrent.with(Objective::Squared).init(1, &device()),
                |model: &Zoo, batch: Batch| model.loss(&Sample::of(&batch)))),
        shape!("a generator, a clipped critic", "wgan", adversarial()),
        shape!("Q-learning, a target network", "dqn-agent", q_learning()),
    ]
}

impl Shape {
    fn row(&self) -> String {
        let Self { name, example, .. } = self;
        let run = |program: fn(&Path, &mut Said) -> Outcome| {
            let (folder, mut said) = (tempfile::tempdir().unwrap(), Said::new());
            device::plain().seed(7);
            (program(folder.path(), &mut said).unwrap(), said)
        };
        let (trained, said) = run(self.with);
        let (bare, silence) = run(self.without);
        assert!(silence.is_empty() && !bare.is_empty());
        assert!(trained == bare, "{example}: other weights");
        for summary in &said {
            assert!(summary.notices.is_empty(), "{example}: {summary}");
            assert!(summary.measurements > 1, "{example}: {summary}");
        }
        let (lines, measured) = (lines_of(self.program), measured(&said));
        format!("| {name} | `{example}` | {lines} | the same | {measured} | none |\n")
    }
}

fn measured(said: &Said) -> String {
    let ends = said.iter().map(|summary| {
        let most = summary.no_number.iter().max_by_key(|of| of.count);
        match most.filter(|_| summary.bracketed == 0) {
            Some(of) => format!("`{}`", of.outcome.name()),
            None => "a bracket".to_string(),
        }
    });
    ends.collect::<Vec<_>>().join("; ")
}

fn lines_of(program: &str) -> usize {
    let source = include_str!("programs.rs");
    let (_, from) = source.split_once(&format!("pub fn {program}")).unwrap();
    let (body, _) = from.split_once("\n}\n").unwrap();
    let blocks = body.split("probed! {\n").skip(1).map(|rest| {
        let indent = rest.len() - rest.trim_start().len() - 4;
        let end = format!("\n{}}}\n", " ".repeat(indent));
        rest.split_once(&end).unwrap().0.lines().count()
    });
    blocks.sum()
}

fn all() {
    let head = "| shape | burn's example | lines | weights | measured | notices |\n|---|---|---|---|---|---|\n";
    let rows = shapes().map(|shape| shape.row()).concat();
    let table = format!("{head}{rows}");
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("REDRAW").is_some() {
        std::fs::write(PAGE, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(found, table, "docs/attaching.md: {HOW}");
    }
}

alone! {
    burns_examples => all();
}
