use sharpness_tests::prelude::*;

#[test]
fn curvatures_agree_with_the_oracles_or_say_why_not() {
    let (mut all, mut resolved) = (0, 0);
    for (path, fixture) in Fixture::all() {
        println!("{}", path.display());
        let mut curvature = CurvatureConfig::new(1).with_spectrum(SpectrumConfig {
            max_products: 200,
            ..SpectrumConfig::default()
        });
        curvature.preconditioner = fixture.preconditioner();
        let config = SharpnessConfig::new().with_every(1);
        let probe = SharpnessProbe::builder(config.with_curvature(curvature))
            .with_group("last", ParamGroup::from_predicate("layers.2"))
            .build()
            .unwrap();
        fixture.train(|step, row, at| {
            let Some(row) = row else {
                return;
            };
            probe.set_step(step);
            let update = at.update().with_curvature(|model| model.loss(&at.batch));
            let measured = at.measured(&probe, update).unwrap();
            let curvature = measured.curvature.as_ref().unwrap();
            let of_group = probe.latest("last").unwrap().curvature.clone().unwrap();
            let (rough, fine) = (device::CURVATURE, device::ORACLE);
            let directional = Some(row.directional_sharpness);
            let hessian = Some(row.hessian_sharpness);
            let preconditioned = curvature.preconditioned_sharpness.as_ref();
            let of_group = Some(&of_group.hessian_sharpness);
            for (value, exact, tolerance) in [
                (Some(&curvature.directional_sharpness), directional, rough),
                (Some(&curvature.hessian_sharpness), hessian, fine),
                (preconditioned, row.preconditioned_sharpness, rough),
                (of_group, row.last_layer_sharpness, fine),
            ] {
                let (Some(value), Some(exact)) = (value, exact) else {
                    continue;
                };
                println!("step {step}: {exact} {value:?}");
                all += 1;
                resolved += usize::from(value.outcome == CurvatureOutcome::Measured);
                match value.value {
                    Some(value) => assert_near(value, exact, tolerance),
                    None => assert_ne!(value.outcome, CurvatureOutcome::Measured),
                }
            }
        });
    }
    assert!(10 * resolved >= 9 * all, "{resolved} of {all}");
}

#[derive(Module, Debug)]
struct Two {
    x: Point,
    y: Point,
}

fn point() -> Two {
    Two {
        x: Point::at([1.0, -2.0]),
        y: Point::at([0.5, 3.0]),
    }
}

/// ½ (3x₁² + x₂² + 5y₁² + 0.5y₂²).
fn quadratic(point: &Two) -> Tensor<1> {
    let part = |point: &Point, curvature: [f32; 2]| {
        let theta = point.theta.val();
        let curvature = Tensor::<1>::from_floats(curvature, &theta.device());
        (theta.square() * curvature).sum() * 0.5
    };
    part(&point.x, [3.0, 1.0]) + part(&point.y, [5.0, 0.5])
}

#[track_caller]
fn assert_exact(value: Option<f64>, exact: f64) {
    assert_near(value, exact, device::QUADRATIC);
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
    let (point, optim) = (point(), sgd());
    let grads = GradientsParams::from_grads(quadratic(&point).backward(), &point);
    let update = Update::new(&point, &optim, 0.1, &grads).with_curvature(quadratic);
    let measured = probe.measure_update(update, quadratic).unwrap();

    // The Rayleigh quotient of the gradient (3, −2, 2.5, 1.5).
    let rayleigh = |terms: &[(f64, f64)]| {
        let top: f64 = terms.iter().map(|(curvature, g)| curvature * g * g).sum();
        top / terms.iter().map(|(_, g)| g * g).sum::<f64>()
    };
    let (of_x, of_y) = ([(3.0, 3.0), (1.0, 2.0)], [(5.0, 2.5), (0.5, 1.5)]);
    let of = |group: &str| probe.latest(group).unwrap();
    for (group, terms, largest) in [
        ("train", &[of_x, of_y].concat()[..], 5.0),
        ("x", &of_x, 3.0),
        ("y", &of_y, 5.0),
    ] {
        let (measured, exact) = (of(group), rayleigh(terms));
        let curvature = measured.curvature.as_ref().unwrap();
        assert_exact(measured.critical_sharpness, exact);
        assert_exact(curvature.directional_sharpness.value, exact);
        assert_exact(curvature.hessian_sharpness.value, largest);
        assert!(curvature.directional_sharpness.value <= curvature.hessian_sharpness.value);
    }
    assert_eq!(of("nothing").outcome, Failed);
    assert_eq!(of("nothing").curvature, None);
    assert_eq!(measured.limiting_task, None, "groups are no tasks");
}

#[test]
fn in_the_learner_it_leaves_the_run_bit_identical_and_has_a_schedule_of_its_own() {
    let optim = || -> ModuleOptimizer { AdamWConfig::new().with_epsilon(1e-8).init() };
    let adam = AdamPreconditioner {
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
    };
    for accumulation in [None, Some(3)] {
        let folder = tempfile::tempdir().unwrap();
        let fit = |probe: Option<&SharpnessProbe>| {
            let training = Training::new(folder.path())
                .with(|run| (run.accumulation, run.epochs) = (accumulation, 1));
            let model = MlpConfig::for_data().with_batch_norm().start();
            training.fit(model, optim(), 0.05, probe)
        };
        let config = SharpnessConfig::new()
            .with_every(1)
            .with_curvature(CurvatureConfig::new(2).with_preconditioner(adam))
            .with_directory(folder.path());
        let (bare, _) = fit(None);
        let (probed, recorder) = fit(Some(&probe_of(config)));
        assert_eq!(weights(&probed), weights(&bare));

        let measured = measurements(folder.path());
        for measurement in &measured {
            let is_due = measurement.step.is_multiple_of(2);
            assert_eq!(measurement.curvature.is_some(), is_due, "{measurement:?}");
        }
        let points = recorder.points("Hessian Sharpness").len();
        let values = || measured.iter().filter_map(|m| m.curvature.as_ref());
        let known = values().filter(|c| c.hessian_sharpness.value.is_some());
        assert_eq!(points, known.count());
        let preconditioned = values().filter_map(|c| c.preconditioned_sharpness.as_ref()?.value);
        assert!(preconditioned.count() >= 1);
    }
}

#[test]
fn a_gradient_that_panics_leaves_critical_sharpness_as_it_was_measured() {
    let config = SharpnessConfig::new().with_every(1);
    let probe = probe_of(config.with_curvature(CurvatureConfig::new(1)));
    let (point, optim) = (point(), sgd());
    let grads = GradientsParams::from_grads(quadratic(&point).backward(), &point);
    for _ in 0..2 {
        let loss = |point: &Two| {
            assert!(!point.x.theta.val().is_require_grad(), "on purpose");
            quadratic(point)
        };
        let update = Update::new(&point, &optim, 0.1, &grads).with_curvature(loss);
        let measured = probe.measure_update(update, loss).unwrap();
        assert_eq!(measured.outcome, Bracketed);
        assert!(measured.critical_sharpness.is_some());
        assert_eq!(measured.curvature, None);
    }
}
