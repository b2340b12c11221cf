//! A step made before its measurement gives the same weights and numbers, and needs no step of the optimizer's copy.

use sharpness_tests::prelude::*;

const STEPS: usize = 12;
const BATCHES: usize = 4;

fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(0.1).init()
}

fn probe(config: SharpnessConfig) -> SharpnessProbe {
    let batch = Data::new(1, 32, &device::plain()).batch(0);
    SharpnessProbe::builder(config)
        .with_task("other", vec![batch], |model: &Mlp, batch| {
            model.loss(&batch)
        })
        .build()
        .unwrap()
}

type Trained = (Weights, Vec<Arc<Measurement>>);

/// The optimizer after the measurement, or the probe.
#[derive(Clone, Copy)]
enum Maker {
    Optimizer,
    Probe,
}

fn trained(
    maker: Maker,
    network: &MlpConfig,
    mut optim: ModuleOptimizer,
    rate: &ModuleLearningRate,
    config: SharpnessConfig,
) -> Trained {
    let device = device::autodiff();
    let data = Data::new(BATCHES, 16, &device);
    let mut model = network.init(&device);
    let probe = probe(config);
    let mut measured = Vec::new();
    for step in 0..STEPS {
        let batch = data.batch(step % BATCHES);
        let loss = |model: &Mlp| model.loss(&batch);
        let differentiated = loss(&model);
        let grads = GradientsParams::from_grads(differentiated.backward(), &model);
        model = match maker {
            Maker::Optimizer => {
                let update = Update::new(&model, &optim, rate.clone(), &grads)
                    .with_training_loss(differentiated)
                    .with_curvature(loss);
                probe.measure_update(update, loss);
                optim.step(rate.clone(), model, grads)
            }
            Maker::Probe => {
                let step = Step::new(model, &mut optim, rate.clone(), grads)
                    .with_training_loss(differentiated)
                    .with_curvature(loss);
                probe.optimize_step(step, loss)
            }
        };
        measured.extend(probe.latest("train"));
        measured.extend(probe.latest("other"));
    }
    (weights(&model), measured)
}

fn assert_same(name: &str, optim: &ModuleOptimizer, rate: &ModuleLearningRate) {
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_curvature(CurvatureConfig::new(4));
    let trained = |maker| {
        let network = MlpConfig::for_data();
        trained(maker, &network, optim.clone(), rate, config.clone())
    };
    let (weights_before, before) = trained(Maker::Optimizer);
    let (weights_with, with) = trained(Maker::Probe);
    assert_eq!(weights_with, weights_before, "{name}");
    assert_eq!(before.len(), 2 * STEPS);
    assert_eq!(with.len(), 2 * STEPS);
    let bracketed = |m: &&Arc<Measurement>| m.outcome == Bracketed;
    assert!(before.iter().filter(bracketed).count() >= STEPS, "{name}");
    for (before, with) in before.iter().zip(&with) {
        let name = format!("{name}, {} at {}", before.task, before.step);
        assert_eq!(with.outcome, before.outcome, "{name}");
        assert_eq!(with.learning_rate, before.learning_rate, "{name}");
        let of = |what: &str| format!("{name}, {what}");
        assert_close(&of("norm"), with.update_norm, before.update_norm, 1e-3);
        assert_close(&of("slope"), with.slope, before.slope, 1e-3);
        assert_close(&of("η_c"), with.critical_lr, before.critical_lr, 2e-2);
        let directional = |m: &Measurement| {
            let curvature = m.curvature.as_ref()?;
            curvature.directional_sharpness.value
        };
        let preconditioned = |m: &Measurement| {
            let curvature = m.curvature.as_ref()?;
            curvature.preconditioned_sharpness.as_ref()?.value
        };
        assert_close(&of("λ_dir"), directional(with), directional(before), 2e-2);
        let (with, before) = (preconditioned(with), preconditioned(before));
        assert_close(&of("preconditioned λ_max"), with, before, 2e-2);
    }
}

#[test]
fn a_step_made_first_gives_the_same_weights_and_numbers() {
    let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
    let first_layer = ParamGroup::from_predicate("layers.0");
    let grouped = ModuleLrScheduler::new(1e-2)
        .with_group(first_layer.clone(), 2e-3)
        .step();
    let frozen_default = ModuleLrScheduler::new(0.0)
        .with_group(first_layer, 1e-2)
        .step();
    for (name, optim, rate) in [
        ("sgd", SgdConfig::new().init(), 0.1.into()),
        ("momentum", momentum.init(), 0.05.into()),
        ("adamw", adamw(), 1e-2.into()),
        ("groups", adamw(), grouped),
        // Here the weights after the step do not show the direction.
        ("a frozen default", adamw(), frozen_default),
        ("no rate", adamw(), 0.0.into()),
        ("hardly a rate", adamw(), 1e-9.into()),
        (
            "a proximal decay",
            AdanConfig::new().with_weight_decay(0.5).init(),
            1e-2.into(),
        ),
    ] {
        assert_same(name, &optim, &rate);
    }
}

/// Counts the elements it has stepped.
#[derive(Clone)]
struct Counting(Arc<AtomicUsize>);

impl Optimizer for Counting {
    type State<const D: usize> = ();

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        _state: Option<()>,
    ) -> (Tensor<D>, Option<()>) {
        let elements = tensor.shape().num_elements();
        self.0.fetch_add(elements, Ordering::Relaxed);
        (tensor - grad * learning_rate, None)
    }

    fn to_device<const D: usize>((): (), _device: &Device) {}
}

/// In multiples of the model's elements.
fn stepped(maker: Maker, rate: f64) -> f64 {
    let network = MlpConfig::new(
        vec![Data::FEATURES, 512, 512, Data::CLASSES],
        LossKind::Xent,
    );
    let elements = network.init(&device::autodiff()).num_params();
    let count = Arc::new(AtomicUsize::new(0));
    let optim = ModuleOptimizer::from(Counting(count.clone()));
    let config = SharpnessConfig::new().with_every(1);
    trained(maker, &network, optim, &rate.into(), config);
    count.load(Ordering::Relaxed) as f64 / elements as f64
}

#[test]
fn a_step_made_first_needs_no_step_of_a_copy() {
    // The first measurement compares four steps of a copy, and each measurement two steps of a few parameters.
    let steps = STEPS as f64;
    let compared = 4.0;
    let looked_at = 2.0 * steps / 64.0;
    let with = stepped(Maker::Probe, 0.1);
    assert!(with <= steps + compared + looked_at, "{with}");
    assert!(with > steps + compared, "{with}");
    assert!(stepped(Maker::Optimizer, 0.1) >= 2.0 * steps + compared);
    // Without digits, the copy makes its steps anyway.
    assert!(stepped(Maker::Probe, 1e-9) >= 2.0 * steps + compared);
}

#[test]
fn a_group_is_measured_before_the_step() {
    let device = device::autodiff();
    let batch = Data::new(1, 16, &device).batch(0);
    let loss = |model: &Mlp| model.loss(&batch);
    let group = ParamGroup::from_predicate("layers.1");
    let probe = || {
        let builder = SharpnessProbe::builder(SharpnessConfig::new());
        builder.with_group("head", group.clone()).build().unwrap()
    };
    let model = MlpConfig::for_data().init(&device);
    let grads = || GradientsParams::from_grads(loss(&model).backward(), &model);
    let (before, with) = (probe(), probe());
    before.measure(&model, &adamw(), 1e-2, &grads(), loss);
    let grads = grads();
    with.optimize(model.clone(), &mut adamw(), 1e-2, grads, loss);
    for task in ["train", "head"] {
        let (before, with) = (before.latest(task).unwrap(), with.latest(task).unwrap());
        assert!(with.critical_lr.is_some());
        assert_eq!(with.critical_lr, before.critical_lr);
    }
}

#[derive(Module, Debug)]
struct Point {
    theta: Param<Tensor<1>>,
}

#[test]
fn an_update_that_the_weights_hide_is_no_measurement() {
    let device = device::autodiff();
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
    let mut optim: ModuleOptimizer = SgdConfig::new().init();
    let mut point = Point {
        theta: Param::from_tensor(Tensor::from_floats([1.0], &device)),
    };
    let mut has_bracket = Vec::new();
    for height in [1.0, 3e-6, 3e-6, 1.0] {
        let loss = |point: &Point| (point.theta.val().square() * height).sum();
        let grads = GradientsParams::from_grads(loss(&point).backward(), &point);
        point = probe.optimize(point, &mut optim, 0.1, grads, loss);
        let measured = probe.latest("train").unwrap();
        has_bracket.push(measured.outcome == Bracketed);
        if measured.outcome == Failed {
            let reason = measured.reason.as_ref().unwrap();
            assert!(reason.contains("do not show it"), "{reason}");
            assert_eq!(measured.critical_lr, None);
        } else {
            let exact = 1.0 / height;
            let off = measured.critical_lr.unwrap() / exact - 1.0;
            assert!(off.abs() < 1e-2, "{measured:?}");
        }
    }
    // The next measurement comes before the step, by a copy of the optimizer.
    assert_eq!(has_bracket, [true, false, true, true]);
}
