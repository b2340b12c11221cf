use sharpness_tests::prelude::*;

#[test]
fn curvatures_agree_with_the_oracles_or_say_why_not() {
    let device = device::autodiff();
    let tolerances = device::tolerances();
    let (mut all, mut resolved) = (0, 0);
    for (path, fixture) in Fixture::all() {
        println!("{}", path.display());
        let mut curvature = CurvatureConfig::new(1).with_spectrum(SpectrumConfig {
            max_products: 200,
            ..SpectrumConfig::default()
        });
        curvature.preconditioner = fixture.preconditioner();
        let config = SharpnessConfig::new()
            .with_every(1)
            .with_curvature(curvature);
        let probe = SharpnessProbe::builder(config)
            .with_group("last", ParamGroup::from_predicate("layers.2"))
            .build()
            .unwrap();
        let (mut optim, learning_rate) = fixture.optimizer();
        let mut model = fixture.model(&device);
        let batch = fixture.batch(&device);
        let last = fixture.rows.iter().map(|row| row.step).max().unwrap();
        for step in 0..=last {
            let grads = GradientsParams::from_grads(model.loss(&batch).backward(), &model);
            if let Some(row) = fixture.rows.iter().find(|row| row.step == step) {
                probe.set_step(step);
                let loss = |model: &Mlp| model.loss(&batch);
                let update = Update::new(&model, &optim, learning_rate, &grads);
                let measured = probe.measure_update(update.with_curvature(loss), loss);
                let curvature = measured.unwrap().curvature.clone().unwrap();
                let of_group = probe.latest("last").unwrap().curvature.clone().unwrap();
                let of_group = Some(&of_group.hessian_sharpness).zip(row.last_layer_sharpness);
                let of_group = of_group.map(|(value, exact)| (value, exact, tolerances.oracle));
                let values = [
                    (
                        &curvature.directional_sharpness,
                        row.directional_sharpness,
                        tolerances.curvature,
                    ),
                    (
                        &curvature.hessian_sharpness,
                        row.hessian_sharpness,
                        tolerances.oracle,
                    ),
                ];
                let preconditioned = curvature.preconditioned_sharpness.as_ref();
                let preconditioned = preconditioned.zip(row.preconditioned_sharpness);
                let preconditioned =
                    preconditioned.map(|(value, exact)| (value, exact, tolerances.curvature));
                let more = preconditioned.into_iter().chain(of_group);
                for (value, exact, tolerance) in values.into_iter().chain(more) {
                    println!("step {step}: {exact} {value:?}");
                    all += 1;
                    resolved += usize::from(value.outcome == CurvatureOutcome::Measured);
                    match value.value {
                        Some(value) => assert!((value / exact - 1.0).abs() < tolerance),
                        None => assert_ne!(value.outcome, CurvatureOutcome::Measured),
                    }
                }
            }
            model = optim.step(learning_rate, model, grads);
        }
    }
    assert!(10 * resolved >= 9 * all, "{resolved} of {all}");
}

#[derive(Module, Debug)]
struct Point {
    x: Param<Tensor<1>>,
    y: Param<Tensor<1>>,
}

fn point() -> Point {
    let device = device::autodiff();
    let param = |values: [f32; 2]| Param::from_tensor(Tensor::<1>::from_floats(values, &device));
    Point {
        x: param([1.0, -2.0]),
        y: param([0.5, 3.0]),
    }
}

/// ½ (3x₁² + x₂² + 5y₁² + 0.5y₂²).
fn quadratic(point: &Point) -> Tensor<1> {
    let part = |theta: Tensor<1>, curvature: [f32; 2]| {
        let curvature = Tensor::<1>::from_floats(curvature, &theta.device());
        (theta.square() * curvature).sum() * 0.5
    };
    part(point.x.val(), [3.0, 1.0]) + part(point.y.val(), [5.0, 0.5])
}

fn close(value: f64, exact: f64) -> bool {
    (value / exact - 1.0).abs() < device::tolerances().quadratic
}

#[test]
fn on_a_quadratic_all_sharpnesses_are_what_they_must_be() {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_tolerance(1e-3)
        .with_curvature(CurvatureConfig::new(1));
    let probe = SharpnessProbe::builder(config)
        .with_group("x", ParamGroup::from_predicate("x"))
        .with_group("y", ParamGroup::from_predicate("y"))
        .with_group("nothing", ParamGroup::from_predicate("z"))
        .build()
        .unwrap();
    let point = point();
    let grads = GradientsParams::from_grads(quadratic(&point).backward(), &point);
    let optim: ModuleOptimizer = SgdConfig::new().init();
    let update = Update::new(&point, &optim, 0.1, &grads).with_curvature(quadratic);
    let measured = probe.measure_update(update, quadratic);
    let measured = measured.unwrap();

    // The Rayleigh quotient of the gradient (3, −2, 2.5, 1.5).
    let rayleigh = |terms: &[(f64, f64)]| {
        let top: f64 = terms.iter().map(|(curvature, g)| curvature * g * g).sum();
        top / terms.iter().map(|(_, g)| g * g).sum::<f64>()
    };
    let all = rayleigh(&[(3.0, 3.0), (1.0, 2.0), (5.0, 2.5), (0.5, 1.5)]);
    let curvature = measured.curvature.as_ref().unwrap();
    let directional = curvature.directional_sharpness.value.unwrap();
    let largest = curvature.hessian_sharpness.value.unwrap();
    assert!(close(measured.critical_sharpness.unwrap(), all));
    assert!(close(directional, all));
    assert!(close(largest, 5.0) && directional <= largest);

    let of = |group: &str| probe.latest(group).unwrap();
    let x = of("x").critical_sharpness.unwrap();
    assert!(close(x, rayleigh(&[(3.0, 3.0), (1.0, 2.0)])));
    let y = of("y").critical_sharpness.unwrap();
    assert!(close(y, rayleigh(&[(5.0, 2.5), (0.5, 1.5)])));
    for (group, directional, largest) in [("x", x, 3.0), ("y", y, 5.0)] {
        let curvature = of(group).curvature.clone().unwrap();
        let of_group = curvature.directional_sharpness.value.unwrap();
        assert!(close(of_group, directional), "{group}: {of_group}");
        assert!(close(curvature.hessian_sharpness.value.unwrap(), largest));
    }
    assert_eq!(of("nothing").outcome, Failed);
    assert_eq!(of("nothing").curvature, None);
    assert_eq!(measured.limiting_task, None, "groups are no tasks");
}

#[test]
fn in_the_learner_it_leaves_the_run_bit_identical_and_has_a_schedule_of_its_own() {
    let device = device::autodiff();
    let optim = || -> ModuleOptimizer { AdamWConfig::new().with_epsilon(1e-8).init() };
    let adam = AdamPreconditioner {
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
    };
    for accumulation in [None, Some(3)] {
        let config = MlpConfig::for_data().with_batch_norm();
        let folder = tempfile::tempdir().unwrap();
        let training = || Training {
            accumulation,
            epochs: 1,
            ..Training::new(folder.path())
        };
        let (bare, _) = training().launch(config.init(&device), optim(), 0.05, None);

        let curvature = CurvatureConfig::new(2).with_preconditioner(adam);
        let probe = SharpnessConfig::new()
            .with_every(1)
            .with_curvature(curvature)
            .with_directory(folder.path());
        let probe = SharpnessProbe::new(probe).unwrap();
        let model = probe.attach(config.init(&device));
        let (probed, recorder) = training().launch(model, optim(), 0.05, Some(&probe));
        assert_eq!(weights(&probed.into_inner()), weights(&bare));

        let measured = measurements(folder.path());
        for measurement in &measured {
            let is_due = measurement.step.is_multiple_of(2);
            assert_eq!(measurement.curvature.is_some(), is_due, "{measurement:?}");
        }
        let points = recorder.points("Hessian Sharpness").len();
        let values = measured.iter().filter_map(|m| m.curvature.as_ref());
        let known = values
            .clone()
            .filter(|c| c.hessian_sharpness.value.is_some());
        assert_eq!(points, known.count());
        let preconditioned = values.filter_map(|c| c.preconditioned_sharpness.as_ref()?.value);
        assert!(preconditioned.count() >= 1);
    }
}

#[test]
fn a_gradient_that_panics_leaves_critical_sharpness_as_it_was_measured() {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_curvature(CurvatureConfig::new(1));
    let probe = SharpnessProbe::new(config).unwrap();
    let point = point();
    let grads = GradientsParams::from_grads(quadratic(&point).backward(), &point);
    let optim: ModuleOptimizer = SgdConfig::new().init();
    for _ in 0..2 {
        let loss = |point: &Point| {
            assert!(!point.x.val().is_require_grad(), "on purpose");
            quadratic(point)
        };
        let update = Update::new(&point, &optim, 0.1, &grads).with_curvature(loss);
        let measured = probe.measure_update(update, loss);
        let measured = measured.unwrap();
        assert_eq!(measured.outcome, Bracketed);
        assert!(measured.critical_sharpness.is_some());
        assert_eq!(measured.curvature, None);
    }
}
