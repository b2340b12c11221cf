use sharpness_tests::prelude::*;

const STEPS: usize = 12;
const BATCHES: usize = 4;

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
    let data = Data::new(BATCHES, 16, &device::autodiff());
    let mut model = network.start();
    let probe = SharpnessProbe::builder(config);
    let probe = probe.with_task("other", vec![plain_batch_of(32)], task_loss);
    let probe = probe.build().unwrap();
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
        let directional = |m: &Measurement| m.curvature.as_ref()?.directional_sharpness.value;
        assert_close(&of("λ_dir"), directional(with), directional(before), 2e-2);
        let preconditioned = |m: &Measurement| {
            m.curvature
                .as_ref()?
                .preconditioned_sharpness
                .as_ref()?
                .value
        };
        let (with, before) = (preconditioned(with), preconditioned(before));
        assert_close(&of("preconditioned λ_max"), with, before, 2e-2);
    }
}

#[test]
fn a_step_made_first_gives_the_same_weights_and_numbers() {
    let proximal = AdanConfig::new().with_weight_decay(0.5).init();
    for (name, optim, rate) in [
        ("sgd", sgd(), 0.1.into()),
        ("momentum", momentum(), 0.05.into()),
        ("adamw", adamw(), 1e-2.into()),
        ("groups", adamw(), rates(2e-3, 1e-2)),
        // Here the weights after the step do not show the direction.
        ("a frozen default", adamw(), rates(1e-2, 0.0)),
        ("no rate", adamw(), 0.0.into()),
        ("hardly a rate", adamw(), 1e-9.into()),
        ("a proximal decay", proximal, 1e-2.into()),
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
    let layers = vec![Data::FEATURES, 512, 512, Data::CLASSES];
    let network = MlpConfig::new(layers, LossKind::Xent);
    let elements = network.start().num_params();
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
    let [before, with] = [(); 2].map(|()| {
        let group = ParamGroup::from_predicate("layers.1");
        let builder = SharpnessProbe::builder(SharpnessConfig::new());
        builder.with_group("head", group).build().unwrap()
    });
    let mut at = AtStep::new(model(), adamw(), 1e-2, batch_of(16));
    at.measure(&before);
    let loss = |model: &Mlp| model.loss(&at.batch);
    with.optimize(at.model, &mut at.optim, 1e-2, at.grads, loss);
    for task in ["train", "head"] {
        let (before, with) = (before.latest(task).unwrap(), with.latest(task).unwrap());
        assert!(with.critical_lr.is_some());
        assert_eq!(with.critical_lr, before.critical_lr);
    }
}

#[test]
fn an_update_that_the_weights_hide_is_no_measurement() {
    let (probe, mut optim, mut point) = (every(1), sgd(), Point::at([1.0]));
    let mut has_bracket = Vec::new();
    for height in [1.0, 3e-6, 3e-6, 1.0] {
        let loss = |point: &Point| (point.theta.val().square() * height).sum();
        let grads = GradientsParams::from_grads(loss(&point).backward(), &point);
        point = probe.optimize(point, &mut optim, 0.1, grads, loss);
        let measured = probe.latest("train").unwrap();
        has_bracket.push(measured.outcome == Bracketed);
        if measured.outcome == Failed {
            assert_says(measured.reason.as_ref().unwrap(), "do not show it");
            assert_eq!(measured.critical_lr, None);
        } else {
            assert_near(measured.critical_lr, 1.0 / height, 1e-2);
        }
    }
    // The next measurement comes before the step, by a copy of the optimizer.
    assert_eq!(has_bracket, [true, false, true, true]);
}
