use sharpness_tests::prelude::*;

fn run(folder: &Path, epochs: usize, checkpoint: Option<usize>) -> Mlp {
    run_with(&in_folder(2, folder), folder, epochs, checkpoint, 0.01)
}

fn run_with(
    probe: &SharpnessProbe,
    folder: &Path,
    epochs: usize,
    checkpoint: Option<usize>,
    rate: f64,
) -> Mlp {
    let training = Training::new(folder);
    let training = training.with(|run| (run.epochs, run.checkpoint) = (epochs, checkpoint));
    training.fit(model(), adamw(), rate, Some(probe)).0
}

#[track_caller]
fn assert_every_second(folder: &Path, end: u64) {
    assert_eq!(steps(folder), (0..end).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_checkpoint_loads_into_the_bare_model() {
    let folder = tempfile::tempdir().unwrap();
    let trained = run(folder.path(), 1, None);

    let checkpoint = folder.path().join("checkpoint").join("model-1.bpk");
    let loaded = model().try_load_file(checkpoint).unwrap();
    assert_eq!(weights(&loaded), weights(&trained));
}

#[test]
fn a_run_resumed_from_an_earlier_checkpoint_holds_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, None);
    run(folder.path(), 3, Some(1));

    assert_every_second(folder.path(), 21);
    let measured = measurements(folder.path());
    assert!(measured.iter().all(|m| m.epoch == Some(m.step / 7 + 1)));
    // The first run's measurements after this checkpoint have moved here.
    let superseded = folder.path().join("measurements-superseded.jsonl");
    let superseded = std::fs::read_to_string(superseded).unwrap();
    assert_eq!(superseded.lines().count(), 3, "steps 8, 10 and 12");
}

#[test]
fn a_line_cut_short_by_a_crash_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, None);
    let path = folder.path().join(MEASUREMENTS_FILE);
    let mut content = std::fs::read_to_string(&path).unwrap();
    content.push_str("{\"version\":1,\"step\":6,\"epo");
    std::fs::write(&path, content).unwrap();

    run(folder.path(), 2, Some(1));
    assert_every_second(folder.path(), 14);
}

#[test]
fn a_second_probe_on_a_folder_is_refused_unless_the_first_run_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let first = in_folder(2, folder.path());
    // Both probes exist before the training, as for two models that train against each other.
    let config = SharpnessConfig::new().with_directory(folder.path());
    let refused = SharpnessProbe::new(config).unwrap_err();
    let is_in_use = matches!(refused, ConfigError::DirectoryInUse { .. });
    assert!(is_in_use, "{refused}");
    run_with(&first, folder.path(), 1, None, 0.01);

    // The run resumes in the same program, and the first probe still exists.
    run(folder.path(), 2, Some(1));
    assert_every_second(folder.path(), 14);
}

#[test]
fn a_resumed_run_has_the_record_and_the_weights_of_one_that_was_not_cut() {
    for cap in [None, Some(0.3)] {
        let run = |folder: &Path, epochs, checkpoint| {
            let config = SharpnessConfig::new().with_every(2).with_directory(folder);
            let config = match cap {
                Some(fraction) => config.with_edge_cap(fraction),
                None => config,
            };
            let other = Data::new(3, 16, &device::plain()).all();
            let probe = SharpnessProbe::builder(config)
                .with_task("other", other, task_loss)
                .with_training_task("same")
                .build()
                .unwrap();
            run_with(&probe, folder, epochs, checkpoint, 1.0)
        };
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [uncut, resumed] = folders.each_ref().map(|folder| folder.path());
        let expected = run(uncut, 4, None);
        run(resumed, 2, None);
        let model = run(resumed, 4, Some(2));
        assert_eq!(weights(&model), weights(&expected), "{cap:?}");
        let record = measurements(uncut);
        let is_capped = record.iter().any(|of| of.learning_rate_used.is_some());
        assert_eq!(is_capped, cap.is_some());
        assert_same_records(&measurements(resumed), &record, &[]);
    }
}

#[test]
fn a_checkpoint_without_what_was_learned_resumes_afresh_and_says_so() {
    for damage in [r#""state":"0.1.0 0 []""#, r#""state":"""#, r#""other":"""#] {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), 1, None);
        let path = folder.path().join("measurement-checkpoints.jsonl");
        let notes = std::fs::read_to_string(&path).unwrap();
        let (before, _) = notes.split_once(r#""state":"#).unwrap();
        std::fs::write(&path, format!("{before}{damage}}}\n")).unwrap();

        let probe = in_folder(2, folder.path());
        run_with(&probe, folder.path(), 2, Some(1), 0.01);
        assert_every_second(folder.path(), 14);
        let words = "without what its measurements had taught";
        assert!(says(&probe, words), "{damage}: {}", probe.summary());
    }
}

#[derive(Clone)]
struct Saved {
    model: Mlp,
    optim: ModuleOptimizer,
    step: u64,
    state: String,
}

fn own_loop(from: &Saved, end: u64, is_resumed: bool) -> (Vec<Measurement>, Saved) {
    let data = Data::new(4, 16, &device::autodiff());
    let probe = probe_of(SharpnessConfig::new().with_edge_cap(0.3));
    if is_resumed {
        probe.resume(from.step, &from.state);
    }
    let mut at = from.clone();
    let mut measured = Vec::new();
    while probe.step() < end {
        let step = probe.step();
        let batch = data.batch(step as usize % 4);
        let loss = |model: &Mlp| model.loss(&batch);
        let at_this_step = loss(&at.model);
        let grads = GradientsParams::from_grads(at_this_step.backward(), &at.model);
        let made = Step::new(at.model, &mut at.optim, 1.0, grads).with_training_loss(at_this_step);
        at.model = probe.optimize_step(made, loss);
        let latest = probe.latest("train").filter(|of| of.step == step);
        measured.extend(latest.map(|of| Measurement::clone(&of)));
    }
    (at.step, at.state) = (probe.step(), probe.state());
    (measured, at)
}

#[test]
fn a_loop_of_ones_own_resumes_with_the_state_that_it_has_saved() {
    let start = Saved {
        model: model(),
        optim: adamw(),
        step: 0,
        state: String::new(),
    };
    let (uncut, at_end) = own_loop(&start, 24, false);
    let (mut measured, saved) = own_loop(&start, 9, false);
    let (rest, resumed) = own_loop(&saved, 24, true);
    measured.extend(rest);
    assert!(uncut.iter().any(|of| of.learning_rate_used.is_some()));
    assert_same_records(&measured, &uncut, &[]);
    assert_eq!(weights(&resumed.model), weights(&at_end.model));
    assert_eq!(resumed.state, at_end.state);
}
