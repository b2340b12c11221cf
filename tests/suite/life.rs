use burn::train::metric::store::{Aggregate, Direction, Split};
use burn::train::{Interrupter, MetricEarlyStoppingStrategy, StoppingCondition};
use sharpness_tests::prelude::*;
use std::sync::Barrier;
use std::thread;

/// An epoch has seven updates.
const EVERY: u64 = 3;
const WORDS: &str = "attach this probe to the model";

fn probe(folder: &Path) -> SharpnessProbe {
    in_folder(EVERY, folder)
}

fn training<M: Trainable>(folder: &Path, epochs: usize) -> (SupervisedTraining<M>, Recorder) {
    let training = Training::new(folder).with(|run| run.epochs = epochs);
    training.prepare(None)
}

fn learner<M: LearnerModel>(model: M) -> Learner<M> {
    Learner::new(model, adam(), 1e-2)
}

/// Trains with the probe, attached, in the folder.
fn run(probe: &SharpnessProbe, folder: &Path, epochs: usize) -> (Mlp, Recorder) {
    let (training, recorder) = training(folder, epochs);
    let training = training.metrics_sharpness(probe);
    let result = training.launch(learner(probe.attach(model())));
    (result.model.into_inner(), recorder)
}

fn bare(folder: &Path, epochs: usize) -> Mlp {
    training(folder, epochs).0.launch(learner(model())).model
}

#[test]
fn metrics_of_a_probe_that_was_not_attached_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let probe = probe(folder.path());
    assert!(says(&probe, WORDS));
    let (training, recorder) = training::<Mlp>(folder.path(), 4);
    training.metrics_sharpness(&probe).launch(learner(model()));
    assert_says(&recorder.text("Critical Sharpness", "train"), WORDS);
    assert_eq!(probe.summary().measurements, 0);
    assert!(says(&probe, WORDS));
}

#[test]
fn metrics_of_another_probe_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| probe(&folder.path().join(name)));
    let (training, recorder) = training(folder.path(), 4);
    let training = training.metrics_sharpness(&one);
    training.launch(learner(two.attach(model())));
    assert_says(&recorder.text("Critical Sharpness", "train"), WORDS);
    assert_says(&two.summary().notices[0], "no metric shows");
    assert_eq!(two.summary().measurements, 10);
}

#[test]
fn a_probe_without_metrics_writes_its_record_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let probe = probe(folder.path());
    let (training, _) = training(folder.path(), 2);
    training.launch(learner(probe.attach(model())));
    assert_eq!(steps(folder.path()), [0, 3, 6, 9, 12]);
    assert_says(&probe.summary().notices[0], "no metric shows");
}

#[test]
fn metrics_may_be_registered_twice() {
    let folder = tempfile::tempdir().unwrap();
    let probe = probe(folder.path());
    let (training, recorder) = training(folder.path(), 2);
    let training = training.metrics_sharpness(&probe).metrics_sharpness(&probe);
    training.launch(learner(probe.attach(model())));
    assert_eq!(steps(folder.path()), [0, 3, 6, 9, 12]);
    assert!(!recorder.points("Critical Sharpness").is_empty());
}

#[test]
fn two_probes_on_one_model_measure_the_same_each_in_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    let with_curvature = |folder: &Path| {
        let config = SharpnessConfig::new().with_every(EVERY);
        let curvature = CurvatureConfig::new(2 * EVERY);
        probe_of(config.with_directory(folder).with_curvature(curvature))
    };
    // The inner hook sees the copies and gradients of the outer hook's measurements, neither validations nor items.
    let (of_one, of_two) = (with_curvature(&one), with_curvature(&two));
    let model_of_both = of_two.attach(of_one.attach(model()));
    let (run, _) = training(folder.path(), 2);
    let run = run.metrics_sharpness(&of_one).metrics_sharpness(&of_two);
    let both = run.launch(learner(model_of_both)).model;
    let critical = |folder: &Path| -> Vec<_> {
        let measured = measurements(folder).into_iter();
        measured.map(|m| (m.step, m.epoch, m.critical_lr)).collect()
    };
    assert_eq!(critical(&one), critical(&two));
    assert_eq!(steps(&one), [0, 3, 6, 9, 12]);

    let bare = bare(&folder.path().join("bare"), 2);
    assert_eq!(weights(&both.into_inner().into_inner()), weights(&bare));
}

#[test]
fn a_probe_that_is_used_again_begins_a_new_run() {
    let folder = tempfile::tempdir().unwrap();
    let probe = probe(folder.path());
    for name in ["one", "two"] {
        let (_, recorder) = run(&probe, &folder.path().join(name), 1);
        let summary = probe.summary();
        assert_eq!((summary.measurements, probe.step()), (3, 7), "{summary}");
        assert!(!recorder.points("Critical Sharpness").is_empty(), "{name}");
    }
    assert_eq!(steps(folder.path()), [0, 3, 6]);
}

#[test]
fn a_program_that_runs_again_in_its_folder_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [once, again] = [(); 2].map(|()| {
        run(&probe(folder.path()), folder.path(), 1);
        let measured = measurements(folder.path()).into_iter();
        measured
            .map(|m| (m.step, m.critical_lr))
            .collect::<Vec<_>>()
    });
    assert_eq!(once, again);
}

#[test]
fn training_can_be_stopped_early_on_sharpness() {
    let folder = tempfile::tempdir().unwrap();
    let probe = probe(folder.path());
    let metric = SharpnessMetric::new(&probe, Quantity::CriticalSharpness);
    let stop = MetricEarlyStoppingStrategy::new(
        &metric,
        Aggregate::Mean,
        Direction::Lowest,
        Split::Train,
        StoppingCondition::NoImprovementSince { n_epochs: 2 },
    );
    let (training, _) = training(folder.path(), 40);
    let training = training.metrics_sharpness(&probe).early_stopping(stop);
    training.launch(learner(probe.attach(model())));
    assert!((7 * 3..7 * 40).contains(&probe.step()), "{}", probe.step());
}

#[test]
fn a_run_that_the_user_stops_resumes_at_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let interrupter = Interrupter::new();
    // At an edge that is always passed.
    let config = SharpnessConfig::new().with_every(EVERY);
    let config = config.with_warning_after(4).with_directory(folder.path());
    let first = probe_of(config).on_edge({
        let interrupter = interrupter.clone();
        move |measurement| interrupter.stop(Some(&format!("at {}", measurement.step)))
    });
    let (run, _) = training(folder.path(), 3);
    let run = run.with_interrupter(interrupter);
    let run = run.metrics_sharpness(&first);
    let result = run.launch(Learner::new(first.attach(model()), sgd(), 50.0));
    let stopped_at = measurements(folder.path()).last().unwrap().step;
    if let Some(interrupted) = result.interrupted {
        assert_eq!(interrupted.reason, Some(format!("at {stopped_at}")));
    }

    let again = probe(folder.path());
    let (run, _) = training(folder.path(), 3);
    let run = run.checkpoint(1).metrics_sharpness(&again);
    run.launch(Learner::new(again.attach(model()), sgd(), 0.1));
    assert_eq!(steps(folder.path()), [0, 3, 6, 9, 12, 15, 18]);
    assert_eq!(again.step(), 21);
}

#[test]
fn a_checkpoint_that_was_made_without_the_probe_counts_from_0_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    bare(folder.path(), 1);
    let probe = probe(folder.path());
    let (run, _) = training(folder.path(), 2);
    let run = run.checkpoint(1).metrics_sharpness(&probe);
    run.launch(learner(probe.attach(model())));
    assert_eq!(steps(folder.path()), [0, 3, 6]);
    assert_says(&probe.summary().notices[0], "steps are counted from 0");
}

#[test]
fn without_a_folder_a_resumed_run_counts_from_0() {
    let folder = tempfile::tempdir().unwrap();
    for (epochs, checkpoint) in [(1, None), (2, Some(1))] {
        let probe = every(EVERY);
        let training = Training::new(folder.path());
        let training = training.with(|run| (run.epochs, run.checkpoint) = (epochs, checkpoint));
        training.fit(model(), adam(), 1e-2, Some(&probe));
        assert_eq!(probe.step(), 7);
    }
}

#[test]
fn weights_that_are_loaded_after_attaching_are_those_that_are_trained() {
    let folder = tempfile::tempdir().unwrap();
    let pretrained = model().into_record();
    let probe = probe(folder.path());
    let other = MlpConfig::for_data().with_zero_head().start();
    let loaded = probe.attach(other).load_record(pretrained);
    let (run, _) = training(folder.path(), 1);
    let run = run.metrics_sharpness(&probe);
    let trained = run.launch(learner(loaded)).model.into_inner();
    let bare = bare(&folder.path().join("bare"), 1);
    assert_eq!(weights(&trained), weights(&bare));
    assert_eq!(steps(folder.path()), [0, 3, 6]);
}

#[test]
fn a_strategy_that_passes_no_learning_rate_is_named() {
    use burn::train::metric::Metric;

    let probe = every(1);
    let mut metric = SharpnessMetric::new(&probe, Quantity::CriticalSharpness);
    let mut model = probe.attach(model());
    let mut text = String::new();
    for _ in 0..16 {
        let grads = TrainStep::step(&model, batch_of(16)).grads;
        model = TrainStep::optimize(model, &mut adam(), 1e-2.into(), grads);
        text = metric.update(&(), &metadata(None)).unwrap().formatted;
    }
    assert_says(&text, "no learning rate");
    assert_says(&probe.summary().to_string(), "no learning rate");
}

#[test]
fn threads_that_share_a_probe_never_get_the_same_step() {
    const THREADS: u64 = 4;
    const STEPS: u64 = 2000;
    let probe = every(1);
    let barrier = Barrier::new(THREADS as usize);
    let measured_by = || {
        let (model, optim) = (model(), adam());
        let grads = GradientsParams::new();
        barrier.wait();
        let calls = 0..STEPS;
        let measured = calls.flat_map(|_| probe.measure(&model, &optim, 0.01, &grads, |_| 1.0));
        measured.map(|measured| measured.step).collect::<Vec<_>>()
    };
    let mut steps = thread::scope(|scope| {
        let threads = [(); THREADS as usize].map(|()| scope.spawn(measured_by));
        threads.map(|thread| thread.join().unwrap()).concat()
    });
    steps.sort_unstable();
    assert_eq!(steps, Vec::from_iter(0..THREADS * STEPS));
}
