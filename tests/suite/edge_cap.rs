//! A capped step is the optimizer's step at the lower rate, and a cap that lowers no step changes nothing.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use sharpness_tests::prelude::*;

const STEPS: usize = 16;
const FRACTION: f64 = 0.3;
/// The first layer's rate over the rate of the other layers.
const RATIO: f64 = 0.2;

fn first_layer() -> ParamGroup {
    ParamGroup::from_predicate("layers.0")
}

type Rates = fn(f64) -> ModuleLearningRate;

fn one_rate(rate: f64) -> ModuleLearningRate {
    rate.into()
}

fn two_rates(rate: f64) -> ModuleLearningRate {
    let mut scheduler = ModuleLrScheduler::new(rate).with_group(first_layer(), RATIO * rate);
    scheduler.step()
}

fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(0.1).init()
}

fn muon() -> ModuleOptimizer {
    let matrices = ParamGroup::from_predicate("weight");
    adamw().with_group(matrices, MuonConfig::new().build(), None)
}

fn capped(fraction: f64) -> SharpnessConfig {
    // ANCHOR: cap
    SharpnessConfig::new().with_edge_cap(fraction)
    // ANCHOR_END: cap
}

/// A loop without a probe makes each step at the rate in the record; the weights must be equal after each step.
fn beside_plain_steps(
    name: &str,
    mut optim: ModuleOptimizer,
    asked: f64,
    rates: Rates,
) -> Vec<Arc<Measurement>> {
    let device = device::autodiff();
    let data = Data::new(4, 16, &device);
    let mut model = MlpConfig::for_data().init(&device);
    let (mut plain, mut plain_optim) = (model.clone(), optim.clone());
    let probe = SharpnessProbe::new(capped(FRACTION)).unwrap();
    let mut measured = Vec::new();
    for step in 0..STEPS {
        let batch = data.batch(step % 4);
        let loss = |model: &Mlp| model.loss(&batch);
        let grads = |model: &Mlp| GradientsParams::from_grads(loss(model).backward(), model);
        let plain_grads = grads(&plain);
        let update = Step::new(model.clone(), &mut optim, rates(asked), grads(&model));
        model = probe.optimize_step(update, loss);
        let latest = probe
            .latest("train")
            .filter(|latest| latest.step == step as u64);
        let used = latest.as_ref().and_then(|latest| latest.learning_rate_used);
        measured.extend(latest);
        plain = plain_optim.step(rates(used.unwrap_or(asked)), plain, plain_grads);
        for (a, b) in values(&model).into_iter().zip(values(&plain)) {
            let unit = f32::EPSILON * a.abs().max(f32::MIN_POSITIVE);
            assert!((a - b).abs() <= unit, "{name}, step {step}: {a} or {b}");
        }
        // From here on, both go on from the same weights.
        plain = model.clone();
        plain_optim = optim.clone();
    }
    measured
}

#[test]
fn a_capped_step_is_the_optimizers_step_at_the_lower_rate() {
    let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
    let cases: [(&str, ModuleOptimizer, f64, Rates); 6] = [
        ("sgd", SgdConfig::new().init(), 5.0, one_rate),
        ("momentum", momentum.init(), 5.0, one_rate),
        ("adamw", adamw(), 1.0, one_rate),
        ("groups", adamw(), 1.0, two_rates),
        ("muon and adamw", muon(), 1.0, one_rate),
        (
            "a proximal decay",
            AdanConfig::new().with_weight_decay(0.5).init(),
            1.0,
            one_rate,
        ),
    ];
    for (name, optim, asked, rates) in cases {
        let measured = beside_plain_steps(name, optim, asked, rates);
        let capped: Vec<_> = measured
            .iter()
            .filter(|m| m.learning_rate_used.is_some())
            .collect();
        assert!(!capped.is_empty(), "{name}: nothing was capped");
        for measurement in capped {
            let (used, critical_lr) = (measurement.learning_rate_used, measurement.critical_lr);
            assert_eq!(
                used,
                critical_lr.map(|critical_lr| FRACTION * critical_lr),
                "{name}"
            );
            assert_eq!(measurement.learning_rate, Some(asked), "{name}");
        }
    }
}

#[derive(Clone)]
struct Listed {
    rates: Vec<f64>,
    next: usize,
}

impl LrScheduler for Listed {
    fn step(&mut self) -> f64 {
        let rate = self.rates[self.next.min(self.rates.len() - 1)];
        self.next += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new()
    }

    fn load_record(&mut self, _record: LrSchedulerRecord) {}
}

fn learner(
    folder: &Path,
    scheduler: impl Into<ModuleLrScheduler>,
    config: Option<SharpnessConfig>,
) -> Vec<(String, Vec<u8>)> {
    let training = Training {
        accumulation: Some(2),
        ..Training::new(folder)
    };
    let model = MlpConfig::for_data().init(&device::autodiff());
    match config {
        None => weights(&training.launch(model, adamw(), scheduler, None).0),
        Some(config) => {
            let probe = SharpnessProbe::new(config.with_directory(folder)).unwrap();
            let model = probe.attach(model);
            weights(&training.launch(model, adamw(), scheduler, Some(&probe)).0)
        }
    }
}

#[test]
fn the_learner_makes_capped_steps_of_accumulated_gradients() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let asked = 1.0;
    let with = learner(folders[0].path(), asked, Some(capped(FRACTION)));
    let measured = measurements(folders[0].path());
    let steps: Vec<u64> = measured.iter().map(|m| m.step).collect();
    assert_eq!(
        steps,
        (0..8).collect::<Vec<u64>>(),
        "near its cap, each step is measured"
    );
    let used = |m: &Measurement| m.learning_rate_used.unwrap_or(asked);
    let rates: Vec<f64> = measured.iter().map(used).collect();
    assert!(rates.iter().any(|rate| *rate < asked));
    let scheduler = Listed { rates, next: 0 };
    let plain = learner(folders[1].path(), scheduler, None);
    assert_eq!(with, plain);
}

#[test]
fn a_run_in_which_nothing_is_capped_is_the_same_run() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let with = learner(folders[0].path(), 1e-4, Some(capped(1.0)));
    assert!(!measurements(folders[0].path()).is_empty());
    assert_eq!(with, learner(folders[1].path(), 1e-4, None));
}

#[test]
fn a_loop_that_makes_its_steps_itself_is_told_that_no_cap_holds() {
    let device = device::autodiff();
    let batch = Data::new(1, 16, &device).batch(0);
    let model = MlpConfig::for_data().init(&device);
    let loss = |model: &Mlp| model.loss(&batch);
    let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
    let probe = SharpnessProbe::new(capped(FRACTION)).unwrap();
    let measured = probe.measure(&model, &adamw(), 0.1, &grads, loss).unwrap();
    assert_eq!(measured.learning_rate_used, None);
    let told = probe.summary().notices;
    assert!(
        told.iter().any(|notice| notice.contains("call `optimize`")),
        "{told:?}"
    );
}

#[test]
fn the_summary_says_which_steps_were_capped() {
    let device = device::autodiff();
    let batch = Data::new(1, 16, &device).batch(0);
    let mut model = MlpConfig::for_data().init(&device);
    let mut optim: ModuleOptimizer = SgdConfig::new().init();
    let probe = SharpnessProbe::new(capped(FRACTION)).unwrap();
    for rate in [1e-6, 10.0, 10.0, 1e-6] {
        let loss = |model: &Mlp| model.loss(&batch);
        let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
        model = probe.optimize(model, &mut optim, rate, grads, loss);
    }
    let summary = probe.summary();
    let capped = summary.capped.unwrap();
    assert_eq!(
        (capped.count, capped.first_step, capped.last_step),
        (2, 1, 2)
    );
    let text = summary.to_string();
    assert!(
        text.contains("edge cap            lowered the rate of 2 steps (1 to 2)"),
        "{text}"
    );
}

#[test]
fn a_cap_that_is_no_fraction_is_refused() {
    for fraction in [0.0, -0.3, 1.5, f64::NAN, f64::INFINITY] {
        let refused = SharpnessProbe::new(capped(fraction));
        assert!(
            matches!(refused, Err(ConfigError::EdgeCap(_))),
            "{fraction}"
        );
    }
}

fn ceiling() -> f64 {
    let device = device::autodiff();
    let batch = Data::new(1, 16, &device).batch(0);
    let finder = LearningRateFinder::new().with_search(capped(FRACTION));
    let model = MlpConfig::for_data().init(&device);
    let optim = SgdConfig::new().init();
    let range = finder.find(&model, &optim, &[batch], |model: &Mlp, batch| {
        model.loss(batch)
    });
    range.unwrap().peak_ceiling().unwrap()
}

fn descend(peak: f64, config: Option<SharpnessConfig>) -> (f64, u64) {
    let device = device::autodiff();
    let batch = Data::new(1, 16, &device).batch(0);
    let mut model = MlpConfig::for_data().init(&device);
    let mut optim: ModuleOptimizer = SgdConfig::new().init();
    let probe = config.map_or_else(SharpnessProbe::disabled, |config| {
        SharpnessProbe::new(config).unwrap()
    });
    let loss = |model: &Mlp| model.loss(&batch);
    for step in 0..40 {
        let rate = peak * (f64::from(step + 1) / 5.0).min(1.0);
        let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
        model = probe.optimize(model, &mut optim, rate, grads, loss);
    }
    let capped = probe.summary().capped.map_or(0, |capped| capped.count);
    (loss(&model).into_scalar::<f64>(), capped)
}

#[test]
fn below_the_ceiling_of_the_finder_a_cap_lowers_nothing() {
    let peak = 0.25 * ceiling();
    let (without, _) = descend(peak, None);
    let (with, lowered) = descend(peak, Some(capped(1.0)));
    assert_eq!((with, lowered), (without, 0));
}

#[test]
fn above_the_ceiling_a_cap_saves_the_run() {
    let peak = 16.0 * ceiling();
    let (tuned, _) = descend(0.25 * ceiling(), None);
    let (without, _) = descend(peak, None);
    let (with, lowered) = descend(peak, Some(capped(FRACTION)));
    assert!(lowered > 10, "{lowered} of 40 steps were capped");
    assert!(
        with < tuned && (without.is_nan() || without >= tuned),
        "{with}, {without}, {tuned}"
    );
}

#[test]
fn a_sweep_with_a_cap_does_not_see_the_ceiling() {
    let ceiling = ceiling();
    let last = |times: f64| descend(times * ceiling, Some(capped(FRACTION))).0;
    let losses = [16.0, 64.0, 256.0].map(last);
    for loss in losses {
        assert!((loss / losses[0] - 1.0).abs() < 0.2, "{losses:?}");
    }
}
