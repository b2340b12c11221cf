use sharpness_tests::prelude::*;

fn probe(config: SharpnessConfig) -> SharpnessProbe {
    SharpnessProbe::new(config.with_panel(true)).unwrap()
}

fn norm(vector: impl IntoIterator<Item = f64>) -> f64 {
    let squares = vector.into_iter().map(|value| value * value);
    squares.sum::<f64>().sqrt()
}

fn numbers<M: Module>(model: &M, grads: &GradientsParams) -> Vec<f64> {
    let mut numbers = Vec::new();
    mapped_gradients(model, grads, |value| {
        numbers.push(value);
        value
    });
    numbers
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
    let device = device::autodiff();
    let tolerances = device::tolerances();
    let (mut rows, mut known) = (0, 0);
    for (path, fixture) in Fixture::all() {
        let (mut optim, rate) = fixture.optimizer();
        let mut model = fixture.model(&device);
        let batch = fixture.batch(&device);
        let last = fixture.rows.iter().map(|row| row.step).max().unwrap();
        for step in 0..=last {
            let loss = model.loss(&batch);
            let grads = GradientsParams::from_grads(loss.clone().backward(), &model);
            let row = fixture.rows.iter().find(|row| row.step == step);
            // A user's own fixture may lack the exact values.
            if let Some(row) = row
                && let Some(exact) = row.gradient_norm
            {
                let probe = probe(SharpnessConfig::new().with_every(1));
                let half = 0.5 * row.critical_lr;
                // The slope is known from the fourth measurement on.
                let all = (0..5).map(|at| {
                    probe.set_step(at);
                    let update = Update::new(&model, &optim, half, &grads);
                    let update = update.with_training_loss(loss.clone());
                    let measured = probe.measure_update(update, |model| model.loss(&batch));
                    measured.unwrap()
                });
                let all: Vec<Arc<Measurement>> = all.collect();
                let measured = &all[0];
                let text = format!("{} {row:?} {measured:?}", path.display());
                rows += 1;
                let tolerance = tolerances.oracle;
                let weight_norm = row.weight_norm.unwrap();
                assert!(is_close(measured.weight_norm, weight_norm, 1e-3), "{text}");
                // A gradient near 0 is the rounding of its parts.
                if row.slope * row.critical_lr > 1e-4 * row.loss {
                    assert!(is_close(measured.gradient_norm, exact, tolerance), "{text}");
                    let cosine = row.gradient_cosine.unwrap();
                    assert!(
                        is_close(measured.gradient_cosine, cosine, tolerance),
                        "{text}"
                    );
                    let relative = half * row.update_norm.unwrap() / weight_norm;
                    let found = measured.relative_update();
                    assert!(is_close(found, relative, tolerance), "{text}");
                }
                let exact = row.agreement.unwrap();
                let slack = 2.0 * tolerances.drift * (1.0 + exact.abs());
                for miss in all.iter().filter_map(|m| miss(m, exact, slack)) {
                    known += 1;
                    assert!(miss <= 3.0, "{miss} {text}");
                }
            }
            model = optim.step(rate, model, grads);
        }
    }
    println!("{known} agreements of {rows} rows");
    assert!(rows >= 28 && known > 0, "{known} of {rows}");
}

#[derive(Module, Debug)]
struct Point {
    theta: Param<Tensor<1>>,
    frozen: Param<Tensor<1>>,
}

#[test]
fn the_panel_of_a_parabola_is_its_closed_form() {
    let device = device::autodiff();
    let frozen = Param::from_tensor(Tensor::<1>::from_floats([1e3], &device));
    let mut point = Point {
        theta: Param::from_tensor(Tensor::from_floats([2.0, 1.0], &device)),
        frozen: frozen.no_grad(),
    };
    let loss = |point: &Point| (point.theta.val().square() * 3.0).sum();
    let mut optim: ModuleOptimizer = SgdConfig::new().init();
    let probe = probe(SharpnessConfig::new().with_every(1));
    let rate = 0.1;
    let mut exact = 5.0_f64.sqrt();
    for step in 0..6 {
        let training_loss = loss(&point);
        let grads = GradientsParams::from_grads(training_loss.backward(), &point);
        let update = Update::new(&point, &optim, rate, &grads).with_training_loss(training_loss);
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
        point = optim.step(rate, point, grads);
        exact *= 1.0 - 6.0 * rate;
    }
}

/// Returns the distance of each agreement in stated errors, and the largest possible number of agreements.
fn misses(mut optim: ModuleOptimizer, first_rate: f64) -> (Vec<f64>, usize) {
    const STEPS: usize = 200;
    let device = device::autodiff();
    let data = Data::new(20, 64, &device);
    let mut model = MlpConfig::for_data().init(&device);
    let probe = probe(SharpnessConfig::new().with_every(1));
    let mut misses = Vec::new();
    for step in 0..STEPS {
        let rate = first_rate * 1.02_f64.powi(step as i32);
        let batch = data.batch(step % 20);
        let loss = model.loss(&batch);
        let grads = GradientsParams::from_grads(loss.clone().backward(), &model);
        let gradient = numbers(&model, &grads);
        let before = values(&model);
        let before_loss = loss.clone().into_scalar::<f64>();
        let update = Update::new(&model, &optim, rate, &grads).with_training_loss(loss);
        let measured = probe.measure_update(update, |model| model.loss(&batch));
        let measured = measured.unwrap();
        model = optim.step(rate, model, grads);

        let after = values(&model);
        let pairs = before.iter().zip(&after);
        let delta: Vec<f64> = pairs
            .map(|(before, after)| (f64::from(*before) - f64::from(*after)) / rate)
            .collect();
        let products = gradient.iter().zip(&delta).map(|(g, d)| g * d);
        let slope: f64 = products.sum();
        let gradient_norm = norm(gradient.iter().copied());
        let weight_norm = norm(before.iter().map(|value| f64::from(*value)));
        assert!(is_close(measured.gradient_norm, gradient_norm, 1e-4));
        assert!(is_close(measured.weight_norm, weight_norm, 1e-4));
        let cosine = slope / (gradient_norm * norm(delta.iter().copied()));
        let off = (measured.gradient_cosine.unwrap() - cosine).abs();
        assert!(off < 1e-3, "{cosine} {measured:?}");
        let relative = rate * norm(delta) / weight_norm;
        assert!(is_close(measured.relative_update(), relative, 1e-3));
        let after_loss = model.loss(&batch).into_scalar::<f64>();
        let exact = (before_loss - after_loss) / (rate * slope);
        let rounding = 4.0 * f64::from(f32::EPSILON) * before_loss / (rate * slope).abs();
        misses.extend(miss(&measured, exact, rounding));
    }
    (misses, STEPS)
}

#[test]
fn an_agreement_is_that_of_the_step_that_is_made_to_its_stated_error() {
    let momentum = burn::optim::momentum::MomentumConfig::new();
    let optimizers: [(ModuleOptimizer, f64); 3] = [
        (SgdConfig::new().init(), 0.05),
        (SgdConfig::new().with_momentum(Some(momentum)).init(), 0.01),
        (AdamConfig::new().init(), 1e-3),
    ];
    let (mut all, mut possible) = (Vec::new(), 0);
    for (optim, first_rate) in optimizers {
        let (misses, of) = misses(optim, first_rate);
        println!("{} of {of}", misses.len());
        all.extend(misses);
        possible += of;
    }
    let beyond = |times: f64| all.iter().filter(|miss| **miss > times).count();
    println!(
        "{} of {possible}: {} are off by more than is stated",
        all.len(),
        beyond(1.0)
    );
    assert!(!all.is_empty());
    assert!(20 * beyond(1.0) <= all.len());
    assert!(100 * beyond(3.0) <= all.len());
}

#[test]
fn what_is_not_known_is_none() {
    let device = device::autodiff();
    let data = Data::new(1, 32, &device);
    let measure = |config: SharpnessConfig, network: MlpConfig, rate: f64, factor: f64| {
        let probe = SharpnessProbe::new(config.with_every(1)).unwrap();
        let (model, batch) = (network.init(&device), data.batch(0));
        let optim: ModuleOptimizer = SgdConfig::new().init();
        let grads = GradientsParams::from_grads(model.loss(&batch).backward(), &model);
        let grads = mapped_gradients(&model, &grads, |value| factor * value);
        let mut last = None;
        for step in 0..5 {
            probe.set_step(step);
            let loss = model.loss(&batch);
            let update = Update::new(&model, &optim, rate, &grads).with_training_loss(loss);
            last = probe.measure_update(update, |model: &Mlp| model.loss(&batch));
        }
        last.unwrap()
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

fn trained(config: SharpnessConfig, folder: &Path) -> (Vec<(String, Vec<u8>)>, Vec<Measurement>) {
    let config = config
        .with_every(1)
        .with_curvature(CurvatureConfig::new(3))
        .with_directory(folder);
    let data = Data::new(1, 16, &device::plain());
    let probe = SharpnessProbe::builder(config)
        .with_task("other", vec![data.batch(0)], |model: &Mlp, batch| {
            model.loss(&batch)
        })
        .with_group("head", ParamGroup::from_predicate("layers.1"))
        .build()
        .unwrap();
    let model = probe.attach(MlpConfig::for_data().init(&device::autodiff()));
    let training = Training {
        accumulation: Some(2),
        ..Training::new(folder)
    };
    let optim = AdamWConfig::new().with_weight_decay(0.1).init();
    let (model, _) = training.launch(model, optim, 0.02, Some(&probe));
    (weights(&model.into_inner()), measurements(folder))
}

#[test]
fn the_panel_changes_neither_the_run_nor_what_else_is_measured() {
    let bare = tempfile::tempdir().unwrap();
    let training = Training {
        accumulation: Some(2),
        ..Training::new(bare.path())
    };
    let model = MlpConfig::for_data().init(&device::autodiff());
    let optim = AdamWConfig::new().with_weight_decay(0.1).init();
    let (bare, _) = training.launch(model, optim, 0.02, None);

    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (without, expected) = trained(SharpnessConfig::new(), folders[0].path());
    let config = SharpnessConfig::new()
        .with_panel(true)
        .with_thresholds(Thresholds::Adam { beta_1: 0.9 });
    let (with, mut measured) = trained(config, folders[1].path());
    assert_eq!(with, weights(&bare));
    assert_eq!(with, without);

    let record = std::fs::read_to_string(folders[0].path().join(MEASUREMENTS_FILE)).unwrap();
    for name in [
        "gradient_variance",
        "gradient_norm",
        "weight_norm",
        "cosine",
        "agreement",
        "threshold",
    ] {
        assert!(!record.contains(name), "{record}");
    }
    for measured in &mut measured {
        let is_training = measured.is_of_training();
        let has_panel = measured.gradient_norm.is_some() && measured.weight_norm.is_some();
        assert_eq!(has_panel, is_training, "{measured:?}");
        assert_eq!(measured.adam_threshold.is_some(), is_training);
        let has_noise = measured.gradient_variance.is_some();
        assert_eq!(has_noise, is_training && measured.step % 4 != 3);
        measured.gradient_variance = None;
        measured.gradient_signal = None;
        measured.gradient_norm = None;
        measured.weight_norm = None;
        measured.gradient_cosine = None;
        measured.agreement = None;
        measured.agreement_error = None;
        measured.adam_threshold = None;
    }
    let without_times = |measured: Vec<Measurement>| -> Vec<String> {
        let texts = measured.into_iter().map(|mut measurement| {
            measurement.seconds = 0.0;
            if let Some(curvature) = &mut measurement.curvature {
                curvature.directional_sharpness.seconds = 0.0;
                curvature.hessian_sharpness.seconds = 0.0;
            }
            format!("{measurement:?}")
        });
        texts.collect()
    };
    assert_eq!(without_times(measured), without_times(expected));
}

#[test]
fn accumulated_gradients_are_those_of_the_mean_loss_and_metrics_show_the_panel() {
    let folder = tempfile::tempdir().unwrap();
    let config = SharpnessConfig::new().with_every(1);
    let probe = probe(config.with_directory(folder.path()));
    let device = device::autodiff();
    let model = MlpConfig::for_data().init(&device);
    let training = Training {
        accumulation: Some(2),
        has_panel: true,
        ..Training::new(folder.path())
    };
    let losses = [0, 1].map(|index| model.loss(&training.data.batch(index)));
    let of_loss = |loss: Tensor<1>| {
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        numbers(&model, &grads)
    };
    let [first, second] = losses.map(of_loss);
    let pairs = || first.iter().zip(&second);
    let exact = norm(pairs().map(|(a, b)| 0.5 * (a + b)));
    // The variance within a pair, and its share in the square of the mean.
    let variance = 0.5 * norm(pairs().map(|(a, b)| a - b)).powi(2);
    let signal = exact.powi(2) - 0.5 * variance;
    let optim = SgdConfig::new().init();
    let (_, recorder) = training.launch(probe.attach(model), optim, 0.1, Some(&probe));

    let measured = measurements(folder.path());
    assert!(is_close(measured[0].gradient_norm, exact, 1e-5));
    assert!(is_close(measured[0].gradient_cosine, 1.0, 1e-5));
    assert!(is_close(measured[0].gradient_variance, variance, 1e-4));
    assert!(is_close(measured[0].gradient_signal, signal, 1e-4));
    assert_eq!(measured[0].noise_scale().is_some(), signal > 0.0);
    // If two measurements are close to each other, a chart may show only the later.
    for quantity in Quantity::PANEL {
        let points = recorder.curve(quantity.name(), TRAIN_SERIES);
        let points: Vec<f64> = points.into_iter().map(|(_, value)| value).collect();
        let expected: Vec<f64> = measured.iter().filter_map(|m| quantity.of(m)).collect();
        let mut rest = expected.iter();
        assert!(points.iter().all(|point| rest.any(|value| value == point)));
        let is_rare = quantity == Quantity::Agreement;
        assert!(is_rare || points.len() + 2 >= expected.len() && points.len() > 2);
    }
}

#[test]
fn a_panel_that_is_shown_and_not_measured_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
    let training = Training {
        has_panel: true,
        ..Training::new(folder.path())
    };
    let model = probe.attach(MlpConfig::for_data().init(&device::autodiff()));
    let (_, recorder) = training.launch(model, SgdConfig::new().init(), 0.1, Some(&probe));
    let registered = recorder.registered();
    assert!(!registered.contains(&Quantity::WeightNorm.name().to_string()));
    let notices = probe.summary().notices;
    assert!(
        notices
            .iter()
            .any(|notice| notice.contains("with_panel(true)")),
        "{notices:?}"
    );
}
