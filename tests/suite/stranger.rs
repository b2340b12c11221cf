use sharpness_tests::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn data() -> Data {
    Data::new(7, 16, &device::autodiff())
}

#[test]
fn a_probe_that_is_off_costs_nothing_and_leaves_nothing() {
    let [with, without] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let probe = SharpnessProbe::disabled();
    let attached = probe.attach_with(model(), |_: &Mlp, _| -> f64 { unreachable!() });
    let training = Training::new(with.path()).with(|run| run.has_dashboard = true);
    let (trained, recorder) = training.launch(attached, sgd(), 0.1, Some(&probe));
    let (bare, _) = Training::new(without.path()).launch(model(), sgd(), 0.1, None);
    assert_eq!(weights(&trained.into_inner()), weights(&bare));
    for quantity in Quantity::ALL {
        assert!(recorder.ticks(quantity.name()).is_empty());
    }
    let files = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(files(with.path()), files(without.path()));

    let mut at = AtStep::new(model(), sgd(), 0.1, data().batch(0));
    let loss = |_: &Mlp| -> f64 { unreachable!() };
    assert!(probe.measure_update(at.update(), loss).is_none());
    let grads = gradients(&at.model, &at.batch);
    let made = probe.optimize(at.model.clone(), &mut at.optim, 0.1, grads, loss);
    assert_eq!(weights(&made), weights(&at.step().0));
    assert_silent(&probe);
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
        assert_says(&text, part);
    }
    assert_says(
        &format!("{:?}", SharpnessProbe::disabled()),
        "is_enabled: false",
    );
}

#[test]
fn a_probe_that_is_attached_twice_measures_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(3, folder.path());
    let model = probe.attach(probe.attach(model()));
    Training::new(folder.path()).launch(model, sgd(), 0.1, Some(&probe));
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
        let training = Training::new(folder.path()).with(|run| run.epochs = 1);
        training.fit(model(), sgd(), 0.1, Some(&probe));
        (probe, steps(folder.path()))
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
