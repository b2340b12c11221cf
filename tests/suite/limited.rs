//! Optimizers that refuse a large learning rate, or whose step is not linear in it: η_c belongs to the optimizer's own
//! steps, whoever makes them.

mod optimizers;

use optimizers::{Limit, Limited};
use sharpness_tests::prelude::*;

const BATCHES: usize = 7;
const FACTOR: f64 = 1.06;
const FROM: f64 = 1e-3;
const TO: f64 = 3e2;

/// Its loss is steep enough to rise below the caps.
fn network() -> Mlp {
    let layers = vec![Data::FEATURES, 32, 32, Data::CLASSES];
    MlpConfig::new(layers, LossKind::Mse).start()
}

fn head() -> ParamGroup {
    ParamGroup::from_predicate("layers.2")
}

fn with_adafactor_head() -> ModuleOptimizer {
    let adamw: ModuleOptimizer = AdamWConfig::new().init();
    adamw.with_group(head(), AdafactorConfig::new().build(), None)
}

fn data() -> Data {
    Data::new(BATCHES, 16, &device::autodiff())
}

fn first_crossing(at: &AtStep, group: &ParamGroup) -> Option<f64> {
    let loss = |model: &Mlp| model.valid().loss(&at.batch).into_scalar::<f64>();
    let base = loss(&at.model);
    let rounding = 4.0 * f64::from(f32::EPSILON) * base;
    let rise = |rate: f64| {
        let grads = gradients_of(group, &at.model, &at.grads);
        loss(&at.optim.clone().step(rate, at.model.clone(), grads)) - base
    };
    let rates = std::iter::successors(Some(FROM), |rate| Some(rate * FACTOR));
    let mut rates = rates.take_while(|rate| *rate < TO);
    let low = rates.find(|rate| rise(rate * FACTOR) > rounding)?;
    Some(bisected(low, low * FACTOR, rise))
}

fn assert_true(name: &str, measured: &Measurement, crossing: Option<f64>) {
    let off = |rate: f64| (rate / crossing.unwrap_or(f64::NAN) - 1.0).abs();
    let is_true = match crossing {
        Some(_) => measured.critical_lr.is_some_and(|rate| off(rate) < 0.03),
        None => measured.outcome == NoIncrease,
    };
    assert!(is_true, "{name}: {crossing:?}, {measured:?}");
}

fn assert_measures(name: &str, start: &ModuleOptimizer, rate: f64, steps: usize) {
    let (before, with) = (every(1), every(1));
    let data = data();
    let mut at = AtStep::new(network(), start.clone(), rate, data.batch(0));
    for step in 0..steps {
        let one = at.measure(&before);
        let (model, mut optim) = (at.model.clone(), at.optim.clone());
        let grads = copied_gradients(&model, &at.grads);
        let loss = |model: &Mlp| model.loss(&at.batch);
        let made = with.optimize(model, &mut optim, rate, grads, loss);
        let two = with.latest("train").unwrap();
        if step % 3 == 0 || step + 3 > steps {
            let crossing = first_crossing(&at, &ParamGroup::all());
            let name = format!("{name}, step {step}");
            assert_true(&format!("{name}, before it"), &one, crossing);
            assert_true(&format!("{name}, with it"), &two, crossing);
        }
        at = at.next(data.batch((step + 1) % BATCHES));
        assert_eq!(weights(&made), weights(&at.model), "{name}");
    }
}

fn adafactor(relative_step: bool) -> ModuleOptimizer {
    let config = AdafactorConfig::new().with_relative_step(relative_step);
    config.init()
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
    assert_measures("adamw, adafactor", &with_adafactor_head(), 5e-3, 12);
    let bias = ParamGroup::from_predicate("layers.0.bias");
    let small = sgd().with_group(bias, Limited(Limit::Cap(0.5)), None);
    assert_measures("sgd, capped bias", &small, 0.1, 12);
}

#[test]
fn a_group_of_a_limited_optimizer_is_measured_along_its_own_steps() {
    let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1));
    let probe = probe.with_group("head", head()).build().unwrap();
    let data = data();
    let mut at = AtStep::new(network(), with_adafactor_head(), 5e-3, data.batch(0));
    for step in 0..10 {
        let of_all = at.measure(&probe);
        let of_head = probe.latest("head").unwrap();
        let crossing = first_crossing(&at, &ParamGroup::all());
        assert_true(&format!("step {step}"), &of_all, crossing);
        let crossing = first_crossing(&at, &head());
        assert_true(&format!("step {step}, head"), &of_head, crossing);
        at = at.next(data.batch((step + 1) % BATCHES));
    }
}

#[test]
fn in_the_learner_both_ways_measure_the_same() {
    for (name, optim) in [
        ("adafactor", adafactor(true)),
        ("a head", with_adafactor_head()),
        ("a cap", Limited(Limit::FallingCap(1.0)).into()),
    ] {
        for step_first in [true, false] {
            let probe = |config: SharpnessConfig| {
                probe_of(config.with_every(1).with_step_first(step_first))
            };
            let ran = Ran::of(probe, (network(), optim.clone(), 5e-3), |_| {});
            let mut at = AtStep::new(network(), optim.clone(), 5e-3, data().batch(0));
            for measured in ran.measured {
                let crossing = first_crossing(&at, &ParamGroup::all());
                let name = format!("{name}, step first {step_first}, at {}", measured.step);
                assert_true(&name, &measured, crossing);
                at = at.next(data().batch((measured.step as usize + 1) % BATCHES));
            }
        }
    }
}

#[test]
fn only_what_is_not_linear_is_stepped_afresh() {
    let model = network();
    let grads = gradients(&model, &data().batch(0));
    let valid = model.valid();
    let decaying = AdafactorConfig::new().with_weight_decay(0.1);
    let proximal = AdanConfig::new().with_weight_decay(0.5);
    for (name, optim, is_linear) in [
        ("lamb", LambConfig::new().init(), true),
        ("adan", AdanConfig::new().init(), true),
        ("an absolute rate", adafactor(false), true),
        ("a capped rate", adafactor(true), false),
        ("a capped rate with decay", decaying.init(), false),
        ("a proximal decay", proximal.init(), false),
        ("no limit", Limited(Limit::None).into(), true),
        ("a root", Limited(Limit::Root).into(), false),
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
            let scale = stepped.iter().map(|value| value.abs()).fold(0.0, f32::max);
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
    let mut at = AtStep::new(network(), adafactor(true), 1e-3, data().batch(0));
    let seen = at.measure(&every(1));
    assert!(seen.update_norm.is_some() && seen.slope.is_some());
    let crossing = first_crossing(&at, &ParamGroup::all());
    for rate in [0.0, 1e-10] {
        at.rate = rate;
        let measured = at.measure(&every(1));
        assert_true(&format!("at {rate}"), &measured, crossing);
        if rate > 0.0 {
            assert_eq!((measured.update_norm, measured.slope), (None, None));
        }
    }
}

#[test]
fn an_optimizer_that_draws_is_refused_at_first_sight() {
    for is_made_first in [true, false] {
        let probe = every(1);
        let mut optim = ModuleOptimizer::from(Limited(Limit::Noise));
        let mut model = network();
        for step in 0..3 {
            let batch = data().batch(step);
            let loss = |model: &Mlp| model.loss(&batch);
            let grads = gradients(&model, &batch);
            model = if is_made_first {
                probe.optimize(model, &mut optim, 0.1, grads, loss)
            } else {
                probe.measure(&model, &optim, 0.1, &grads, loss);
                optim.step(0.1, model, grads)
            };
        }
        let summary = probe.summary();
        assert_eq!((summary.measurements, summary.bracketed), (1, 0));
        assert_eq!(summary.notices.len(), 1, "{summary}");
        let words = "the optimizer's step is not repeatable";
        assert_says(&summary.notices[0], words);
    }
}
