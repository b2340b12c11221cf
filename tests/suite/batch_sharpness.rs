use sharpness_tests::prelude::*;

fn loss(model: &Mlp, batch: Batch) -> Tensor<1> {
    model.loss(&batch)
}

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
    let device = device::autodiff();
    let tolerance = device::tolerances().curvature;
    let (mut all, mut resolved) = (0, 0);
    for (path, fixture) in Fixture::all() {
        println!("{}", path.display());
        let (mut optim, rate) = fixture.optimizer();
        let mut model = fixture.model(&device);
        let whole = fixture.batch(&device);
        let last = fixture.rows.iter().map(|row| row.step).max().unwrap();
        let batches = fixture.batches(32, &device);
        let config = BatchSharpnessConfig::new(1).with_batches(batches.len());
        let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1))
            .with_batch_sharpness(config, batches, loss)
            .build()
            .unwrap();
        for step in 0..=last {
            let grads = GradientsParams::from_grads(model.loss(&whole).backward(), &model);
            let row = fixture.rows.iter().find(|row| row.step == step);
            if let Some(row) = row
                && let Some(exact) = row.batch_sharpness
            {
                probe.set_step(step);
                let measured = probe.measure(&model, &optim, rate, &grads, |m| m.loss(&whole));
                let measured = measured.unwrap();
                let of_batches = measured.batch_sharpness.as_ref().unwrap();
                let interaction = measured.interaction_aware_sharpness.as_ref().unwrap();
                println!("step {step}: {exact} {of_batches:?}");
                assert!(of_batches.gradients > 0 && interaction.gradients == 0);
                let exact_ratio = row.interaction_aware_sharpness.unwrap();
                for (value, exact) in [(of_batches, exact), (interaction, exact_ratio)] {
                    all += 1;
                    resolved += usize::from(value.outcome == CurvatureOutcome::Measured);
                    match value.value {
                        Some(_) => assert!(off(value, exact) < tolerance, "{value:?} {exact}"),
                        None => assert_ne!(value.outcome, CurvatureOutcome::Measured),
                    }
                }
                let error = of_batches.standard_error.unwrap();
                let exact = row.batch_sharpness_error.unwrap();
                let has_value = of_batches.value.is_some();
                assert!(!has_value || (error / exact - 1.0).abs() < 5.0 * tolerance);
            }
            model = optim.step(rate, model, grads);
        }
    }
    assert!(all >= 56 && 10 * resolved >= 9 * all, "{resolved} of {all}");
}

/// With other losses and groups, too. Returns weights, record and charts.
fn trained(
    folder: &Path,
    add: impl Fn(SharpnessProbeBuilder) -> SharpnessProbeBuilder,
) -> (Weights, Vec<Measurement>, Vec<(usize, f64)>) {
    let config = SharpnessConfig::new().with_every(1).with_directory(folder);
    let builder = SharpnessProbe::builder(config)
        .with_group("head", ParamGroup::from_predicate("layers.1"))
        .with_task(
            "other",
            vec![Data::new(1, 16, &device::plain()).batch(0)],
            loss,
        );
    let probe = add(builder).build().unwrap();
    let network = MlpConfig::for_data().with_batch_norm();
    let model = probe.attach(network.init(&device::autodiff()));
    let optim = AdamWConfig::new().with_weight_decay(0.1).init();
    let (model, recorder) = Training::new(folder).launch(model, optim, 0.02, Some(&probe));
    let points = recorder.curve(Quantity::BatchSharpness.name(), TRAIN_SERIES);
    (weights(&model.into_inner()), measurements(folder), points)
}

#[test]
fn batch_sharpness_changes_neither_the_run_nor_what_else_is_measured() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (bare, expected, _) = trained(folders[0].path(), |builder| builder);
    assert!(expected.iter().all(|m| m.batch_sharpness.is_none()));
    let config = BatchSharpnessConfig::new(4).with_batches(3);
    let batches = |device: &Device| Data::new(5, 16, device);
    let fixed: Vec<Batch> = (0..5)
        .map(|i| batches(&device::autodiff()).batch(i))
        .collect();
    let (of_fixed, fixed_record, points) = trained(folders[1].path(), |builder| {
        builder.with_batch_sharpness(config, fixed.clone(), loss)
    });
    let (of_loader, loader_record, _) = trained(folders[2].path(), |builder| {
        builder.with_batch_sharpness(config, batches(&device::plain()).loader(), loss)
    });
    assert!(bare == of_fixed && bare == of_loader);
    let mut values = Vec::new();
    for record in [fixed_record, loader_record] {
        assert_eq!(record.len(), expected.len());
        for (mut measured, expected) in record.into_iter().zip(&expected) {
            let is_due = measured.step.is_multiple_of(4) && measured.is_of_training();
            let taken = measured.batch_sharpness.take();
            assert_eq!(taken.is_some(), is_due, "{measured:?}");
            assert_eq!(
                measured.interaction_aware_sharpness.take().is_some(),
                is_due
            );
            values.extend(taken);
            measured.seconds = expected.seconds;
            assert_eq!(measured, *expected);
        }
    }
    assert!(
        values
            .iter()
            .all(|value| value.value.is_some() && value.standard_error.is_some())
    );
    assert!(!points.is_empty() && points.len() <= values.len() / 2);
}

#[test]
fn what_cannot_be_measured_is_said_once_and_leaves_the_rest() {
    let device = device::autodiff();
    let data = Data::new(2, 16, &device);
    let measure = |builder: SharpnessProbeBuilder, poisoned: bool| {
        let probe = builder.build().unwrap();
        let (model, batch) = (MlpConfig::for_data().init(&device), data.batch(0));
        let optim: ModuleOptimizer = SgdConfig::new().init();
        let grads = GradientsParams::from_grads(model.loss(&batch).backward(), &model);
        let all = (0..3).map(|_| {
            let update = Update::new(&model, &optim, 0.1, &grads);
            probe
                .measure_update(update, |model: &Mlp| model.loss(&batch))
                .unwrap()
        });
        let all: Vec<_> = all.collect();
        assert!(
            all.iter().all(|m| m.critical_sharpness.is_some()),
            "{poisoned}"
        );
        let notices = probe.summary().notices;
        (all, notices)
    };
    let builder = || SharpnessProbe::builder(SharpnessConfig::new().with_every(1));
    let config = BatchSharpnessConfig::new(1).with_batches(2);
    let batches = || vec![data.batch(0), data.batch(1)];

    let calls = AtomicUsize::new(0);
    let fragile = move |model: &Mlp, batch: Batch| {
        assert!(calls.fetch_add(1, Ordering::Relaxed) < 5, "on purpose");
        model.loss(&batch)
    };
    let draws = |model: &Mlp, batch: Batch| {
        let normal = Distribution::Normal(0.0, 1.0);
        model.loss(&batch) + Tensor::random([1], normal, &batch.x.device())
    };
    let cases = [
        builder().with_batch_sharpness(config, batches(), fragile),
        builder().with_batch_sharpness(config, batches(), draws),
        builder().with_batch_sharpness(config, Vec::new(), loss),
        builder().with_batch_sharpness(config, batches(), |model: &Point, _: Batch| {
            model.theta.val().sum()
        }),
    ];
    for case in cases {
        let (all, notices) = measure(case, false);
        let first = all[0].batch_sharpness.as_ref().unwrap();
        assert_eq!(first.outcome, CurvatureOutcome::Failed);
        let reason = first.reason.as_ref().unwrap();
        assert!(
            notices.iter().any(|notice| notice.contains(reason)),
            "{notices:?}"
        );
        assert!(all[1..].iter().all(|m| m.batch_sharpness.is_none()));
    }
    let outcomes = [
        (1.0, CurvatureOutcome::Measured),
        (f64::NAN, CurvatureOutcome::NonFinite),
        (0.0, CurvatureOutcome::Failed),
    ];
    for (factor, outcome) in outcomes {
        let scaled = move |model: &Mlp, batch: Batch| model.loss(&batch) * factor;
        let (all, _) = measure(
            builder().with_batch_sharpness(config, batches(), scaled),
            true,
        );
        for measured in all {
            let value = measured.batch_sharpness.as_ref().unwrap();
            assert_eq!(value.outcome, outcome, "{value:?}");
            assert_eq!(value.value.is_some(), factor == 1.0);
        }
    }
    let one = BatchSharpnessConfig::new(2).with_batches(1);
    let (all, _) = measure(builder().with_batch_sharpness(one, batches(), loss), false);
    assert_eq!(
        all[0].batch_sharpness.as_ref().unwrap().standard_error,
        None
    );
    assert_eq!(all[1].batch_sharpness, None);
}

#[derive(burn::module::Module, Debug)]
struct Point {
    theta: burn::module::Param<Tensor<1>>,
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let build = |config| {
        let batches = vec![Data::new(1, 4, &device::autodiff()).batch(0)];
        let builder = SharpnessProbe::builder(SharpnessConfig::new());
        builder.with_batch_sharpness(config, batches, loss).build()
    };
    let refused = build(BatchSharpnessConfig::new(0)).unwrap_err();
    assert!(matches!(refused, ConfigError::Every(0)));
    let refused = build(BatchSharpnessConfig::new(5).with_batches(0)).unwrap_err();
    assert!(refused.to_string().contains("over 0 batches"), "{refused}");
}
