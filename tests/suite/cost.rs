use sharpness_tests::prelude::*;

const STEPS: usize = 120;
const WARM_UP: usize = 20;

/// Returns the mean evaluations for each step's loss and another batch's, once warm.
fn mean_evaluations(config: &MlpConfig, source: SlopeSource) -> [f64; 2] {
    let device = Device::flex().autodiff();
    let (data, other) = (Data::new(20, 64, &device), Data::new(4, 256, &device));
    let mut model = config.init(&device);
    let mut optim: ModuleOptimizer = AdamConfig::new().init();
    let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1))
        .with_task("other", vec![other.batch(1)], |model, batch| {
            Mlp::loss(model, &batch)
        })
        .build()
        .unwrap();
    let mut evaluations = [Vec::new(), Vec::new()];
    for step in 0..STEPS {
        let batch = data.batch(step % 20);
        let loss = model.loss(&batch);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let update = Update::new(&model, &optim, 3e-3, &grads);
        let trained = probe
            .measure_update(update.with_training_loss(loss), |model| model.loss(&batch))
            .unwrap();
        let of_task = probe.latest("other").unwrap();
        if step >= WARM_UP {
            assert_eq!(trained.slope_source, Some(source));
            assert_eq!(of_task.slope_source, None);
            for (all, measured) in evaluations.iter_mut().zip([trained, of_task]) {
                // A task that rises from the start has no crossing.
                if measured.outcome == Bracketed {
                    all.push(measured.evaluations as f64);
                }
            }
        }
        model = optim.step(3e-3, model, grads);
    }
    evaluations.map(|all| {
        assert!(all.len() >= STEPS / 2);
        all.iter().sum::<f64>() / all.len() as f64
    })
}

#[test]
fn a_warm_measurement_takes_few_evaluations() {
    let known = MlpConfig::for_data();
    let hinted = MlpConfig::for_data().with_dropout(0.1).with_batch_norm();
    for (name, config, source, most) in [
        ("known slope", known, SlopeSource::Known, 2.6),
        ("hint of a slope", hinted, SlopeSource::Hint, 3.7),
    ] {
        let [trained, of_task] = mean_evaluations(&config, source);
        println!("{name}: {trained:.2}, of a task {of_task:.2}");
        assert!(trained <= most, "{name}: {trained}");
        assert!(of_task <= 3.7, "{name}, of a task: {of_task}");
    }
}

/// In turns with and without: `cargo test --workspace --test suite -- --ignored --nocapture time_of_the_panel`
#[test]
#[ignore = "is a timing"]
fn the_time_of_the_panel() {
    let device = Device::flex().autodiff();
    for (width, batch) in [(32, 64), (256, 256), (512, 512)] {
        let layers = vec![Data::FEATURES, width, width, Data::CLASSES];
        let mut model = MlpConfig::new(layers, LossKind::Xent).init(&device);
        let data = Data::new(20, batch, &device);
        let mut optim: ModuleOptimizer = AdamConfig::new().init();
        let probes = [false, true].map(|panel| {
            let config = SharpnessConfig::new().with_every(1).with_panel(panel);
            SharpnessProbe::new(config).unwrap()
        });
        let mut seconds = [Vec::new(), Vec::new()];
        for step in 0..WARM_UP + 300 {
            let batch = data.batch(step % 20);
            let loss = model.loss(&batch);
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            let mut order = [0, 1];
            order.rotate_left(step % 2);
            for index in order {
                let update = Update::new(&model, &optim, 1e-3, &grads);
                let update = update.with_training_loss(loss.clone());
                let measured = probes[index].measure_update(update, |model| model.loss(&batch));
                if step >= WARM_UP {
                    seconds[index].push(measured.unwrap().seconds);
                }
            }
            model = optim.step(1e-3, model, grads);
        }
        let [without, with] = seconds.map(|mut all| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        });
        let ratio = with / without;
        println!("width {width}: {with:.6} s with, {without:.6} s without, {ratio:.3}");
    }
}
