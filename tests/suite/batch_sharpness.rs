use sharpness_tests::prelude::*;

fn off(value: &CurvatureValue, exact: f64) -> f64 {
    (value.value.unwrap() / exact - 1.0).abs()
}

#[test]
fn the_book_shows_how() {
    let device = device::autodiff();
    let config = SharpnessConfig::new();
    let fresh = Data::new(16, 8, &device).loader();
    // ANCHOR: usage
    let of_batches = BatchSharpnessConfig::new(100).with_batches(8);
    let probe = SharpnessProbe::builder(config)
        .with_batch_sharpness(of_batches, fresh, |model: &Mlp, batch| model.loss(&batch))
        .build();
    // ANCHOR_END: usage
    assert!(probe.is_ok());
}

#[test]
fn batch_sharpness_is_that_of_the_oracles() {
    let (mut all, mut resolved) = (0, 0);
    for (path, fixture) in Fixture::all() {
        println!("{}", path.display());
        let batches = fixture.batches(32);
        let config = BatchSharpnessConfig::new(1).with_batches(batches.len());
        let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1));
        let probe = probe.with_batch_sharpness(config, batches, task_loss);
        let probe = probe.build().unwrap();
        fixture.train(|step, row, at| {
            let Some((row, exact)) = row.and_then(|row| Some((row, row.batch_sharpness?))) else {
                return;
            };
            probe.set_step(step);
            let measured = at.measure(&probe);
            let of_batches = measured.batch_sharpness.as_ref().unwrap();
            let interaction = measured.interaction_aware_sharpness.as_ref().unwrap();
            println!("step {step}: {exact} {of_batches:?}");
            assert!(of_batches.gradients > 0 && interaction.gradients == 0);
            let exact_ratio = row.interaction_aware_sharpness.unwrap();
            for (value, exact) in [(of_batches, exact), (interaction, exact_ratio)] {
                all += 1;
                resolved += usize::from(value.outcome == CurvatureOutcome::Measured);
                match value.value {
                    Some(_) => assert!(off(value, exact) < device::CURVATURE, "{value:?} {exact}"),
                    None => assert_ne!(value.outcome, CurvatureOutcome::Measured),
                }
            }
            if of_batches.value.is_some() {
                let exact = row.batch_sharpness_error.unwrap();
                assert_near(of_batches.standard_error, exact, 5.0 * device::CURVATURE);
            }
        });
    }
    let share = resolved as f64 / all as f64;
    let is_enough = all >= 56 && share >= device::resolved();
    assert!(is_enough, "{resolved} of {all}");
}

/// With other losses and groups, too.
fn trained(add: impl Fn(SharpnessProbeBuilder) -> SharpnessProbeBuilder) -> Ran {
    let probe = |config: SharpnessConfig| {
        let builder = SharpnessProbe::builder(config.with_every(1))
            .with_group("head", ParamGroup::from_predicate("layers.1"))
            .with_task("other", vec![plain_batch_of(16)], task_loss);
        add(builder).build().unwrap()
    };
    let model = MlpConfig::for_data().with_batch_norm().start();
    Ran::of(probe, (model, adamw(), 0.02), |_| {})
}

#[test]
fn batch_sharpness_changes_neither_the_run_nor_what_else_is_measured() {
    let bare = trained(|builder| builder);
    assert!(bare.measured.iter().all(|m| m.batch_sharpness.is_none()));
    let config = BatchSharpnessConfig::new(4).with_batches(3);
    let fixed = Data::new(5, 16, &device::autodiff()).all();
    let of_fixed =
        trained(|builder| builder.with_batch_sharpness(config, fixed.clone(), task_loss));
    let of_loader = trained(|builder| {
        let loader = Data::new(5, 16, &device::plain()).loader();
        builder.with_batch_sharpness(config, loader, task_loss)
    });
    let points = of_fixed.recorder.points(Quantity::BatchSharpness.name());
    let mut values = Vec::new();
    for ran in [of_fixed, of_loader] {
        assert!(weights(&ran.model) == weights(&bare.model));
        let except = ["batch_sharpness", "interaction"];
        assert_same_records(&ran.measured, &bare.measured, &except);
        for measured in ran.measured {
            let is_due = measured.step.is_multiple_of(4) && measured.is_of_training();
            let is_there = measured.batch_sharpness.is_some();
            assert_eq!(is_there, is_due, "{measured:?}");
            let interaction = measured.interaction_aware_sharpness;
            assert_eq!(interaction.is_some(), is_due);
            values.extend(measured.batch_sharpness);
        }
    }
    let is_whole = |of: &CurvatureValue| of.value.is_some() && of.standard_error.is_some();
    assert!(values.iter().all(is_whole));
    assert!(!points.is_empty() && points.len() <= values.len() / 2);
}

#[test]
fn what_cannot_be_measured_is_said_once_and_leaves_the_rest() {
    let data = Data::new(2, 16, &device::autodiff());
    let measure = |builder: SharpnessProbeBuilder| {
        let probe = builder.build().unwrap();
        let at = AtStep::new(model(), sgd(), 0.1, data.batch(0));
        let all = [(); 3].map(|()| at.measure(&probe));
        assert!(all.iter().all(|m| m.critical_sharpness.is_some()));
        (all, probe.summary().notices)
    };
    let builder = || SharpnessProbe::builder(SharpnessConfig::new().with_every(1));
    let config = BatchSharpnessConfig::new(1).with_batches(2);
    let batches = || data.all();

    let calls = AtomicUsize::new(0);
    let fragile = move |model: &Mlp, batch: Batch| {
        assert!(calls.fetch_add(1, Ordering::Relaxed) < 5, "on purpose");
        model.loss(&batch)
    };
    let draws = |model: &Mlp, batch: Batch| {
        let normal = Distribution::Normal(0.0, 1.0);
        model.loss(&batch) + Tensor::random([1], normal, &batch.x.device())
    };
    let of_another = |model: &Point, _: Batch| model.theta.val().sum();
    for case in [
        builder().with_batch_sharpness(config, batches(), fragile),
        builder().with_batch_sharpness(config, batches(), draws),
        builder().with_batch_sharpness(config, Vec::new(), task_loss),
        builder().with_batch_sharpness(config, batches(), of_another),
    ] {
        let (all, notices) = measure(case);
        let first = all[0].batch_sharpness.as_ref().unwrap();
        assert_eq!(first.outcome, CurvatureOutcome::Failed);
        assert_says(&notices.join("\n"), first.reason.as_ref().unwrap());
        assert!(all[1..].iter().all(|m| m.batch_sharpness.is_none()));
    }
    for (factor, outcome) in [
        (1.0, CurvatureOutcome::Measured),
        (f64::NAN, CurvatureOutcome::NonFinite),
        (0.0, CurvatureOutcome::Failed),
    ] {
        let scaled = move |model: &Mlp, batch: Batch| model.loss(&batch) * factor;
        let (all, _) = measure(builder().with_batch_sharpness(config, batches(), scaled));
        for measured in all {
            let value = measured.batch_sharpness.as_ref().unwrap();
            assert_eq!(value.outcome, outcome, "{value:?}");
            assert_eq!(value.value.is_some(), factor == 1.0);
        }
    }
    let one = BatchSharpnessConfig::new(2).with_batches(1);
    let (all, _) = measure(builder().with_batch_sharpness(one, batches(), task_loss));
    let first = all[0].batch_sharpness.as_ref().unwrap();
    assert_eq!(first.standard_error, None);
    assert_eq!(all[1].batch_sharpness, None);
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let build = |config| {
        let builder = SharpnessProbe::builder(SharpnessConfig::new());
        let builder = builder.with_batch_sharpness(config, vec![batch_of(4)], task_loss);
        builder.build().unwrap_err()
    };
    let refused = build(BatchSharpnessConfig::new(0));
    assert!(matches!(refused, ConfigError::Every(0)));
    let refused = build(BatchSharpnessConfig::new(5).with_batches(0));
    assert_says(&refused.to_string(), "over 0 batches");
}
