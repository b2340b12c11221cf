//! Optimizers that refuse a large learning rate, or whose step is not linear in it: η_c belongs to the optimizer's own
//! steps, whoever makes them.

mod optimizers;

use burn::lr_scheduler::constant::ConstantLr;
use optimizers::{Limit, Limited};
use sharpness_tests::prelude::*;

const BATCHES: usize = 7;
const FACTOR: f64 = 1.06;
const FROM: f64 = 1e-3;
const TO: f64 = 3e2;

/// Its loss is steep enough to rise below the caps.
fn network() -> Mlp {
    let layers = vec![Data::FEATURES, 32, 32, Data::CLASSES];
    MlpConfig::new(layers, LossKind::Mse).init(&device::autodiff())
}

fn data() -> Data {
    Data::new(BATCHES, 16, &device::autodiff())
}

fn first_crossing(
    model: &Mlp,
    optim: &ModuleOptimizer,
    grads: &GradientsParams,
    group: &ParamGroup,
    batch: &Batch,
) -> Option<f64> {
    let loss = |model: &Mlp| model.valid().loss(batch).into_scalar::<f64>();
    let base = loss(model);
    let rounding = 4.0 * f64::from(f32::EPSILON) * base;
    let rise = |rate: f64| {
        let grads = gradients_of(group, model, grads);
        loss(&optim.clone().step(rate, model.clone(), grads)) - base
    };
    let mut low = FROM;
    while low < TO {
        let mut high = low * FACTOR;
        if rise(high) > rounding {
            for _ in 0..20 {
                let middle = (low * high).sqrt();
                if rise(middle) > 0.0 {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            return Some(low);
        }
        low = high;
    }
    None
}

fn assert_true(name: &str, measured: &Measurement, crossing: Option<f64>) {
    let Some(crossing) = crossing else {
        let none = NoIncrease;
        assert_eq!(measured.outcome, none, "{name}: {measured:?}");
        return;
    };
    let critical_lr = measured
        .critical_lr
        .unwrap_or_else(|| panic!("{name}: {crossing}, {measured:?}"));
    let off = (critical_lr / crossing - 1.0).abs();
    assert!(
        off < 0.03,
        "{name}: off by {off} from {crossing}: {measured:?}"
    );
}

fn assert_measures(name: &str, start: &ModuleOptimizer, rate: f64, steps: usize) -> usize {
    let probe = || SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
    let (before, with) = (probe(), probe());
    let data = data();
    let mut model = network();
    let mut optim = start.clone();
    let mut crossings = 0;
    for step in 0..steps {
        let batch = data.batch(step % BATCHES);
        let loss = |model: &Mlp| model.loss(&batch);
        let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
        let copy = || copied_gradients(&model, &grads);
        let one = before.measure(&model, &optim, rate, &grads, loss).unwrap();
        let made = with.optimize(model.clone(), &mut optim.clone(), rate, copy(), loss);
        let two = with.latest("train").unwrap();
        if step % 3 == 0 || step + 3 > steps {
            let crossing = first_crossing(&model, &optim, &grads, &ParamGroup::all(), &batch);
            crossings += usize::from(crossing.is_some());
            let name = format!("{name}, step {step}");
            assert_true(&format!("{name}, before it"), &one, crossing);
            assert_true(&format!("{name}, with it"), &two, crossing);
        }
        let grads = copy();
        model = optim.step(rate, model, grads);
        assert_eq!(weights(&made), weights(&model), "{name}");
    }
    crossings
}

fn adafactor(relative_step: bool) -> ModuleOptimizer {
    let config = AdafactorConfig::new().with_relative_step(relative_step);
    config.init()
}

#[test]
fn adafactor_is_measured_along_its_own_steps() {
    for (relative_step, steps) in [(true, 36), (false, 24)] {
        let name = format!("relative step {relative_step}");
        let crossings = assert_measures(&name, &adafactor(relative_step), 5e-3, steps);
        assert!(crossings >= 3, "{name}: {crossings}");
    }
}

#[test]
fn a_limited_rate_is_measured_along_the_steps_that_it_gives() {
    for (limit, rate) in [
        (Limit::Cap(0.5), 0.1),
        (Limit::Cap(2.6), 0.1),
        (Limit::Cap(1e3), 0.1),
        (Limit::FallingCap(3.0), 0.1),
        (Limit::CapAfter(0.2, 9), 0.1),
        (Limit::Floor(1.0), 0.1),
        (Limit::Norm(0.3), 0.1),
        (Limit::Saturation(0.1), 0.1),
        (Limit::Root, 0.1),
        (Limit::Cap(0.5), 2.0),
    ] {
        let optim = ModuleOptimizer::from(Limited(limit));
        assert_measures(&format!("{limit:?} at {rate}"), &optim, rate, 15);
    }
}

#[test]
fn a_limit_of_a_few_parameters_is_seen() {
    let head = || ParamGroup::from_predicate("layers.2");
    let adamw = AdamWConfig::new().init();
    let with_adafactor = adamw
        .clone()
        .with_group(head(), AdafactorConfig::new().build(), None);
    assert_measures("adamw, adafactor", &with_adafactor, 5e-3, 12);
    let small = SgdConfig::new().init();
    let small = small.with_group(
        ParamGroup::from_predicate("layers.0.bias"),
        Limited(Limit::Cap(0.5)),
        None,
    );
    assert_measures("sgd, capped bias", &small, 0.1, 12);
}

#[test]
fn a_group_of_a_limited_optimizer_is_measured_along_its_own_steps() {
    let head = || ParamGroup::from_predicate("layers.2");
    let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1))
        .with_group("head", head())
        .build()
        .unwrap();
    let data = data();
    let mut model = network();
    let adamw: ModuleOptimizer = AdamWConfig::new().init();
    let mut optim = adamw.with_group(head(), AdafactorConfig::new().build(), None);
    for step in 0..10 {
        let batch = data.batch(step % BATCHES);
        let loss = |model: &Mlp| model.loss(&batch);
        let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
        let of_all = probe.measure(&model, &optim, 5e-3, &grads, loss).unwrap();
        let of_head = probe.latest("head").unwrap();
        let crossing = first_crossing(&model, &optim, &grads, &ParamGroup::all(), &batch);
        assert_true(&format!("step {step}"), &of_all, crossing);
        let crossing = first_crossing(&model, &optim, &grads, &head(), &batch);
        assert_true(&format!("step {step}, head"), &of_head, crossing);
        model = optim.step(5e-3, model, grads);
    }
}

#[test]
fn in_the_learner_both_ways_measure_the_same() {
    let adafactor_head = || {
        let adamw: ModuleOptimizer = AdamWConfig::new().init();
        let head = ParamGroup::from_predicate("layers.2");
        adamw.with_group(head, AdafactorConfig::new().build(), None)
    };
    for (name, optim) in [
        ("adafactor", adafactor(true)),
        ("a head", adafactor_head()),
        (
            "a cap",
            ModuleOptimizer::from(Limited(Limit::FallingCap(1.0))),
        ),
    ] {
        for step_first in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let config = SharpnessConfig::new()
                .with_every(1)
                .with_directory(folder.path())
                .with_step_first(step_first);
            let probe = SharpnessProbe::new(config).unwrap();
            let model = probe.attach(network());
            let training = Training::new(folder.path());
            training.launch(model, optim.clone(), ConstantLr::new(5e-3), Some(&probe));
            drop(probe);

            let mut model = network();
            let mut optim = optim.clone();
            for measured in measurements(folder.path()) {
                let batch = data().batch(measured.step as usize % BATCHES);
                let grads = model.loss(&batch).backward();
                let grads = GradientsParams::from_grads(grads, &model);
                let crossing = first_crossing(&model, &optim, &grads, &ParamGroup::all(), &batch);
                let name = format!("{name}, step first {step_first}, at {}", measured.step);
                assert_true(&name, &measured, crossing);
                model = optim.step(5e-3, model, grads);
            }
        }
    }
}

#[test]
fn only_what_is_not_linear_is_stepped_afresh() {
    let model = network();
    let grads = GradientsParams::from_grads(model.loss(&data().batch(0)).backward(), &model);
    let valid = model.valid();
    let decaying = AdafactorConfig::new().with_weight_decay(0.1);
    for (name, optim, is_linear) in [
        ("lamb", LambConfig::new().init(), true),
        ("adan", AdanConfig::new().init(), true),
        ("an absolute rate", adafactor(false), true),
        ("a capped rate", adafactor(true), false),
        ("a capped rate with decay", decaying.init(), false),
        (
            "no limit",
            ModuleOptimizer::from(Limited(Limit::None)),
            true,
        ),
        ("a root", ModuleOptimizer::from(Limited(Limit::Root)), false),
    ] {
        for rate in [1e-2, 1e-4, 1e-7, 1e-10, 0.0] {
            let line = direction(&valid, &optim, rate, &grads);
            assert_eq!(line.is_linear(), is_linear, "{name} at {rate}");
        }
        let line = direction(&valid, &optim, 1e-2, &grads);
        for rate in [1e-3, 1e-2, 0.5, 1e3] {
            let along = values(&line.apply(valid.clone(), rate));
            let grads = copied_gradients(&model, &grads);
            let stepped = values(&optim.clone().step(rate, model.clone(), grads));
            let scale = stepped
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            let tolerance = if is_linear { 1e-5 * scale } else { 0.0 };
            let mut pairs = along.iter().zip(&stepped);
            let is_near = pairs.all(|(a, b)| (a - b).abs() <= tolerance);
            assert!(is_near, "{name} at {rate}");
        }
    }
}

#[test]
fn an_update_that_the_weights_hide_has_no_norm_and_no_slope() {
    // At the first rates of a warmup, a capped step vanishes in the rounding of the weights.
    let model = network();
    let batch = data().batch(0);
    let loss = |model: &Mlp| model.loss(&batch);
    let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
    let measured = |rate: f64| {
        let probe = SharpnessProbe::new(SharpnessConfig::new()).unwrap();
        probe
            .measure(&model, &adafactor(true), rate, &grads, loss)
            .unwrap()
    };
    let seen = measured(1e-3);
    assert!(seen.update_norm.is_some() && seen.slope.is_some());
    let crossing = first_crossing(&model, &adafactor(true), &grads, &ParamGroup::all(), &batch);
    for rate in [0.0, 1e-10] {
        let measured = measured(rate);
        assert_true(&format!("at {rate}"), &measured, crossing);
        if rate > 0.0 {
            assert_eq!((measured.update_norm, measured.slope), (None, None));
        }
    }
}

#[test]
fn an_optimizer_that_draws_is_refused_at_first_sight() {
    for is_made_first in [true, false] {
        let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
        let mut optim = ModuleOptimizer::from(Limited(Limit::Noise));
        let mut model = network();
        for step in 0..3 {
            let batch = data().batch(step);
            let loss = |model: &Mlp| model.loss(&batch);
            let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
            model = if is_made_first {
                probe.optimize(model, &mut optim, 0.1, grads, loss)
            } else {
                probe.measure(&model, &optim, 0.1, &grads, loss);
                optim.step(0.1, model, grads)
            };
        }
        let summary = probe.summary();
        assert_eq!((summary.measurements, summary.bracketed), (1, 0));
        let words = "the optimizer's step is not repeatable";
        assert!(summary.notices[0].contains(words), "{summary}");
        assert_eq!(summary.notices.len(), 1, "{summary}");
    }
}
