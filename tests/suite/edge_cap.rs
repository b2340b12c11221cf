use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use sharpness_tests::prelude::*;

const STEPS: usize = 16;
const FRACTION: f64 = 0.3;

type Rates = fn(f64) -> ModuleLearningRate;

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
    let data = Data::new(4, 16, &device::autodiff());
    let mut model = model();
    let probe = probe_of(capped(FRACTION));
    let mut measured = Vec::new();
    for step in 0..STEPS {
        let batch = data.batch(step % 4);
        // In each step, both begin at the same weights.
        let (plain, mut plain_optim) = (model.clone(), optim.clone());
        let grads = || gradients(&plain, &batch);
        let update = Step::new(model, &mut optim, rates(asked), grads());
        model = probe.optimize_step(update, |model: &Mlp| model.loss(&batch));
        let latest = probe.latest("train");
        let latest = latest.filter(|latest| latest.step == step as u64);
        let used = latest.as_ref().and_then(|latest| latest.learning_rate_used);
        measured.extend(latest);
        let plain_grads = grads();
        let plain = plain_optim.step(rates(used.unwrap_or(asked)), plain, plain_grads);
        for (a, b) in values(&model).into_iter().zip(values(&plain)) {
            let unit = f32::EPSILON * a.abs().max(f32::MIN_POSITIVE);
            assert!((a - b).abs() <= unit, "{name}, step {step}: {a} or {b}");
        }
    }
    measured
}

#[test]
fn a_capped_step_is_the_optimizers_step_at_the_lower_rate() {
    let proximal = AdanConfig::new().with_weight_decay(0.5).init();
    let one_rate: Rates = |rate| rate.into();
    let two_rates: Rates = |rate| rates(0.2 * rate, rate);
    for (name, optim, asked, rates) in [
        ("sgd", sgd(), 5.0, one_rate),
        ("momentum", momentum(), 5.0, one_rate),
        ("adamw", adamw(), 1.0, one_rate),
        ("groups", adamw(), 1.0, two_rates),
        ("muon and adamw", muon(), 1.0, one_rate),
        ("a proximal decay", proximal, 1.0, one_rate),
    ] {
        let mut capped = beside_plain_steps(name, optim, asked, rates);
        capped.retain(|m| m.learning_rate_used.is_some());
        assert!(!capped.is_empty(), "{name}: nothing was capped");
        for measurement in capped {
            let expected = measurement.critical_lr.map(|rate| FRACTION * rate);
            assert_eq!(measurement.learning_rate_used, expected, "{name}");
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
    scheduler: impl Into<ModuleLrScheduler>,
    config: Option<SharpnessConfig>,
) -> (Weights, Vec<Measurement>) {
    let folder = tempfile::tempdir().unwrap();
    let probe = config.map(|config| probe_of(config.with_directory(folder.path())));
    let training = Training::new(folder.path()).with(|run| run.accumulation = Some(2));
    let (model, _) = training.fit(model(), adamw(), scheduler, probe.as_ref());
    let measured = probe.map_or_else(Vec::new, |_| measurements(folder.path()));
    (weights(&model), measured)
}

#[test]
fn the_learner_makes_capped_steps_of_accumulated_gradients() {
    let asked = 1.0;
    let (with, measured) = learner(asked, Some(capped(FRACTION)));
    let steps: Vec<u64> = measured.iter().map(|m| m.step).collect();
    let all: Vec<u64> = (0..8).collect();
    assert_eq!(steps, all, "near its cap, each step is measured");
    let used = |m: &Measurement| m.learning_rate_used.unwrap_or(asked);
    let rates: Vec<f64> = measured.iter().map(used).collect();
    assert!(rates.iter().any(|rate| *rate < asked));
    let (plain, _) = learner(Listed { rates, next: 0 }, None);
    assert_eq!(with, plain);
}

#[test]
fn a_run_in_which_nothing_is_capped_is_the_same_run() {
    let (with, measured) = learner(1e-4, Some(capped(1.0)));
    assert!(!measured.is_empty());
    assert_eq!(with, learner(1e-4, None).0);
}

#[test]
fn a_loop_that_makes_its_steps_itself_is_told_that_no_cap_holds() {
    let probe = probe_of(capped(FRACTION));
    let measured = AtStep::new(model(), adamw(), 0.1, batch_of(16)).measure(&probe);
    assert_eq!(measured.learning_rate_used, None);
    assert!(says(&probe, "call `optimize`"), "{}", probe.summary());
}

/// Trains on one batch, with steps of the probe. Returns the last loss.
fn descend(probe: &SharpnessProbe, rates: impl IntoIterator<Item = f64>) -> f64 {
    let (mut model, mut optim, batch) = (model(), sgd(), batch_of(16));
    let loss = |model: &Mlp| model.loss(&batch);
    for rate in rates {
        let grads = gradients(&model, &batch);
        model = probe.optimize(model, &mut optim, rate, grads, loss);
    }
    loss(&model).into_scalar()
}

#[test]
fn the_summary_says_which_steps_were_capped() {
    let probe = probe_of(capped(FRACTION));
    descend(&probe, [1e-6, 10.0, 10.0, 1e-6]);
    let summary = probe.summary();
    let capped = summary.capped.as_ref().unwrap();
    let seen = (capped.count, capped.first_step, capped.last_step);
    assert_eq!(seen, (2, 1, 2));
    let text = "edge cap            lowered the rate of 2 steps (1 to 2)";
    assert_says(&summary.to_string(), text);
}

fn ceiling() -> f64 {
    let finder = LearningRateFinder::new().with_search(capped(FRACTION));
    let loss = |model: &Mlp, batch: &Batch| model.loss(batch);
    let range = finder.find(&model(), &sgd(), &[batch_of(16)], loss);
    range.unwrap().peak_ceiling().unwrap()
}

/// Returns the last loss and the number of capped steps.
fn warmed_up(peak: f64, config: Option<SharpnessConfig>) -> (f64, u64) {
    let probe = config.map_or_else(SharpnessProbe::disabled, probe_of);
    let rates = (0..40).map(|step| peak * (f64::from(step + 1) / 5.0).min(1.0));
    let loss = descend(&probe, rates);
    (
        loss,
        probe.summary().capped.map_or(0, |capped| capped.count),
    )
}

#[test]
fn below_the_ceiling_of_the_finder_a_cap_lowers_nothing() {
    let peak = 0.25 * ceiling();
    let (without, _) = warmed_up(peak, None);
    let (with, lowered) = warmed_up(peak, Some(capped(1.0)));
    assert_eq!((with, lowered), (without, 0));
}

#[test]
fn above_the_ceiling_a_cap_saves_the_run() {
    let peak = 16.0 * ceiling();
    let (tuned, _) = warmed_up(0.25 * ceiling(), None);
    let (without, _) = warmed_up(peak, None);
    let (with, lowered) = warmed_up(peak, Some(capped(FRACTION)));
    assert!(lowered > 10, "{lowered} of 40 steps were capped");
    let is_saved = with < tuned && (without.is_nan() || without >= tuned);
    assert!(is_saved, "{with}, {without}, {tuned}");
}

#[test]
fn a_sweep_with_a_cap_does_not_see_the_ceiling() {
    let ceiling = ceiling();
    let last = |times: f64| warmed_up(times * ceiling, Some(capped(FRACTION))).0;
    let losses = [16.0, 64.0, 256.0].map(last);
    for loss in losses {
        assert_near(loss, losses[0], 0.2);
    }
}
