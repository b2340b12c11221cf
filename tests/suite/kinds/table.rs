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
        ("binary", N::Binary.kind()),
        ("four bits", N::FourBits.kind()),
        ("logit scale", N::LogitScale.kind()),
        ("triplet", plain(O::Triplet)),
        ("distilled", plain(O::Distilled)),
        ("trimmed", plain(O::Trimmed)),
        ("dice", plain(O::Dice)),
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
    let kinds = kinds().into_iter();
    let mut rows: Vec<Row> = kinds
        .map(|(name, kind)| row(name, kind, &|_| {}, usual(kind)))
        .collect();
    let squared = Network::Plain.with(Objective::Squared);
    let case = |of: Optimizer| Case::new(&format!("optimizer {}", of.name), squared, of);
    rows.push(Row {
        name: "optimizers".to_string(),
        cases: others().into_iter().map(case).collect(),
    });
    rows.extend(loops());
    rows.extend(small_losses());
    rows.extend(special());
    rows
}

type Change<'a> = &'a dyn Fn(&mut Case);

fn row<const N: usize>(name: &str, kind: Kind, change: Change<'_>, of: [Optimizer; N]) -> Row {
    let cases = of.map(|optimizer| (optimizer, change));
    row_of(name, kind, &cases)
}

fn row_of(name: &str, kind: Kind, cases: &[(Optimizer, Change<'_>)]) -> Row {
    let case = |(optimizer, change): &(Optimizer, Change<'_>)| {
        let name = format!("{name} / {}", optimizer.name);
        Case::new(&name, kind, optimizer.clone()).with(change)
    };
    Row {
        name: name.to_string(),
        cases: cases.iter().map(case).collect(),
    }
}

fn loops() -> Vec<Row> {
    let both = |name: &str, rate: f64, change: Change<'_>| {
        let plain = Network::Plain.kind();
        row(name, plain, change, [sgd(rate), adam(5e-3)])
    };
    let tweak = |name: &str, rate: f64, tweak: Tweak| both(name, rate, &|case| case.tweak = tweak);
    vec![
        tweak("scaled", 1e-4, Tweak::Scaled),
        tweak("scaled, unscaled", 0.1, Tweak::Unscaled),
        tweak("norm clipped by hand", 0.5, Tweak::ClippedNorm(0.1)),
        tweak("values clipped by hand", 0.5, Tweak::ClippedValues(0.005)),
        tweak("noise", 0.1, Tweak::Noise(0.05)),
        both("nan gradient", 0.1, &|case| {
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
        both("warmup from 0", 0.05, &|case| {
            case.schedule = |step| step.saturating_sub(4).min(60) as f64 / 60.0;
        }),
        both("rate x100", 0.01, &|case| {
            case.schedule = |step| if (40..80).contains(&step) { 100.0 } else { 1.0 };
        }),
        both("rate 1e-9", 1e-9, &|case| case.schedule = |_| 1e-4),
        both("batch sizes", 0.05, &|case| {
            case.size = |batch| [1, 64, 7, 33, 2][batch as usize % 5];
            case.batches = 60;
        }),
        both("batch of one", 0.02, &|case| {
            case.size = |_| 1;
            case.batches = 60;
        }),
    ]
}

fn small_losses() -> Vec<Row> {
    let late = |case: &mut Case, steps: u64, every: u64, late: u64| {
        (case.steps, case.every, case.late) = (steps, every, late);
    };
    let long = |steps: u64, batches: u64| {
        move |case: &mut Case| {
            late(case, steps, 20, 600);
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
        late(case, 900, 3, 300);
        case.batches = 16;
    };
    let falling = |case: &mut Case| late(case, 600, 4, 300);
    let crossing = |case: &mut Case| {
        late(case, 800, 4, 300);
        case.tweak = Tweak::Offset(-0.5);
        case.batches = 4;
    };
    let (plain, pictures) = (Network::Plain.kind(), Network::Convolution.kind());
    let squared = Network::Plain.with(Objective::Squared);
    let density = Network::Plain.with(Objective::LogDensity);
    let of_squared: [(Optimizer, Change<'_>); 3] = [
        (adam(1e-2), &decayed),
        (momentum(0.05), &long(4000, 1)),
        (sgd(0.3), &long(6000, 1)),
    ];
    let of_plain: [(Optimizer, Change<'_>); 2] = [
        (adam(1e-2), &long(2000, 2)),
        (momentum(0.1), &long(4000, 2)),
    ];
    vec![
        row_of("interpolating squared", squared, &of_squared),
        row_of("interpolating cross entropy", plain, &of_plain),
        row("interpolating, 64 bits", squared, &double, [adam(1e-2)]),
        row("overfit", pictures, &overfit, [adamw(3e-3), sgd(0.2)]),
        row("log density, long", density, &falling, [adam(5e-3)]),
        row("loss through 0", plain, &crossing, [sgd(0.1), adam(1e-3)]),
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
    let [head, critic] = ["head", "critic"].map(ParamGroup::from_predicate);
    let all_but = |group: &ParamGroup| ParamGroup::all().exclude(group.clone());
    let two = |case: &mut Case| {
        case.parts[0].owns = all_but(&head);
        case.parts.push(Part::new(sgd(0.1), head.clone()));
    };
    let game = |case: &mut Case| {
        case.parts[0].owns = critic.clone();
        case.parts.push(Part::new(adam(1e-3), all_but(&critic)));
        (case.steps, case.every) = (300, 2);
    };
    let of_critic = |case: &mut Case| case.parts[0].owns = critic.clone();
    let game_of_two = Network::Plain.with(Objective::Adversarial);
    let squared = Network::Plain.with(Objective::Squared);
    let of_adafactor: [(Optimizer, Change<'_>); 4] = [
        (adafactor(5e-3, true), &learner),
        (adafactor(5e-3, false), &learner),
        (adafactor(5e-3, true), &|case| {
            case.tweak = Tweak::StillGroup
        }),
        (adafactor(5e-3, true), &|case| {
            case.kind.network = Network::Half(BF16)
        }),
    ];
    vec![
        row_of("adafactor", squared, &of_adafactor),
        Row {
            name: "learner".to_string(),
            cases: learners()
                .map(|(name, kind)| {
                    let name = format!("learner, {name}");
                    Case::new(&name, kind, adam(5e-3)).with(learner)
                })
                .into(),
        },
        row("critic", game_of_two, &of_critic, [adam(1e-2), sgd(0.05)]),
        row("two optimizers", plain, &two, [adam(5e-3)]),
        row("game", game_of_two, &game, [adam(2e-3)]),
        row("tasks", plain, &tasks, [sgd(0.1), adam(5e-3)]),
    ]
}
