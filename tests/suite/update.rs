use sharpness_tests::prelude::*;

fn grads(model: &Mlp) -> GradientsParams {
    gradients(model, &batch_of(32))
}

fn along(
    model: &Mlp,
    optim: &ModuleOptimizer,
    rate: impl Into<ModuleLearningRate>,
) -> UpdateDirection {
    direction(&model.valid(), optim, rate, &grads(model))
}

/// Relative to the largest weight.
fn distance(a: &Mlp, b: &Mlp) -> f32 {
    let (a, b) = (values(a), values(b));
    let scale = a.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let pairs = a.iter().zip(&b);
    pairs.fold(0.0_f32, |max, (a, b)| max.max((a - b).abs())) / scale
}

/// θ − ηΔθ at the current rate must match the real step.
fn assert_follows(name: &str, mut optim: ModuleOptimizer, rate: ModuleLearningRate) {
    let mut model = model();
    for _ in 0..3 {
        let grads = grads(&model);
        model = optim.step(rate.clone(), model, grads);
    }
    let direction = along(&model, &optim, rate.clone());
    assert!(direction.is_linear(), "{name}");
    assert!(direction.slope() > 0.0 && direction.norm() > 0.0, "{name}");

    let predicted = direction.apply(model.valid(), direction.learning_rate());
    let moved = optim.step(rate, model.clone(), grads(&model));
    let far = distance(&model, &moved);
    assert!(far > 1e-5, "{name}: the real step moves by {far}");
    let off = distance(&predicted, &moved);
    assert!(off < device::STEP, "{name}: {off} off the real step");
}

#[test]
fn the_line_passes_through_the_real_step_of_every_optimizer() {
    let momentum = MomentumConfig::new().with_nesterov(true);
    let momentum = SgdConfig::new()
        .with_momentum(Some(momentum))
        .with_weight_decay(Some(WeightDecayConfig::new(0.01)));
    let cautious = AdamWConfig::new()
        .with_weight_decay(0.1)
        .with_cautious_weight_decay(true);
    let clipping = Some(GradientClippingConfig::Norm(0.01));
    let clipped = AdamWConfig::new().with_grad_clipping(clipping);
    let cases: [(&str, ModuleOptimizer, f64); 8] = [
        ("sgd", sgd(), 0.1),
        ("momentum and weight decay", momentum.init(), 0.1),
        ("adam", adam(), 1e-3),
        ("adamw", adamw(), 1e-3),
        ("cautious adamw", cautious.init(), 1e-3),
        ("clipped adamw", clipped.init(), 1e-3),
        ("rmsprop", RmsPropConfig::new().init(), 1e-3),
        ("lion", LionConfig::new().init(), 1e-3),
    ];
    for (name, optim, rate) in cases {
        assert_follows(name, optim, rate.into());
    }
}

#[test]
fn parameter_groups_move_in_their_ratios() {
    assert_follows("groups", sgd(), rates(0.02, 0.1));
    assert_follows("a frozen default", sgd(), rates(0.05, 0.0));

    // A group at rate 0 adds nothing.
    let model = model();
    let both = along(&model, &sgd(), rates(0.1, 0.1));
    let last = along(&model, &sgd(), rates(0.0, 0.1));
    let first = along(&model, &sgd(), rates(0.1, 0.0));
    assert_near(both.slope(), last.slope() + first.slope(), 1e-5);
    assert_eq!(first.learning_rate(), 0.1);
}
