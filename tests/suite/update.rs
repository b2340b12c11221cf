use sharpness_tests::prelude::*;

fn device() -> Device {
    device::autodiff()
}

fn batch() -> Batch {
    Data::new(1, 32, &device()).batch(0)
}

fn direction(model: &Mlp, optim: &ModuleOptimizer, rate: &ModuleLearningRate) -> UpdateDirection {
    let grads = gradients(model, &batch());
    let valid = model.valid();
    UpdateDirection::new(&valid, optim, rate, &grads, 1.0, Linearity::Check).unwrap()
}

/// Relative to the largest weight.
fn distance(a: &Mlp, b: &Mlp) -> f32 {
    let (a, b) = (values(a), values(b));
    let scale = a.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let pairs = a.iter().zip(&b);
    pairs.fold(0.0_f32, |max, (a, b)| max.max((a - b).abs())) / scale
}

/// θ − ηΔθ at the current rate must match the real step.
fn assert_follows(name: &str, mut optim: ModuleOptimizer, rate: ModuleLearningRate, linear: bool) {
    let mut model = model();
    for _ in 0..3 {
        let grads = gradients(&model, &batch());
        model = optim.step(rate.clone(), model, grads);
    }
    let direction = direction(&model, &optim, &rate);
    assert_eq!(direction.is_linear(), linear, "{name}");
    assert!(direction.slope() > 0.0 && direction.norm() > 0.0, "{name}");

    let predicted = direction.apply(model.valid(), direction.learning_rate());
    let grads = gradients(&model, &batch());
    let moved = optim.step(rate, model.clone(), grads);
    assert!(
        distance(&model, &moved) > 1e-5,
        "{name}: the real step moves"
    );
    let distance = distance(&predicted, &moved);
    assert!(
        distance < device::tolerances().step,
        "{name}: {distance} off the real step"
    );
}

#[test]
fn the_line_passes_through_the_real_step_of_every_optimizer() {
    let momentum = MomentumConfig::new().with_nesterov(true);
    let clipping = GradientClippingConfig::Norm(0.01);
    let cases: [(&str, ModuleOptimizer, f64); 8] = [
        ("sgd", SgdConfig::new().init(), 0.1),
        (
            "momentum and weight decay",
            SgdConfig::new()
                .with_momentum(Some(momentum))
                .with_weight_decay(Some(burn::optim::decay::WeightDecayConfig::new(0.01)))
                .init(),
            0.1,
        ),
        ("adam", AdamConfig::new().init(), 1e-3),
        (
            "adamw",
            AdamWConfig::new().with_weight_decay(0.1).init(),
            1e-3,
        ),
        (
            "cautious adamw",
            AdamWConfig::new()
                .with_weight_decay(0.1)
                .with_cautious_weight_decay(true)
                .init(),
            1e-3,
        ),
        (
            "clipped adamw",
            AdamWConfig::new()
                .with_grad_clipping(Some(clipping.clone()))
                .init(),
            1e-3,
        ),
        ("rmsprop", RmsPropConfig::new().init(), 1e-3),
        ("lion", LionConfig::new().init(), 1e-3),
    ];
    for (name, optim, rate) in cases {
        assert_follows(name, optim, rate.into(), true);
    }
}

#[test]
fn an_optimizer_that_is_not_linear_in_the_learning_rate_is_stepped_afresh() {
    // Adan's proximal decay divides by 1 + ηλ.
    let optim = AdanConfig::new().with_weight_decay(0.5).init();
    assert_follows("adan", optim.clone(), 1e-2.into(), false);

    let (model, batch) = (model(), batch());
    let grads = gradients(&model, &batch);
    let probe = SharpnessProbe::new(SharpnessConfig::new()).unwrap();
    let measurement = probe
        .measure(&model, &optim, 1e-2, &grads, |model| model.loss(&batch))
        .unwrap();
    assert_eq!(measurement.outcome, Bracketed, "{measurement:?}");
}

fn grouped(base: f64, first_layer: f64) -> ModuleLearningRate {
    ModuleLrScheduler::new(base)
        .with_group(ParamGroup::from_predicate("layers.0"), first_layer)
        .step()
}

#[test]
fn parameter_groups_move_in_their_ratios() {
    assert_follows("groups", SgdConfig::new().init(), grouped(0.1, 0.02), true);
    assert_follows(
        "a frozen default",
        SgdConfig::new().init(),
        grouped(0.0, 0.05),
        true,
    );

    // A group at rate 0 adds nothing.
    let (model, optim) = (model(), SgdConfig::new().init());
    let both = direction(&model, &optim, &grouped(0.1, 0.1));
    let last = direction(&model, &optim, &grouped(0.1, 0.0));
    let first = direction(&model, &optim, &grouped(0.0, 0.1));
    let sum = last.slope() + first.slope();
    assert!((both.slope() / sum - 1.0).abs() < 1e-5);
    assert_eq!(first.learning_rate(), 0.1);
}

#[test]
fn for_gradient_descent_the_slope_is_the_squared_norm_of_the_gradient() {
    let direction = direction(&model(), &SgdConfig::new().init(), &0.1.into());
    let squared_norm = direction.norm().powi(2);
    assert!((direction.slope() / squared_norm - 1.0).abs() < 1e-5);
}

#[test]
fn the_virtual_step_leaves_optimizer_and_model_as_they_are() {
    let (mut optim, model) = (AdamWConfig::new().init(), model());
    let stepped = optim.step(1e-3, model.clone(), gradients(&model, &batch()));
    let twin = optim
        .clone()
        .step(1e-3, stepped.clone(), gradients(&stepped, &batch()));

    let before = weights(&stepped);
    let _ = direction(&stepped, &optim, &1e-3.into());
    assert_eq!(weights(&stepped), before);
    let next = optim.step(1e-3, stepped.clone(), gradients(&stepped, &batch()));
    assert_eq!(weights(&next), weights(&twin));
}
