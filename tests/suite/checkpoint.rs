use sharpness_tests::prelude::*;

fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().init()
}

fn probe(directory: &Path) -> SharpnessProbe {
    let config = SharpnessConfig::new()
        .with_every(2)
        .with_directory(directory);
    SharpnessProbe::new(config).unwrap()
}

fn run(folder: &Path, epochs: usize, checkpoint: Option<usize>) -> Mlp {
    let training = Training {
        epochs,
        checkpoint,
        ..Training::new(folder)
    };
    let probe = probe(folder);
    let (model, _) = training.launch(probe.attach(model()), adamw(), 0.01, Some(&probe));
    model.into_inner()
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
fn a_resumed_run_continues_the_run_wide_step() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, None);
    run(folder.path(), 3, Some(1));

    let measured = measurements(folder.path());
    let steps: Vec<_> = measured
        .iter()
        .map(|m| (m.step, m.epoch.unwrap()))
        .collect();
    let expected: Vec<_> = (0..21)
        .step_by(2)
        .map(|step| (step, step / 7 + 1))
        .collect();
    assert_eq!(steps, expected);
}

#[test]
fn a_run_resumed_from_an_earlier_checkpoint_holds_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, None);
    run(folder.path(), 3, Some(1));

    let steps: Vec<_> = measurements(folder.path()).iter().map(|m| m.step).collect();
    assert_eq!(steps, (0..21).step_by(2).collect::<Vec<_>>());
    // The first run's measurements after this checkpoint have moved here.
    let superseded = folder.path().join("measurements-superseded.jsonl");
    let superseded = std::fs::read_to_string(superseded).unwrap();
    assert_eq!(superseded.lines().count(), 3, "steps 8, 10 and 12");
}

#[test]
fn a_line_cut_short_by_a_crash_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, None);
    let path = folder.path().join("measurements.jsonl");
    let mut content = std::fs::read_to_string(&path).unwrap();
    content.push_str("{\"version\":1,\"step\":6,\"epo");
    std::fs::write(&path, content).unwrap();

    run(folder.path(), 2, Some(1));
    let steps: Vec<_> = measurements(folder.path()).iter().map(|m| m.step).collect();
    assert_eq!(steps, (0..14).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_second_probe_on_a_folder_is_refused_unless_the_first_run_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let first = probe(folder.path());
    // Both probes exist before the training, as for two models that train against each other.
    let config = SharpnessConfig::new().with_directory(folder.path());
    let refused = SharpnessProbe::new(config).err().unwrap();
    assert!(
        matches!(refused, ConfigError::DirectoryInUse { .. }),
        "{refused}"
    );
    let training = Training {
        epochs: 1,
        ..Training::new(folder.path())
    };
    training.launch(first.attach(model()), adamw(), 0.01, Some(&first));

    // The run resumes in the same program, and the first probe still exists.
    run(folder.path(), 2, Some(1));
    let steps: Vec<_> = measurements(folder.path()).iter().map(|m| m.step).collect();
    assert_eq!(steps, (0..14).step_by(2).collect::<Vec<_>>());
}

fn timeless(mut measured: Vec<Measurement>) -> Vec<Measurement> {
    measured.iter_mut().for_each(|of| of.seconds = 0.0);
    measured
}

fn assert_is_same_record(measured: Vec<Measurement>, expected: Vec<Measurement>) {
    let (measured, expected) = (timeless(measured), timeless(expected));
    assert_eq!(measured.len(), expected.len());
    for (a, b) in measured.iter().zip(&expected) {
        assert_eq!(a, b);
    }
}

fn run_to_compare(
    folder: &Path,
    cap: Option<f64>,
    epochs: usize,
    checkpoint: Option<usize>,
) -> Mlp {
    let config = SharpnessConfig::new().with_every(2).with_directory(folder);
    let config = match cap {
        Some(fraction) => config.with_edge_cap(fraction),
        None => config,
    };
    let other = Data::new(3, 16, &device::plain());
    let other: Vec<_> = (0..3).map(|index| other.batch(index)).collect();
    let probe = SharpnessProbe::builder(config)
        .with_task("other", other, |model: &Mlp, batch: Batch| {
            model.loss(&batch)
        })
        .with_training_task("same")
        .build()
        .unwrap();
    let training = Training {
        epochs,
        checkpoint,
        ..Training::new(folder)
    };
    let (model, _) = training.launch(probe.attach(model()), adamw(), 1.0, Some(&probe));
    model.into_inner()
}

#[test]
fn a_resumed_run_has_the_record_and_the_weights_of_one_that_was_not_cut() {
    for cap in [None, Some(0.3)] {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [uncut, resumed] = folders.each_ref().map(|folder| folder.path());
        let expected = run_to_compare(uncut, cap, 4, None);
        run_to_compare(resumed, cap, 2, None);
        let model = run_to_compare(resumed, cap, 4, Some(2));
        assert_eq!(weights(&model), weights(&expected), "{cap:?}");
        assert_is_same_record(measurements(resumed), measurements(uncut));
        let is_capped = measurements(uncut)
            .iter()
            .any(|of| of.learning_rate_used.is_some());
        assert_eq!(is_capped, cap.is_some());
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

        let probe = probe(folder.path());
        let training = Training {
            checkpoint: Some(1),
            ..Training::new(folder.path())
        };
        training.launch(probe.attach(model()), adamw(), 0.01, Some(&probe));
        let steps: Vec<_> = measurements(folder.path()).iter().map(|m| m.step).collect();
        assert_eq!(steps, (0..14).step_by(2).collect::<Vec<_>>());
        let told = probe.summary().notices;
        assert!(
            told.iter()
                .any(|notice| notice.contains("without what its measurements had taught")),
            "{damage}: {told:?}"
        );
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
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_edge_cap(0.3)).unwrap();
    if is_resumed {
        probe.resume(from.step, &from.state);
    }
    let Saved {
        mut model,
        mut optim,
        ..
    } = from.clone();
    let mut measured = Vec::new();
    while probe.step() < end {
        let step = probe.step();
        let batch = data.batch(step as usize % 4);
        let loss = |model: &Mlp| model.loss(&batch);
        let at_this_step = loss(&model);
        let grads = GradientsParams::from_grads(at_this_step.clone().backward(), &model);
        let made = Step::new(model, &mut optim, 1.0, grads).with_training_loss(at_this_step);
        model = probe.optimize_step(made, loss);
        measured.extend(probe.latest("train").filter(|of| of.step == step));
    }
    let measured = measured.iter().map(|of| Measurement::clone(of)).collect();
    let (step, state) = (probe.step(), probe.state());
    (
        measured,
        Saved {
            model,
            optim,
            step,
            state,
        },
    )
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
    assert_is_same_record(measured, uncut);
    assert_eq!(weights(&resumed.model), weights(&at_end.model));
    assert_eq!(resumed.state, at_end.state);
}
