use super::case::{Case, Part, Tweak};
use super::optimizers::{
    Optimizer, adafactor, adam, adam_of_16_bits, adamw, momentum, others, sgd,
};
use burn::tensor::FloatDType::{BF16, F16};
use sharpness_tests::prelude::*;

pub struct Row {
    pub name: String,
    pub cases: Vec<Case>,
}

/// Each is trained by gradient descent, with momentum, and by Adam.
fn kinds() -> Vec<(&'static str, Kind)> {
    use Network as N;
    use Objective as O;
    let plain = |objective| N::Plain.with(objective);
    vec![
        ("plain", N::Plain.kind()),
        ("relu", N::Relu.kind()),
        ("zero head", N::ZeroHead.kind()),
        ("dropout", N::Dropout.kind()),
        ("batch norm", N::BatchNorm.kind()),
        ("group norm", N::GroupNorm.kind()),
        ("zero residual", N::ZeroResidual.kind()),
        ("stochastic depth", N::StochasticDepth.kind()),
        ("layer scale 1e-2", N::LayerScale(1e-2).kind()),
        ("layer scale 1e-6", N::LayerScale(1e-6).kind()),
        ("weight norm", N::WeightNorm.kind()),
        ("spectral norm", N::SpectralNorm.kind()),
        ("tied", N::Tied.kind()),
        ("odd parameters", N::OddParameters.kind()),
        ("recurrent", N::Recurrent.kind()),
        ("rare tokens", N::Tokens.kind()),
        ("quantized 1/8", N::Quantized(Some(0.125)).kind()),
        ("quantized 1/64", N::Quantized(Some(1.0 / 64.0)).kind()),
        ("quantized, 8 bits", N::Quantized(None).kind()),
        ("mixture", N::Mixture { balanced: false }.kind()),
        ("mixture, balanced", N::Mixture { balanced: true }.kind()),
        ("code book", N::CodeBook.with(O::Squared)),
        ("mixed bf16", N::Mixed(BF16).kind()),
        ("mixed f16", N::Mixed(F16).kind()),
        ("bf16 head", N::HalfHead(BF16).kind()),
        ("f16 head", N::HalfHead(F16).kind()),
        ("bf16", N::Half(BF16).kind()),
        ("f16", N::Half(F16).kind()),
        ("bf16 loss", N::HalfLoss(BF16).kind()),
        ("f16 loss", N::HalfLoss(F16).kind()),
        ("squared", plain(O::Squared)),
        ("one-hot squared", plain(O::OneHot)),
        ("smooth labels", plain(O::SmoothLabels)),
        ("examples", plain(O::Examples)),
        ("huge", plain(O::Huge)),
        ("huber", plain(O::Huber)),
        ("quantile", plain(O::Quantile)),
        ("clamped", plain(O::Clamped)),
        ("relu, L1", N::Relu.with(O::Sparse)),
        ("hidden penalty", plain(O::HiddenPenalty)),
        ("contrastive", plain(O::Contrastive)),
        ("log density", plain(O::LogDensity)),
        ("ppo", plain(O::Clipped)),
        ("advantage", plain(O::Advantage)),
        ("brier", plain(O::Brier)),
        ("hinge", plain(O::Hinge)),
        ("relu hinge", N::Relu.with(O::Hinge)),
        ("worst example", plain(O::Worst)),
        ("bootstrapped", plain(O::Bootstrapped)),
        ("poisson", plain(O::Poisson)),
        ("barrier", plain(O::Barrier)),
        ("ripples", plain(O::Ripples)),
    ]
}

fn usual(kind: Kind) -> [Optimizer; 3] {
    let factor = match kind.objective {
        Objective::Huge => 1e-6,
        Objective::Poisson | Objective::LogDensity => 0.1,
        _ => 1.0,
    };
    let adam = match kind.network {
        Network::Half(_) | Network::HalfLoss(_) => adam_of_16_bits(5e-3),
        _ => adam(5e-3),
    };
    [sgd(0.05 * factor), momentum(0.02 * factor), adam]
}

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = kinds()
        .into_iter()
        .map(|(name, kind)| Row {
            name: name.to_string(),
            cases: usual(kind)
                .map(|optimizer| {
                    let name = format!("{name} / {}", optimizer.name);
                    Case::new(&name, kind, optimizer)
                })
                .into(),
        })
        .collect();
    let squared = Network::Plain.with(Objective::Squared);
    rows.push(Row {
        name: "optimizers".to_string(),
        cases: others()
            .into_iter()
            .map(|optimizer| {
                Case::new(&format!("optimizer {}", optimizer.name), squared, optimizer)
            })
            .collect(),
    });
    rows.extend(loops());
    rows.extend(small_losses());
    rows.extend(special());
    rows
}

type Change<'a> = &'a dyn Fn(&mut Case);

fn row(name: &str, kind: Kind, cases: Vec<(Optimizer, Change<'_>)>) -> Row {
    Row {
        name: name.to_string(),
        cases: cases
            .into_iter()
            .map(|(optimizer, change)| {
                let name = format!("{name} / {}", optimizer.name);
                Case::new(&name, kind, optimizer).with(change)
            })
            .collect(),
    }
}

fn loops() -> Vec<Row> {
    let plain = Network::Plain.kind();
    let both = |name: &str, rate: f64, change: fn(&mut Case)| {
        row(
            name,
            plain,
            vec![(sgd(rate), &change), (adam(5e-3), &change)],
        )
    };
    let tweak = |name: &str, rate: f64, tweak: Tweak| {
        let change = move |case: &mut Case| case.tweak = tweak;
        row(
            name,
            plain,
            vec![(sgd(rate), &change), (adam(5e-3), &change)],
        )
    };
    vec![
        tweak("scaled", 1e-4, Tweak::Scaled),
        tweak("scaled, unscaled", 0.1, Tweak::Unscaled),
        tweak("norm clipped by hand", 0.5, Tweak::ClippedNorm(0.1)),
        tweak("values clipped by hand", 0.5, Tweak::ClippedValues(0.005)),
        tweak("noise", 0.1, Tweak::Noise(0.05)),
        both("nan gradient", 0.1, |case| {
            case.tweak = Tweak::NanAt(2);
            case.steps = 6;
        }),
        tweak("accumulation", 0.05, Tweak::Accumulated),
        tweak("offset 1e4", 0.05, Tweak::Offset(1e4)),
        tweak("offset to 0", 0.05, Tweak::Offset(-1.0)),
        tweak("second loss 1e-6", 0.05, Tweak::Second(1e-6)),
        tweak("second loss -1e-4", 0.05, Tweak::Second(-1e-4)),
        tweak("second loss 0", 0.05, Tweak::Second(0.0)),
        tweak("average of weights", 0.05, Tweak::Averaged),
        tweak("frozen", 0.05, Tweak::Frozen),
        tweak("group at rate 0", 0.05, Tweak::StillGroup),
        tweak("64 bits", 0.1, Tweak::Double),
        both("warmup from 0", 0.05, |case| {
            case.schedule = |step| step.saturating_sub(4).min(60) as f64 / 60.0;
        }),
        both("rate x100", 0.01, |case| {
            case.schedule = |step| if (40..80).contains(&step) { 100.0 } else { 1.0 };
        }),
        both("rate 1e-9", 1e-9, |case| case.schedule = |_| 1e-4),
        both("batch sizes", 0.05, |case| {
            case.size = |batch| [1, 64, 7, 33, 2][batch as usize % 5];
            case.batches = 60;
        }),
        both("batch of one", 0.02, |case| {
            case.size = |_| 1;
            case.batches = 60;
        }),
    ]
}

fn small_losses() -> Vec<Row> {
    let long = |steps: u64, batches: u64| {
        move |case: &mut Case| {
            case.steps = steps;
            case.every = 20;
            case.late = 600;
            case.batches = batches;
            case.size = |_| 8;
        }
    };
    let decayed = |case: &mut Case| {
        long(4000, 1)(case);
        case.schedule = |step| if step < 2500 { 1.0 } else { 0.1 };
    };
    let double = |case: &mut Case| {
        long(2000, 1)(case);
        case.tweak = Tweak::Double;
    };
    let overfit = |case: &mut Case| {
        case.steps = 900;
        case.every = 3;
        case.late = 300;
        case.batches = 16;
    };
    let falling = |case: &mut Case| {
        case.steps = 600;
        case.every = 4;
        case.late = 300;
    };
    let crossing = |case: &mut Case| {
        case.tweak = Tweak::Offset(-0.5);
        case.batches = 4;
        case.steps = 800;
        case.every = 4;
        case.late = 300;
    };
    let squared = Network::Plain.with(Objective::Squared);
    let plain = Network::Plain.kind();
    vec![
        row(
            "interpolating squared",
            squared,
            vec![
                (adam(1e-2), &decayed),
                (momentum(0.05), &long(4000, 1)),
                (sgd(0.3), &long(6000, 1)),
            ],
        ),
        row(
            "interpolating cross entropy",
            plain,
            vec![
                (adam(1e-2), &long(2000, 2)),
                (momentum(0.1), &long(4000, 2)),
            ],
        ),
        row(
            "interpolating, 64 bits",
            squared,
            vec![(adam(1e-2), &double)],
        ),
        row(
            "overfit",
            Network::Convolution.kind(),
            vec![(adamw(3e-3), &overfit), (sgd(0.2), &overfit)],
        ),
        row(
            "log density, long",
            Network::Plain.with(Objective::LogDensity),
            vec![(adam(5e-3), &falling)],
        ),
        row(
            "loss through 0",
            plain,
            vec![(sgd(0.1), &crossing), (adam(1e-3), &crossing)],
        ),
    ]
}

fn learners() -> [(&'static str, Kind); 7] {
    let plain = |objective| Network::Plain.with(objective);
    [
        ("plain", Network::Plain.kind()),
        ("stochastic depth", Network::StochasticDepth.kind()),
        ("mixture", Network::Mixture { balanced: true }.kind()),
        ("mixed bf16", Network::Mixed(BF16).kind()),
        ("hidden penalty", plain(Objective::HiddenPenalty)),
        ("log density", plain(Objective::LogDensity)),
        ("contrastive", plain(Objective::Contrastive)),
    ]
}

fn special() -> Vec<Row> {
    let plain = Network::Plain.kind();
    let tasks = |case: &mut Case| {
        case.has_tasks = true;
        case.steps = 96;
    };
    let learner = |case: &mut Case| {
        case.has_learner = true;
        case.steps = 40;
        case.batches = 40;
    };
    let is_head: fn(&str) -> bool = |path| path.starts_with("head");
    let is_body: fn(&str) -> bool = |path| !path.starts_with("head");
    let two = |case: &mut Case| {
        case.parts[0].owns = is_body;
        case.parts.push(Part {
            optimizer: sgd(0.1),
            owns: is_head,
        });
    };
    let is_critic: fn(&str) -> bool = |path| path.starts_with("critic");
    let is_generator: fn(&str) -> bool = |path| !path.starts_with("critic");
    let game = |case: &mut Case| {
        case.parts[0].owns = is_critic;
        case.parts.push(Part {
            optimizer: adam(1e-3),
            owns: is_generator,
        });
        case.steps = 300;
        case.every = 2;
    };
    let critic = |case: &mut Case| case.parts[0].owns = is_critic;
    let game_of_two = Network::Plain.with(Objective::Adversarial);
    let squared = Network::Plain.with(Objective::Squared);
    vec![
        row(
            "adafactor",
            squared,
            vec![
                (adafactor(5e-3, true), &learner),
                (adafactor(5e-3, false), &learner),
                (adafactor(5e-3, true), &|case| {
                    case.tweak = Tweak::StillGroup
                }),
                (adafactor(5e-3, true), &|case| {
                    case.kind.network = Network::Half(BF16)
                }),
            ],
        ),
        Row {
            name: "learner".to_string(),
            cases: learners()
                .map(|(name, kind)| {
                    let name = format!("learner, {name}");
                    Case::new(&name, kind, adam(5e-3)).with(learner)
                })
                .into(),
        },
        row(
            "critic",
            game_of_two,
            vec![(adam(1e-2), &critic), (sgd(0.05), &critic)],
        ),
        row("two optimizers", plain, vec![(adam(5e-3), &two)]),
        row("game", game_of_two, vec![(adam(2e-3), &game)]),
        row(
            "tasks",
            plain,
            vec![(sgd(0.1), &tasks), (adam(5e-3), &tasks)],
        ),
    ]
}
