//! The records of small runs equal `tests/fixtures/records`, except times. `REDRAW=1 cargo test --workspace --test
//! suite -- record::` writes them again.

use sharpness_tests::prelude::*;
use std::fmt::Write;

type Train<'a> = &'a dyn Fn(&SharpnessProbe, &Path) -> Mlp;

fn with_batch_norm() -> Mlp {
    MlpConfig::for_data().with_batch_norm().start()
}

fn other(builder: SharpnessProbeBuilder) -> SharpnessProbeBuilder {
    let data = Data::new(5, 16, &device::plain());
    let batches = vec![data.batch(3), data.batch(4)];
    builder.with_task("other", batches, task_loss)
}

fn head(builder: SharpnessProbeBuilder) -> SharpnessProbeBuilder {
    builder.with_group("head", ParamGroup::from_predicate("layers.1"))
}

fn check(
    name: &str,
    config: SharpnessConfig,
    add: fn(SharpnessProbeBuilder) -> SharpnessProbeBuilder,
    train: Train<'_>,
) {
    let folder = tempfile::tempdir().unwrap();
    let bare = weights(&train(&SharpnessProbe::disabled(), folder.path()));
    let folder = tempfile::tempdir().unwrap();
    let config = config.with_directory(folder.path());
    let probe = add(SharpnessProbe::builder(config)).build().unwrap();
    let trained = weights(&train(&probe, folder.path()));
    assert_eq!(trained, bare);

    // The weights show whether this machine rounds as the fixture's machine did.
    let bits = bare.iter().flat_map(|(_, bits)| bits);
    let hash = bits.fold(0xcbf2_9ce4_8422_2325, |hash: u64, bits| {
        (hash ^ u64::from(*bits)).wrapping_mul(0x100_0000_01b3)
    });
    let arithmetic = format!("weights after the run: {hash:016x}");
    let record = std::fs::read_to_string(folder.path().join(MEASUREMENTS_FILE)).unwrap();
    let mut now = format!("{arithmetic}\n{}", without_times(&record));
    for notice in probe.summary().notices {
        writeln!(now, "told: {notice}").unwrap();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/records");
    let fixture = folder.join(format!("{name}.txt"));
    if std::env::var_os("REDRAW").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&fixture, &now).unwrap();
        return;
    }
    let before = std::fs::read_to_string(&fixture).unwrap();
    if before.lines().next() != Some(&arithmetic) {
        println!("left out: the training itself rounds otherwise on this machine");
        return;
    }
    for (number, (line, then)) in now.lines().zip(before.lines()).enumerate() {
        assert_eq!(line, then, "line {} of the record of {name}", number + 1);
    }
    assert_eq!(now, before, "the record of {name}");
}

fn without_times(record: &str) -> String {
    const SECONDS: &str = "\"seconds\":";
    let mut parts = record.split(SECONDS);
    let mut text = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find([',', '}']).unwrap();
        text.push_str(SECONDS);
        text.push('…');
        text.push_str(&part[end..]);
    }
    text
}

#[test]
fn of_a_loop_with_batch_norm_a_task_a_group_and_curvature() {
    let config = SharpnessConfig::new()
        .with_every(2)
        .with_dense_every(1)
        .with_batch_statistics(true)
        .with_curvature(CurvatureConfig::new(4));
    let add = |builder| head(other(builder));
    check("loop_measure", config, add, &|probe, _| {
        let data = Data::new(3, 16, &device::autodiff());
        let (mut model, mut optim) = (with_batch_norm(), AdamWConfig::new().init());
        for step in 0..12 {
            let rate = 4e-3 * (step.min(3) as f64 + 1.0);
            let at = AtStep::new(model, optim, rate, data.batch(step % 3));
            let update = at.update().with_training_loss(at.loss.clone());
            at.measured(probe, update.with_curvature(|model| model.loss(&at.batch)));
            (model, optim) = at.step();
        }
        model
    });
}

#[test]
fn of_a_loop_whose_steps_come_first() {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_curvature(CurvatureConfig::new(4));
    check("loop_optimize", config, other, &|probe, _| {
        let data = Data::new(3, 16, &device::autodiff());
        let (mut model, mut optim) = (model(), momentum());
        for step in 0..12 {
            let batch = data.batch(step % 3);
            let loss = model.loss(&batch);
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            let step = Step::new(model, &mut optim, 0.05, grads)
                .with_training_loss(loss)
                .with_curvature(|model: &Mlp| model.loss(&batch));
            model = probe.optimize_step(step, |model| model.loss(&batch));
        }
        model
    });
}

#[test]
fn of_a_loop_in_which_one_after_the_other_panics() {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_curvature(CurvatureConfig::new(1));
    let add = |builder: SharpnessProbeBuilder| {
        let calls = AtomicUsize::new(0);
        let loss = move |model: &Mlp, batch: Batch| {
            assert!(calls.fetch_add(1, Ordering::Relaxed) < 12, "the task");
            model.loss(&batch)
        };
        builder.with_task("fragile", vec![plain_batch_of(16)], loss)
    };
    check("loop_panics", config, add, &|probe, _| {
        let data = Data::new(3, 16, &device::autodiff());
        let (mut model, mut optim) = (model(), sgd());
        for step in 0..9 {
            let batch = data.batch(step % 3);
            let loss = model.loss(&batch);
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            let (gradients, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let made = Step::new(model, &mut optim, 0.05, grads)
                .with_training_loss(loss)
                .with_curvature(|model: &Mlp| {
                    assert!(step < 4 || gradients.fetch_add(1, Ordering::Relaxed) < 3);
                    model.loss(&batch)
                });
            model = probe.optimize_step(made, |model| {
                assert!(step < 6 || calls.fetch_add(1, Ordering::Relaxed) < 1);
                model.loss(&batch)
            });
        }
        model
    });
}

#[test]
fn of_the_learner_with_a_task_and_curvature() {
    let config = SharpnessConfig::new()
        .with_every(2)
        .with_curvature(CurvatureConfig::new(4));
    check("learner", config, other, &|probe, folder| {
        let schedule = LinearLrSchedulerConfig::new(1e-3, 2e-2, 12).init().unwrap();
        let optim = AdamWConfig::new().init();
        let training = Training::new(folder);
        training.fit(model(), optim, schedule, Some(probe)).0
    });
}

#[test]
fn of_the_learner_with_batch_norm_a_group_and_accumulation() {
    let config = SharpnessConfig::new().with_every(1);
    let config = config.with_batch_statistics(true);
    check("learner_batch_norm", config, head, &|probe, folder| {
        let training = Training::new(folder).with(|run| run.accumulation = Some(2));
        training.fit(with_batch_norm(), sgd(), 0.1, Some(probe)).0
    });
}

#[test]
fn of_two_workers() {
    let [first, second] = device::two();
    if first != second {
        println!("left out: the training itself differs from run to run on two devices");
        return;
    }
    let config = SharpnessConfig::new().with_every(2);
    check("learner_workers", config, other, &|probe, folder| {
        let workers = Some(MultiDeviceOptim::OptimMainDevice);
        let training = Training::new(folder).with(|run| run.workers = workers);
        training.fit(model(), sgd(), 0.1, Some(probe)).0
    });
}
