use super::alone;
use sharpness_tests::prelude::*;

fn device() -> Device {
    device::plain().seed(11);
    device::autodiff()
}

fn drawing() {
    let mut network = MlpConfig::random();
    network.noise = 0.3;
    let ran = Ran::every(2, (network.init(&device()), adam(), 1e-2), |_| {});
    assert_eq!(ran.measured.len(), 1);
    assert_eq!(ran.measured[0].outcome, Failed);
    let notices = ran.probe.summary().notices;
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_says(&notices[0], "not repeatable");
    let text = ran.recorder.text("Critical Sharpness", "train");
    assert_says(&text, "not repeatable");
}

/// Burn's Muon panics at a vector parameter.
fn panicking_optimizer() {
    let model = MlpConfig::random().with_dropout(0.0).init(&device());
    let at = AtStep::new(model, MuonConfig::new().init(), 1e-2, batch_of(16));
    let probe = every(1);
    let measured = at.measure(&probe);
    assert_eq!(measured.outcome, Failed);
    assert_says(measured.reason.as_ref().unwrap(), "the optimizer panicked");
    assert!(at.measured(&probe, at.update()).is_none());
}

/// The probe names a penalty missing from inference; a loss from `attach_with` may contain it.
fn penalty() {
    let folder = tempfile::tempdir().unwrap();
    let mut network = MlpConfig::random();
    (network.penalty, network.dropout) = (1e-2, 0.0);
    let train = |name: &str, with_penalty: bool| {
        let folder = folder.path().join(name);
        let probe = in_folder(1, &folder);
        let model = network.init(&device());
        let model = match with_penalty {
            true => probe.attach_with(model, |model: &Mlp, batch| model.penalized(&batch)),
            false => probe.attach(model),
        };
        Training::new(&folder).launch(model, sgd(), 0.05, Some(&probe));
        (measurements(&folder), probe)
    };
    let (_, probe) = train("attach", false);
    let notices = probe.summary().notices;
    assert_says(&notices[0], "not the loss of the training step");
    let (measured, probe) = train("attach_with", true);
    assert_silent(&probe);
    // The slope of gradient descent is ‖Δθ‖² if it belongs to the loss that falls.
    for measurement in measured {
        let slope = measurement.update_norm.unwrap().powi(2);
        assert_near(measurement.slope, slope, 1e-3);
        assert!(measurement.critical_lr.is_some(), "{measurement:?}");
    }
}

alone! {
    a_loss_that_draws => drawing();
    an_optimizer_that_panics => panicking_optimizer();
    a_penalty => penalty();
}
