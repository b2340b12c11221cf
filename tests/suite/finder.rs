use sharpness_tests::prelude::*;

const TOLERANCE: f64 = 0.04;

fn model(device: &Device) -> Linear {
    LinearConfig::new(1, 1).with_bias(false).init(device)
}

fn loss(model: &Linear, a: &f64) -> Tensor<1> {
    model.weight.val().square().sum() * (a / 2.0)
}

fn find(finder: LearningRateFinder, batches: &[f64]) -> LearningRateRange {
    let model = model(&device::autodiff());
    let before = weights(&model);
    let range = finder.find(&model, &sgd(), batches, loss).unwrap();
    assert_eq!(weights(&model), before);
    range
}

#[test]
fn the_first_critical_learning_rates_are_those_of_the_batches() {
    let finder = LearningRateFinder::new()
        .with_batches(3)
        .with_trial_steps(0);
    let range = find(finder, &[1.0, 4.0, 2.0]);
    let spread = range.initial().unwrap();
    assert_near(spread.min, 0.5, TOLERANCE);
    assert_near(spread.median, 1.0, TOLERANCE);
    assert_near(spread.max, 2.0, TOLERANCE);
    assert_eq!(range.edge_of_trial(), None);
    assert_near(range.peak_ceiling(), 0.5, TOLERANCE);
    assert_near(range.warmup_start(), 0.25, TOLERANCE);
}

#[test]
fn a_trial_finds_the_edge_that_the_first_weights_do_not_show() {
    let batches: Vec<f64> = [vec![1.0; 8], vec![100.0; 100]].concat();
    let range = find(LearningRateFinder::new(), &batches);
    assert_near(range.initial().unwrap().median, 2.0, TOLERANCE);
    // From step to step, the learning rate rises by 7%.
    let edge = range.edge_of_trial().unwrap();
    let expected = 0.02 * (1.0 - TOLERANCE)..0.02 * (1.08 + TOLERANCE);
    assert!(expected.contains(&edge), "{edge}");
    assert_eq!(range.peak_ceiling(), Some(edge));
    assert_eq!(range.warmup_start(), Some(edge));
    assert!(range.trial.len() < 50, "{}", range.trial.len());
    assert_says(&range.to_string(), "need no warmup");
}

#[test]
fn without_a_critical_learning_rate_nothing_is_suggested() {
    let model = model(&device::autodiff());
    let finder = LearningRateFinder::new()
        .with_search(SharpnessConfig::new().with_learning_rate_limits(1e-6, 1e3));
    let endless = |model: &Linear, _: &()| model.weight.val().sum();
    let range = finder.find(&model, &sgd(), &[()], endless).unwrap();
    assert_eq!(range.initial.len(), 8);
    assert_eq!(range.initial[0].outcome, NoIncrease);
    assert!(range.trial.is_empty());
    let suggested = (range.initial(), range.peak_ceiling(), range.warmup_start());
    assert_eq!(suggested, (None, None, None));
    assert_says(&range.to_string(), "no critical learning rate");
}

#[test]
fn what_cannot_be_measured_on_is_refused() {
    let found = |finder: LearningRateFinder, device, batches: &[f64]| {
        finder.find(&model(&device), &sgd(), batches, loss)
    };
    let finder = LearningRateFinder::new;
    let no_batch = found(finder(), device::autodiff(), &[]);
    assert!(matches!(no_batch, Err(FinderError::NoBatch)));
    let no_batch = found(finder().with_batches(0), device::autodiff(), &[1.0]);
    assert!(matches!(no_batch, Err(FinderError::NoBatch)));
    let no_autodiff = found(finder(), device::plain(), &[1.0]);
    assert!(matches!(no_autodiff, Err(FinderError::NoAutodiff)));
}
