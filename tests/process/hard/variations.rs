use super::alone;
use super::next_draws;
use sharpness_tests::prelude::*;

fn device() -> Device {
    device::plain().seed(11);
    device::autodiff()
}

/// Each step sees the other network's last step.
fn adversaries(probes: Option<&[SharpnessProbe; 2]>) -> (Weights, Weights, Vec<u8>) {
    let device = device();
    let network = MlpConfig::random().with_batch_norm().with_dropout(0.3);
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

#[derive(Default)]
struct Average(HashMap<ParamId, Vec<f32>>);

impl ModuleVisitor for Average {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        let now = data.iter::<f32>();
        match self.0.get_mut(&param.id) {
            Some(average) => {
                for (average, now) in average.iter_mut().zip(now) {
                    *average = 0.9 * *average + 0.1 * now;
                }
            }
            None => {
                self.0.insert(param.id, now.collect());
            }
        }
    }
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

fn averaged(probe: Option<&SharpnessProbe>) -> (Weights, Vec<Vec<u32>>, Vec<u8>) {
    let device = device();
    let network = MlpConfig::random().with_batch_norm().with_dropout(0.3);
    let mut model = network.init(&device);
    let mut optim = adam();
    let data = Data::new(6, 16, &device);
    let mut average = Average::default();
    for step in 0..12 {
        let batch = data.batch(step % 6);
        let grads = gradients(&model, &batch);
        if let Some(probe) = probe {
            probe.measure(&model, &optim, 1e-2, &grads, |model| model.loss(&batch));
        }
        model = optim.step(1e-2, model, grads).map(&mut Normalize);
        model.visit(&mut average);
    }
    struct Order(Vec<ParamId>);
    impl ModuleVisitor for Order {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.id);
        }
    }
    let mut order = Order(Vec::new());
    model.visit(&mut order);
    let averages = order
        .0
        .iter()
        .map(|id| average.0[id].iter().map(|value| value.to_bits()).collect());
    (weights(&model), averages.collect(), next_draws())
}

fn drawing() {
    let folder = tempfile::tempdir().unwrap();
    let device = device();
    let probe = in_folder(2, folder.path());
    let network = MlpConfig {
        noise: 0.3,
        ..MlpConfig::random()
    };
    let model = probe.attach(network.init(&device));
    let (_, recorder) = Training::new(folder.path()).launch(model, adam(), 1e-2, Some(&probe));
    let measured = measurements(folder.path());
    assert_eq!(measured.len(), 1);
    assert_eq!(measured[0].outcome, Failed);
    let notices = probe.summary().notices;
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("not repeatable"), "{notices:?}");
    let text = recorder.text("Critical Sharpness", "train");
    assert!(text.contains("not repeatable"), "{text}");
}

/// Burn's Muon panics at a vector parameter.
fn panicking_optimizer() {
    let device = device();
    let network = MlpConfig::random().with_dropout(0.0);
    let model = network.init(&device);
    let batch = Data::new(1, 16, &device).batch(0);
    let grads = gradients(&model, &batch);
    let optim: ModuleOptimizer = MuonConfig::new().init();
    let probe = every(1);
    let measured = probe
        .measure(&model, &optim, 1e-2, &grads, |model| model.loss(&batch))
        .unwrap();
    assert_eq!(measured.outcome, Failed);
    let reason = measured.reason.clone().unwrap();
    assert!(reason.contains("the optimizer panicked"), "{reason}");
    assert!(
        probe
            .measure(&model, &optim, 1e-2, &grads, |model| model.loss(&batch))
            .is_none()
    );
}

/// The probe names a penalty missing from inference; a loss from `attach_with` may contain it.
fn penalty() {
    let folder = tempfile::tempdir().unwrap();
    let network = MlpConfig {
        penalty: 1e-2,
        dropout: 0.0,
        ..MlpConfig::random()
    };
    let train = |name: &str, with_penalty: bool| {
        let folder = folder.path().join(name);
        let probe = in_folder(1, &folder);
        let model = network.init(&device());
        let model = if with_penalty {
            probe.attach_with(model, |model: &Mlp, batch| model.penalized(&batch))
        } else {
            probe.attach(model)
        };
        Training::new(&folder).launch(model, sgd(), 0.05, Some(&probe));
        let measured = measurements(&folder);
        (measured, probe.summary().notices)
    };
    let (_, notices) = train("attach", false);
    assert!(
        notices[0].contains("not the loss of the training step"),
        "{notices:?}"
    );
    let (measured, notices) = train("attach_with", true);
    assert!(notices.is_empty(), "{notices:?}");
    // The slope of gradient descent is ‖Δθ‖² if it belongs to the loss that falls.
    for measurement in measured {
        let (slope, norm) = (measurement.slope.unwrap(), measurement.update_norm.unwrap());
        assert!(
            (slope / (norm * norm) - 1.0).abs() < 1e-3,
            "{measurement:?}"
        );
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
