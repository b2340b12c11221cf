use super::alone;
use super::next_draws;
use sharpness_tests::prelude::*;

fn device() -> Device {
    device::plain().seed(11);
    device::autodiff()
}

fn network() -> MlpConfig {
    MlpConfig::random().with_batch_norm().with_dropout(0.3)
}

/// Each step sees the other network's last step.
fn adversaries(probes: Option<&[SharpnessProbe; 2]>) -> (Weights, Weights, Vec<u8>) {
    let device = device();
    let network = network();
    let (mut one, mut two) = (network.init(&device), network.init(&device));
    let (mut optim_of_one, mut optim_of_two) = (adam(), adam());
    let data = Data::new(6, 16, &device);
    for step in 0..12 {
        let batch = data.batch(step % 6);
        let apart = |one: &Mlp, two: &Mlp| one.loss(&batch) - two.loss(&batch) * 0.3;
        let grads = GradientsParams::from_grads(apart(&one, &two).backward(), &one);
        if let Some([probe, _]) = probes {
            probe.measure(&one, &optim_of_one, 1e-2, &grads, |one| {
                apart(one, &two.valid())
            });
        }
        one = optim_of_one.step(1e-2, one, grads);
        let grads = GradientsParams::from_grads(apart(&two, &one).backward(), &two);
        if let Some([_, probe]) = probes {
            probe.measure(&two, &optim_of_two, 1e-2, &grads, |two| {
                apart(two, &one.valid())
            });
        }
        two = optim_of_two.step(1e-2, two, grads);
    }
    (weights(&one), weights(&two), next_draws())
}

struct Normalize;

impl ModuleMapper for Normalize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D != 2 {
            return param;
        }
        param.map(|tensor| {
            let tensor = tensor.inner();
            let norm = tensor.clone().square().sum().sqrt().into_scalar::<f32>();
            (tensor * (3.0 / norm)).autodiff().require_grad()
        })
    }
}

fn averaged(probe: Option<&SharpnessProbe>) -> (Weights, Vec<u32>, Vec<u8>) {
    let device = device();
    let (mut model, mut optim) = (network().init(&device), adam());
    let data = Data::new(6, 16, &device);
    let mut average = Vec::new();
    for step in 0..12 {
        let at = AtStep::new(model, optim, 1e-2, data.batch(step % 6));
        if let Some(probe) = probe {
            at.measured(probe, at.update());
        }
        (model, optim) = at.step();
        model = model.map(&mut Normalize);
        let now = values(&model);
        if average.is_empty() {
            average.clone_from(&now);
        }
        for (average, now) in average.iter_mut().zip(now) {
            *average = 0.9 * *average + 0.1 * now;
        }
    }
    let bits = average.into_iter().map(f32::to_bits).collect();
    (weights(&model), bits, next_draws())
}

fn drawing() {
    let folder = tempfile::tempdir().unwrap();
    let device = device();
    let probe = in_folder(2, folder.path());
    let mut network = MlpConfig::random();
    network.noise = 0.3;
    let training = Training::new(folder.path());
    let (_, recorder) = training.fit(network.init(&device), adam(), 1e-2, Some(&probe));
    let measured = measurements(folder.path());
    assert_eq!(measured.len(), 1);
    assert_eq!(measured[0].outcome, Failed);
    let notices = probe.summary().notices;
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_says(&notices[0], "not repeatable");
    let text = recorder.text("Critical Sharpness", "train");
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
    two_models_that_train_against_each_other => {
        let probes = [every(2), every(3)];
        let bare = adversaries(None);
        assert!(adversaries(Some(&probes)) == bare);
        let counts = probes.map(|probe| probe.summary().measurements);
        assert_eq!(counts, [6, 4]);
    };
    weights_that_are_normalized_and_averaged => {
        let probe = every(2);
        let bare = averaged(None);
        assert!(averaged(Some(&probe)) == bare);
        assert_eq!(probe.summary().measurements, 6);
    };
    a_loss_that_draws => drawing();
    an_optimizer_that_panics => panicking_optimizer();
    a_penalty => penalty();
}
