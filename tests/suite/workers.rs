use burn::tensor::distributed::{DistributedConfig, ReduceOperation};
use sharpness_tests::prelude::*;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const STEPS: usize = 8;
const RATE: f64 = 0.1;
const BATCH: usize = 16;
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(500);

fn config(folder: &Path) -> SharpnessConfig {
    let config = SharpnessConfig::new().with_every(1).with_tolerance(1e-3);
    config.with_worker_limit(LONG).with_directory(folder)
}

fn replicas(workers: usize) -> Replicas {
    Replicas::new(workers, &device::two())
}

fn probe_in(folder: &TempDir) -> SharpnessProbe {
    probe_of(config(folder.path()))
}

/// Returns the weights.
fn train(strategy: Replicas, batch: usize, rate: f64, probe: Option<&SharpnessProbe>) -> Weights {
    match probe {
        Some(probe) => {
            let probed = train_model(probe.attach(model()), strategy, batch, rate, Some(probe));
            weights(&probed.into_inner())
        }
        None => weights(&train_model(model(), strategy, batch, rate, None)),
    }
}

fn train_model<M: Trainable>(
    model: M,
    strategy: Replicas,
    batch: usize,
    rate: f64,
    probe: Option<&SharpnessProbe>,
) -> M {
    let batches = STEPS * strategy.devices.len();
    let data = Data::new(batches, batch, &device::autodiff());
    let strategy = TrainingStrategy::Custom(Arc::new(strategy));
    launch(model, strategy, data, rate, probe)
}

fn launch<M: Trainable>(
    model: M,
    strategy: TrainingStrategy<M>,
    data: Data,
    rate: f64,
    probe: Option<&SharpnessProbe>,
) -> M {
    let folder = tempfile::tempdir().unwrap();
    let training = Training::new(folder.path()).with(|run| (run.data, run.epochs) = (data, 1));
    let training = training.prepare(probe).0.with_training_strategy(strategy);
    let momentum = MomentumConfig::new().with_dampening(0.0);
    let optim = SgdConfig::new().with_momentum(Some(momentum)).init();
    let result = training.launch(Learner::new(model, optim, rate));
    assert!(result.error.is_none(), "{:?}", result.error);
    result.model
}

/// The second update is `scale` times the first.
fn assert_agree(of_workers: &Measurement, of_one: &Measurement, scale: f64) {
    assert_eq!(of_workers.outcome, Bracketed, "{of_workers:?}");
    let found = of_workers.critical_lr.unwrap() * scale;
    let expected = of_one.critical_lr.unwrap();
    let errors = of_workers.critical_lr_error.unwrap() + of_one.critical_lr_error.unwrap();
    let off = (found / expected - 1.0).abs();
    assert!(off <= 3.0 * errors + 1e-5, "{of_workers:?} {of_one:?}");
    if let Some((found, expected)) = of_workers.base_loss.zip(of_one.base_loss) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    assert_eq!(of_workers.batch_fraction, 1.0);
}

#[test]
fn workers_measure_together_what_one_device_measures_on_the_whole_batch() {
    for (workers, reduce, forks) in [
        (2, Reduce::Mean, true),
        (2, Reduce::Sum, true),
        (4, Reduce::Mean, true),
        (4, Reduce::Sum, true),
        (2, Reduce::Mean, false),
    ] {
        let case = format!("{workers} workers, {reduce:?}, forks: {forks}");
        if !forks && device::two()[0] != device::two()[1] {
            println!("left out: clones that stay on one device");
            continue;
        }
        let scale = match reduce {
            Reduce::Sum => workers as f64,
            Reduce::Mean => 1.0,
        };
        let strategy = || Replicas {
            reduce,
            forks,
            ..replicas(workers)
        };
        let [folder, alone] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let probe = probe_in(&folder);
        let bare = train(strategy(), BATCH, RATE / scale, None);
        let probed = train(strategy(), BATCH, RATE / scale, Some(&probe));
        assert_eq!(probed, bare, "{case}");
        let of_one = probe_in(&alone);
        train(replicas(1), workers * BATCH, RATE, Some(&of_one));

        let (measured, expected) = (measurements(folder.path()), measurements(alone.path()));
        assert_eq!((measured.len(), expected.len()), (STEPS, STEPS), "{case}");
        for (index, (of_workers, of_one)) in measured.iter().zip(&expected).enumerate() {
            assert_eq!(of_workers.step, index as u64);
            assert_agree(of_workers, of_one, scale);
            assert_eq!(of_one.workers, None);
            // The probe recognizes clones as several workers once they have made the same update.
            let share = (forks || index > 0).then(|| WorkerShare::new(workers, workers));
            assert_eq!(of_workers.workers, share, "{case}");
        }
        // Three measurements settle the scale of the gradients.
        for (of_workers, of_one) in measured.iter().zip(&expected).skip(5) {
            assert_eq!(of_workers.slope_source, Some(SlopeSource::Known), "{case}");
            let slope = of_workers.slope.unwrap() / scale;
            assert_near(slope, of_one.slope.unwrap(), 1e-3);
        }
        assert_silent(&probe);
    }
}

#[test]
fn workers_measure_groups_together_and_one_of_them_what_the_user_gives() {
    let measured = |workers: usize| {
        let folder = tempfile::tempdir().unwrap();
        let probe = SharpnessProbe::builder(config(folder.path()))
            .with_group("head", ParamGroup::from_predicate("layers.1"))
            .with_task("other", vec![plain_batch_of(32)], task_loss)
            .with_batch_sharpness(
                BatchSharpnessConfig::new(1),
                vec![plain_batch_of(32)],
                task_loss,
            )
            .build()
            .unwrap();
        let batch = BATCH * 2 / workers;
        train(replicas(workers), batch, RATE, Some(&probe));
        measurements(folder.path())
    };
    let (of_two, of_one) = (measured(2), measured(1));
    assert_eq!(of_two.len(), 3 * STEPS);
    for (of_two, of_one) in of_two.iter().zip(&of_one) {
        assert_eq!((of_two.step, &of_two.task), (of_one.step, &of_one.task));
        if of_one.outcome == Bracketed {
            assert_agree(of_two, of_one, 1.0);
        }
        let share = (of_two.task != "other").then(|| WorkerShare::new(2, 2));
        assert_eq!(of_two.workers, share);
        if of_two.task == TRAIN_TASK {
            let sharpness = of_two.batch_sharpness.as_ref().unwrap();
            assert_ne!(sharpness.outcome, CurvatureOutcome::Failed, "{sharpness:?}");
        }
    }
}

#[test]
fn a_worker_that_ends_or_does_not_come_is_left_out_and_the_run_goes_on() {
    for (step, is_kept) in [(0, false), (0, true), (3, false), (3, true)] {
        let stop = Stop {
            worker: 1,
            step,
            is_kept,
        };
        let strategy = || Replicas {
            stop: Some(stop),
            ..replicas(2)
        };
        let bare = train(strategy(), BATCH, RATE, None);
        let folder = tempfile::tempdir().unwrap();
        // Nobody waits for a worker that has ended.
        let limit = if is_kept { SHORT } else { LONG };
        let probe = probe_of(config(folder.path()).with_worker_limit(limit));
        let probed = train(strategy(), BATCH, RATE, Some(&probe));
        assert_eq!(probed, bare, "{stop:?}");

        let measured = measurements(folder.path());
        let steps = steps(folder.path());
        assert_eq!(steps, (0..STEPS as u64).collect::<Vec<_>>(), "{stop:?}");
        for measurement in &measured[step..] {
            let is_at_stop = measurement.step == step as u64;
            assert_eq!(measurement.outcome, Bracketed, "{stop:?}");
            // Before its first update the probe does not know the worker: the other evaluates its batches.
            let share = (is_at_stop && step > 0).then(|| WorkerShare::new(1, 2));
            let fraction = if share.is_some() { 0.5 } else { 1.0 };
            assert_eq!(measurement.workers, share, "{stop:?}");
            assert_eq!(measurement.batch_fraction, fraction, "{stop:?}");
        }
        let told = says(&probe, "a worker has ended");
        assert_eq!(told, step > 0, "{}", probe.summary());
    }
}

#[test]
fn a_worker_without_a_batch_makes_the_update_and_has_no_part_in_the_loss() {
    for (step, first) in [(0, 0), (0, 1), (3, 0), (3, 1)] {
        let strategy = |probe: Option<&SharpnessProbe>| Replicas {
            first: probe.map(|probe| (first, probe.clone())),
            idle: Some((1, step)),
            ..replicas(2)
        };
        let bare = train(strategy(None), BATCH, RATE, None);
        let folder = tempfile::tempdir().unwrap();
        let probe = probe_in(&folder);
        let probed = train(strategy(Some(&probe)), BATCH, RATE, Some(&probe));
        assert_eq!(probed, bare);

        let measured = measurements(folder.path());
        assert_eq!(measured.len(), STEPS, "{step} {first}");
        for measurement in &measured {
            assert_eq!(measurement.outcome, Bracketed, "{measurement:?}");
            let workers = match measurement.step == step as u64 {
                false => Some(WorkerShare::new(2, 2)),
                true if step == 0 => None,
                true => Some(WorkerShare::new(1, 2)),
            };
            assert_eq!(measurement.workers, workers, "{step} {first}");
            assert_eq!(measurement.batch_fraction, 1.0);
        }
        assert_silent(&probe);
    }
}

#[derive(Clone, Copy, Debug)]
struct At {
    worker: usize,
    step: usize,
    /// The worker's evaluations at this step before the fault.
    evaluation: usize,
}

fn with_fault(
    at: At,
    limit: Duration,
    fault: impl Fn(&SharpnessProbe) + Send + Sync + 'static,
) -> (Vec<Measurement>, SharpnessProbe) {
    let strategy = |probe: Option<&SharpnessProbe>| Replicas {
        first: probe.map(|probe| (0, probe.clone())),
        ..replicas(2)
    };
    let bare = train(strategy(None), BATCH, RATE, None);
    let folder = tempfile::tempdir().unwrap();
    let probe = probe_of(config(folder.path()).with_worker_limit(limit));
    let evaluations = AtomicUsize::new(0);
    let of_probe = probe.clone();
    let probed = probe.attach_with(model(), move |model: &Mlp, batch: Batch| {
        let is_there = of_probe.summary().measurements == at.step as u64
            && Replicas::worker() == Some(at.worker);
        if is_there && evaluations.fetch_add(1, Ordering::SeqCst) == at.evaluation {
            fault(&of_probe);
        }
        model.loss(&batch)
    });
    let probed = train_model(probed, strategy(Some(&probe)), BATCH, RATE, Some(&probe));
    assert_eq!(weights(&probed.into_inner()), bare, "{at:?}");
    (measurements(folder.path()), probe)
}

fn places(worker: usize) -> impl Iterator<Item = At> {
    let places = [(0, 0), (0, 2), (3, 0), (3, 2)].into_iter();
    places.map(move |(step, evaluation)| At {
        worker,
        step,
        evaluation,
    })
}

#[test]
fn a_worker_whose_loss_panics_ends_the_measuring_and_not_the_run() {
    for at in places(0).chain(places(1)) {
        let fault = |_: &SharpnessProbe| panic!("an injected stop");
        let (measured, probe) = with_fault(at, LONG, fault);
        assert_eq!(measured.len(), at.step + 1, "{at:?}");
        let last = measured.last().unwrap();
        assert_eq!(last.outcome, Failed, "{at:?}");
        assert_eq!(last.workers, Some(WorkerShare::new(2, 2)), "{at:?}");
        assert_says(last.reason.as_ref().unwrap(), "the loss panicked");
        assert!(says(&probe, "the loss panicked"), "{at:?}");
    }
}

#[test]
fn a_worker_that_hangs_in_an_evaluation_is_left_out_and_the_run_goes_on() {
    for at in places(1) {
        let fault = move |probe: &SharpnessProbe| {
            wait_until(|| probe.summary().measurements > at.step as u64);
        };
        let (measured, probe) = with_fault(at, SHORT, fault);
        assert_eq!(measured.len(), STEPS, "{at:?}");
        for measurement in &measured {
            assert_eq!(measurement.outcome, Bracketed, "{at:?}");
        }
        let of_fault = &measured[at.step];
        assert_eq!(of_fault.workers, Some(WorkerShare::new(1, 2)), "{at:?}");
        assert_eq!(of_fault.batch_fraction, 0.5, "{at:?}");
        assert!(says(&probe, "did not take part"), "{}", probe.summary());
    }
}

#[test]
fn workers_of_burns_own_distributed_training_measure_together() {
    let mut devices = device::with_collectives();
    devices.truncate(2);
    if devices.len() < 2 {
        println!("left out: burn's DistributedDataParallel, which takes two GPUs and `cuda`");
        return;
    }
    for all_reduce_op in [ReduceOperation::Mean, ReduceOperation::Sum] {
        let folder = tempfile::tempdir().unwrap();
        let probe = probe_in(&folder);
        let config = DistributedConfig { all_reduce_op };
        let strategy = ExecutionStrategy::ddp(devices.clone(), config).into();
        let probed = probe.attach(MlpConfig::for_data().init(&devices[0]));
        let data = Data::new(STEPS, BATCH, &devices[0]);
        launch(probed, strategy, data, RATE / 2.0, Some(&probe));
        let measured = measurements(folder.path());
        assert_eq!(measured.len(), STEPS);
        for measurement in &measured {
            assert_eq!(measurement.outcome, Bracketed, "{all_reduce_op:?}");
            let share = Some(WorkerShare::new(2, 2));
            assert_eq!(measurement.workers, share, "{all_reduce_op:?}");
        }
        let source = measured.last().unwrap().slope_source;
        assert_eq!(source, Some(SlopeSource::Known), "{all_reduce_op:?}");
    }
}

/// Run on an idle machine: `cargo test --workspace --test suite -- --ignored --nocapture workers::`.
#[test]
#[ignore = "measures time, which needs a core for each worker and nothing else on them"]
fn the_time_of_a_measurement_by_two_workers_over_that_by_one() {
    let seconds = |workers: usize| {
        let folder = tempfile::tempdir().unwrap();
        let probe = probe_in(&folder);
        let layers = vec![Data::FEATURES, 512, 512, Data::CLASSES];
        let model = probe.attach(MlpConfig::new(layers, LossKind::Xent).start());
        let began = Instant::now();
        train_model(model, replicas(workers), 1024, RATE, Some(&probe));
        let run = began.elapsed();
        let measured = measurements(folder.path());
        let passes: usize = measured.iter().map(|m| m.evaluations).sum();
        let seconds: f64 = measured.iter().map(|m| m.seconds).sum();
        println!("{workers}: {passes} evaluations in {seconds:.2} s of {run:.1?}");
        seconds / passes as f64
    };
    let ratio = seconds(2) / seconds(1);
    println!("an evaluation by two workers takes {ratio:.2} times that by one");
}
