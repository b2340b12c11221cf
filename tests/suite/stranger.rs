use sharpness_tests::prelude::*;

pub(crate) fn data() -> Data {
    Data::new(7, 16, &device::autodiff())
}

pub(crate) fn says(probe: &SharpnessProbe, words: &str) -> bool {
    let summary = probe.summary();
    let notices = summary.notices.iter();
    let said = notices.filter(|notice| notice.contains(words)).count();
    assert!(said <= 1, "the summary repeats a notice: {summary}");
    said == 1 && summary.to_string().contains(words)
}

pub(crate) fn is_silent(probe: &SharpnessProbe) -> bool {
    probe.summary().notices.is_empty()
}

#[test]
fn a_probe_that_is_off_costs_nothing_and_leaves_nothing() {
    let [with, without] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let probe = SharpnessProbe::disabled();
    let attached = probe.attach_with(model(), |_: &Mlp, _| -> f64 { unreachable!() });
    let training = Training {
        has_dashboard: true,
        ..Training::new(with.path())
    };
    let rate = 0.1;
    let (trained, recorder) = training.launch(attached, sgd(), rate, Some(&probe));
    let (bare, _) = Training::new(without.path()).launch(model(), sgd(), rate, None);
    assert_eq!(weights(&trained.into_inner()), weights(&bare));
    for quantity in Quantity::ALL {
        assert!(recorder.ticks(quantity.name()).is_empty());
    }
    let files = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(files(with.path()), files(without.path()));

    let batch = data().batch(0);
    let (model, mut optim) = (model(), sgd());
    let grads = gradients(&model, &batch);
    let loss = |_: &Mlp| -> f64 { unreachable!() };
    assert!(probe.measure(&model, &optim, 0.1, &grads, loss).is_none());
    let stepped = optim.step(0.1, model.clone(), gradients(&model, &batch));
    let made = probe.optimize(model, &mut sgd(), 0.1, grads, loss);
    assert_eq!(weights(&made), weights(&stepped));
    assert!(is_silent(&probe), "{}", probe.summary());
    assert_eq!((probe.step(), probe.latest("train").is_none()), (0, true));
    assert!(!probe.is_enabled() && every(1).is_enabled());
}

#[test]
fn a_probe_shows_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    let text = format!("{probe:?}");
    for part in [
        "SharpnessProbe",
        "every: Some(3)",
        "step: 0",
        "measurements: 0",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(format!("{:?}", SharpnessProbe::disabled()).contains("is_enabled: false"));
}

#[test]
fn a_probe_that_is_attached_twice_measures_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    let model = probe.attach(probe.attach(model()));
    let rate = 0.1;
    Training::new(folder.path()).launch(model, sgd(), rate, Some(&probe));
    let measured = measurements(folder.path());
    let of_steps: Vec<_> = measured.iter().map(|m| (m.step, m.epoch)).collect();
    let epochs = [(0, 1), (3, 1), (6, 1), (9, 2), (12, 2)];
    assert_eq!(of_steps, epochs.map(|(step, epoch)| (step, Some(epoch))));
    assert!(says(&probe, "the probe was attached again"));
}

#[test]
fn of_two_models_the_one_to_which_the_probe_was_attached_last_is_measured() {
    let probe = every(1);
    let (mut first, mut second) = (probe.attach(model()), probe.attach(model()));
    for step in 0..3 {
        let batch = data().batch(step);
        for (attached, rate) in [(&mut first, 0.1), (&mut second, 0.2)] {
            let grads = TrainStep::step(attached, batch.clone()).grads;
            let made = attached.clone();
            *attached = TrainStep::optimize(made, &mut sgd(), rate.into(), grads);
        }
    }
    assert_eq!((probe.summary().measurements, probe.step()), (3, 3));
    assert_eq!(probe.latest("train").unwrap().learning_rate, Some(0.2));
    assert!(says(&probe, "a second model takes a probe of its own"));
}

#[test]
fn a_step_that_is_set_before_the_probe_is_attached_holds() {
    let folder = tempfile::tempdir().unwrap();
    let run = |at: u64| {
        let probe = in_folder(1, folder.path());
        probe.set_step(at);
        let model = probe.attach(model());
        let training = Training {
            epochs: 1,
            ..Training::new(folder.path())
        };
        training.launch(model, sgd(), 0.1, Some(&probe));
        let steps: Vec<u64> = measurements(folder.path()).iter().map(|m| m.step).collect();
        (probe, steps)
    };
    assert_eq!(run(0).1, (0..7).collect::<Vec<_>>());
    let (probe, steps) = run(5);
    assert_eq!(steps, (0..12).collect::<Vec<_>>());

    let mut attached = probe.attach(model());
    assert_eq!(probe.step(), 0);
    probe.set_step(3);
    attached = probe.attach(attached.into_inner());
    let grads = TrainStep::step(&attached, data().batch(0)).grads;
    TrainStep::optimize(attached, &mut sgd(), 0.1.into(), grads);
    assert_eq!((probe.step(), probe.latest("train").unwrap().step), (4, 3));
}
