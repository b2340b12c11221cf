use sharpness_tests::prelude::*;

fn probe(config: SharpnessConfig) -> SharpnessProbe {
    probe_of(config.with_panel(true))
}

fn norm(vector: impl IntoIterator<Item = f64>) -> f64 {
    let squares = vector.into_iter().map(|value| value * value);
    squares.sum::<f64>().sqrt()
}

fn is_close(value: Option<f64>, exact: f64, tolerance: f64) -> bool {
    value.is_some_and(|value| (value - exact).abs() <= tolerance * exact.abs())
}

/// The excess over `slack`, in stated errors.
fn miss(measured: &Measurement, exact: f64, slack: f64) -> Option<f64> {
    let off = (measured.agreement? - exact).abs() - slack;
    Some(off.max(0.0) / measured.agreement_error.unwrap())
}

#[test]
fn the_panel_is_that_of_the_oracles() {
    let (mut rows, mut known) = (0, 0);
    for (path, fixture) in Fixture::all() {
        fixture.train(|_, row, at| {
            // A user's own fixture may lack the exact values.
            let Some((row, exact)) = row.and_then(|row| Some((row, row.gradient_norm?))) else {
                return;
            };
            let probe = probe(SharpnessConfig::new().with_every(1));
            let half = 0.5 * row.critical_lr;
            // The slope is known from the fourth measurement on.
            let all = [0, 1, 2, 3, 4].map(|step| {
                probe.set_step(step);
                let update = Update::new(&at.model, &at.optim, half, &at.grads);
                let update = update.with_training_loss(at.loss.clone());
                at.measured(&probe, update).unwrap()
            });
            let measured = &all[0];
            let text = format!("{} {row:?} {measured:?}", path.display());
            rows += 1;
            let tolerance = device::ORACLE;
            let assert_close = |value, exact, tolerance| {
                assert!(is_close(value, exact, tolerance), "{text}");
            };
            let weight_norm = row.weight_norm.unwrap();
            assert_close(measured.weight_norm, weight_norm, 1e-3);
            // A gradient near 0 is the rounding of its parts.
            if row.slope * row.critical_lr > 1e-4 * row.loss {
                assert_close(measured.gradient_norm, exact, tolerance);
                let cosine = row.gradient_cosine.unwrap();
                assert_close(measured.gradient_cosine, cosine, tolerance);
                let relative = half * row.update_norm.unwrap() / weight_norm;
                assert_close(measured.relative_update(), relative, tolerance);
            }
            let exact = row.agreement.unwrap();
            let slack = 2.0 * device::drift() * (1.0 + exact.abs());
            for miss in all.iter().filter_map(|m| miss(m, exact, slack)) {
                known += 1;
                assert!(miss <= 3.0, "{miss} {text}");
            }
        });
    }
    println!("{known} agreements of {rows} rows");
    assert!(rows >= 28 && known > 0, "{known} of {rows}");
}

#[derive(Module, Debug)]
struct Pair {
    point: Point,
    frozen: Point,
}

#[test]
fn the_panel_of_a_parabola_is_its_closed_form() {
    let mut pair = Pair {
        point: Point::at([2.0, 1.0]),
        frozen: Point::at([1e3]).no_grad(),
    };
    let loss = |pair: &Pair| (pair.point.theta.val().square() * 3.0).sum();
    let mut optim = sgd();
    let probe = probe(SharpnessConfig::new().with_every(1));
    let rate = 0.1;
    let mut exact = 5.0_f64.sqrt();
    for step in 0..6 {
        let training_loss = loss(&pair);
        let grads = GradientsParams::from_grads(training_loss.backward(), &pair);
        let update = Update::new(&pair, &optim, rate, &grads).with_training_loss(training_loss);
        let measured = probe.measure_update(update, loss).unwrap();
        // The gradient is 6θ, and a step at η leaves 1 − 6η of θ. The fall is 1 − 3η times the slope's prediction.
        assert!(is_close(measured.weight_norm, exact, 1e-5), "{measured:?}");
        assert!(is_close(measured.gradient_norm, 6.0 * exact, 1e-5));
        assert!(is_close(measured.gradient_cosine, 1.0, 1e-5));
        assert!(is_close(measured.relative_update(), 6.0 * rate, 1e-5));
        if measured.slope_source == Some(SlopeSource::Known) {
            let miss = miss(&measured, 1.0 - 3.0 * rate, 1e-5);
            assert!(miss.is_none_or(|miss| miss <= 1.0), "{measured:?}");
        } else {
            assert_eq!((measured.agreement, measured.agreement_error), (None, None));
            assert!(step < 4);
        }
        pair = optim.step(rate, pair, grads);
        exact *= 1.0 - 6.0 * rate;
    }
}

#[test]
fn what_is_not_known_is_none() {
    let measure = |config: SharpnessConfig, network: MlpConfig, rate: f64, factor: f64| {
        let probe = probe_of(config.with_every(1));
        let mut at = AtStep::new(network.start(), sgd(), rate, batch_of(32));
        at.grads = mapped_gradients(&at.model, &at.grads, |value| factor * value);
        let all = [0, 1, 2, 3, 4].map(|step| {
            probe.set_step(step);
            at.measure_told(&probe)
        });
        all[4].clone()
    };
    let panel_of = |measured: &Arc<Measurement>| {
        assert!(!format!("{measured:?}").contains("NaN"));
        Quantity::PANEL.map(|quantity| quantity.of(measured).is_some())
    };
    let on = || SharpnessConfig::new().with_panel(true);
    let plain = MlpConfig::for_data;

    let off = measure(SharpnessConfig::new(), plain(), 0.1, 1.0);
    assert_eq!(panel_of(&off), [false; 5]);
    let near = 0.5 * off.critical_lr.unwrap();
    let known = measure(on(), plain(), near, 1.0);
    assert_eq!(panel_of(&known)[..4], [true; 4], "{known:?}");
    let hinted = measure(on(), plain().with_dropout(0.5), near, 1.0);
    assert_eq!(panel_of(&hinted), [true, true, true, true, false]);
    let still = measure(on(), plain(), 0.0, 1.0);
    assert_eq!(panel_of(&still), [true, true, true, true, false]);
    assert_eq!(still.relative_update(), Some(0.0));
    let zero = measure(on(), plain(), 0.1, 0.0);
    assert_eq!(panel_of(&zero), [true, true, true, false, false]);
    assert_eq!(zero.gradient_norm, Some(0.0));
    let broken = measure(on(), plain(), 0.1, f64::NAN);
    assert_eq!(panel_of(&broken), [false, true, false, false, false]);
}

fn accumulated(folder: &Path, probe: Option<&SharpnessProbe>) -> Weights {
    let training = Training::new(folder).with(|run| run.accumulation = Some(2));
    weights(&training.fit(model(), adamw(), 0.02, probe).0)
}

fn trained(config: SharpnessConfig, folder: &Path) -> (Weights, Vec<Measurement>) {
    let config = config
        .with_every(1)
        .with_curvature(CurvatureConfig::new(3))
        .with_directory(folder);
    let probe = SharpnessProbe::builder(config)
        .with_task("other", vec![plain_batch_of(16)], task_loss)
        .with_group("head", ParamGroup::from_predicate("layers.1"))
        .build()
        .unwrap();
    (accumulated(folder, Some(&probe)), measurements(folder))
}

#[test]
fn the_panel_changes_neither_the_run_nor_what_else_is_measured() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let bare = accumulated(folders[2].path(), None);
    let (without, expected) = trained(SharpnessConfig::new(), folders[0].path());
    let config = SharpnessConfig::new()
        .with_panel(true)
        .with_thresholds(Thresholds::Adam { beta_1: 0.9 });
    let (with, measured) = trained(config, folders[1].path());
    assert!(with == bare && with == without);

    let record = std::fs::read_to_string(folders[0].path().join(MEASUREMENTS_FILE)).unwrap();
    let panel = [
        "gradient_",
        "weight_norm",
        "cosine",
        "agreement",
        "threshold",
    ];
    for name in panel {
        assert!(!record.contains(name), "{name}: {record}");
    }
    for measured in &measured {
        let is_training = measured.is_of_training();
        let has_panel = measured.gradient_norm.is_some() && measured.weight_norm.is_some();
        assert_eq!(has_panel, is_training, "{measured:?}");
        assert_eq!(measured.adam_threshold.is_some(), is_training);
        let has_noise = measured.gradient_variance.is_some();
        assert_eq!(has_noise, is_training && measured.step % 4 != 3);
    }
    assert_same_records(&measured, &expected, &panel);
}

#[test]
fn accumulated_gradients_are_those_of_the_mean_loss_and_metrics_show_the_panel() {
    let folder = tempfile::tempdir().unwrap();
    let config = SharpnessConfig::new().with_every(1);
    let probe = probe(config.with_directory(folder.path()));
    let model = model();
    let training = Training::new(folder.path())
        .with(|run| (run.accumulation, run.has_panel) = (Some(2), true));
    let [first, second] = [0, 1].map(|index| {
        let grads = gradients(&model, &training.data.batch(index));
        numbers(&model, &grads)
    });
    let pairs = || first.iter().zip(&second);
    let exact = norm(pairs().map(|(a, b)| 0.5 * (a + b)));
    // The variance within a pair, and its share in the square of the mean.
    let variance = 0.5 * norm(pairs().map(|(a, b)| a - b)).powi(2);
    let signal = exact.powi(2) - 0.5 * variance;
    let (_, recorder) = training.fit(model, sgd(), 0.1, Some(&probe));

    let measured = measurements(folder.path());
    assert!(is_close(measured[0].gradient_norm, exact, 1e-5));
    assert!(is_close(measured[0].gradient_cosine, 1.0, 1e-5));
    assert!(is_close(measured[0].gradient_variance, variance, 1e-4));
    assert!(is_close(measured[0].gradient_signal, signal, 1e-4));
    assert_eq!(measured[0].noise_scale().is_some(), signal > 0.0);
    // If two measurements are close to each other, a chart may show only the later.
    for quantity in Quantity::PANEL {
        let points = recorder.values(quantity.name(), TRAIN_SERIES);
        let expected: Vec<f64> = measured.iter().filter_map(|m| quantity.of(m)).collect();
        let mut rest = expected.iter();
        assert!(points.iter().all(|point| rest.any(|value| value == point)));
        let is_rare = quantity == Quantity::Agreement;
        assert!(is_rare || points.len() + 2 >= expected.len() && points.len() > 2);
    }
}

#[test]
fn a_panel_that_is_shown_and_not_measured_is_said() {
    let ran = Ran::new(1, |run| run.has_panel = true);
    let name = Quantity::WeightNorm.name().to_string();
    assert!(!ran.recorder.registered().contains(&name));
    assert!(
        says(&ran.probe, "with_panel(true)"),
        "{}",
        ran.probe.summary()
    );
}
