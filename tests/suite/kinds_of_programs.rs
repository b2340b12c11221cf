// ANCHOR: types_use
use burn::train::metric::{Adaptor, LossInput, LossMetric};
use burn::train::{InferenceStep, Learner, LearnerModel, SupervisedTraining, TrainStep};
use burn_sharpness::{
    ConfigError, Probed, ReportsLoss, SharpnessConfig, SharpnessMetrics, SharpnessProbe,
};
// ANCHOR_END: types_use
use sharpness_tests::{prelude::*, task_loss as forward_step};

fn device() -> Device {
    device::autodiff()
}

// ANCHOR: optional
/// Makes a probe that is off unless the user asked for it.
fn probe(is_wanted: bool, dir: &Path) -> Result<SharpnessProbe, ConfigError> {
    if !is_wanted {
        return Ok(SharpnessProbe::disabled());
    }
    SharpnessProbe::new(SharpnessConfig::new().with_every(2).with_directory(dir))
}

/// The type of an attached model is the same either way.
struct Session {
    model: Probed<Mlp>,
    probe: SharpnessProbe,
}
// ANCHOR_END: optional

// ANCHOR: generic
/// Trains any model that `attach` accepts.
fn trained<M>(
    session: (M, &SharpnessProbe),
    dir: &Path,
    train: Arc<dyn DataLoader<<M as TrainStep>::Input>>,
    valid: Arc<dyn DataLoader<<M as TrainStep>::Input>>,
) -> M
where
    M: ReportsLoss + InferenceStep<Input = <M as TrainStep>::Input>,
    <M as TrainStep>::Input: Clone,
    <M as TrainStep>::Output: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    let (model, probe) = session;
    let training = SupervisedTraining::new(dir, train, valid)
        .metrics((LossMetric::new(),))
        .metrics_sharpness(probe);
    // ANCHOR_END: generic
    let training = silent(training.num_epochs(1));
    // ANCHOR: generic_launch
    let result = training.launch(Learner::new(probe.attach(model), sgd(), 0.1));
    result.model.into_inner()
}

/// `attach_with` needs no bounds besides `LearnerModel`.
fn attached<M>(
    probe: &SharpnessProbe,
    model: M,
    loss: impl Fn(&M, <M as TrainStep>::Input) -> Tensor<1> + Send + Sync + 'static,
) -> Probed<M>
where
    M: LearnerModel,
    <M as TrainStep>::Input: Clone,
{
    probe.attach_with(model, loss)
}
// ANCHOR_END: generic_launch

#[test]
fn an_optional_probe_in_types_and_generic_functions() -> Result<(), ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let mut all = Vec::new();
    for is_wanted in [true, false] {
        let dir = folder.path().join(is_wanted.to_string());
        let probe = probe(is_wanted, &dir)?;
        let session = Session {
            model: probe.attach(model.clone()),
            probe,
        };
        let [train, valid] = loaders();
        let model = session.model.into_inner();
        let model = trained((model, &session.probe), &dir, train, valid);
        all.push(weights(&model));
        let measurements = session.probe.summary().measurements;
        assert_eq!(measurements, if is_wanted { 4 } else { 0 });
    }
    assert_eq!(all[0], all[1]);
    let with_loss = attached(&SharpnessProbe::disabled(), model, task_loss);
    assert_eq!(with_loss.layers.len(), 2);
    Ok(())
}

#[test]
fn a_batch_that_the_forward_pass_takes() -> Result<(), ConfigError> {
    let (mut model, mut optim, lr) = (model(), sgd(), 0.1);
    let data = Data::new(8, 16, &device());
    // ANCHOR: moved
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2))?;
    for batch in (0..8).map(|index| data.batch(index)) {
        // A clone of a tensor shares its memory.
        let grads = forward_step(&model, batch.clone()).backward();
        let grads = GradientsParams::from_grads(grads, &model);
        let loss = |model: &Mlp| forward_step(model, batch.clone());
        model = probe.optimize(model, &mut optim, lr, grads, loss);
    }
    // ANCHOR_END: moved
    assert_eq!(probe.summary().bracketed, 4);
    Ok(())
}

fn noise() -> Tensor<2> {
    Tensor::random([32, 2], Distribution::Normal(0.0, 1.0), &device())
}

fn real() -> Tensor<2> {
    noise() * 0.5 + 2.0
}

#[test]
fn two_models_that_train_against_each_other() -> Result<(), ConfigError> {
    let mut generator = LinearConfig::new(2, 2).init(&device());
    let mut critic = LinearConfig::new(2, 1).init(&device());
    let [mut of_generator, mut of_critic] = [(); 2].map(|()| AdamConfig::new().init());
    let lr = 0.01;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    // ANCHOR: adversarial
    let config = SharpnessConfig::new().with_every(4);
    let probe_of_generator = SharpnessProbe::new(config.clone().with_directory(dir.join("g")))?;
    let probe_of_critic = SharpnessProbe::new(config.with_directory(dir.join("c")))?;
    for _ in 0..16 {
        let (noise, real) = (noise(), real());
        let fake = generator.forward(noise.clone()).detach();
        let of_fakes = |critic: &Linear| {
            critic.forward(fake.clone()).mean() - critic.forward(real.clone()).mean()
        };
        let grads = GradientsParams::from_grads(of_fakes(&critic).backward(), &critic);
        critic = probe_of_critic.optimize(critic, &mut of_critic, lr, grads, of_fakes);

        // The critic stays as it is. It has no autodiff here, because the measured generator has none.
        let judge = critic.valid();
        let deceived = |generator: &Linear| -judge.forward(generator.forward(noise.clone())).mean();
        let loss = -critic.forward(generator.forward(noise.clone())).mean();
        let grads = GradientsParams::from_grads(loss.backward(), &generator);
        generator = probe_of_generator.optimize(generator, &mut of_generator, lr, grads, deceived);
    }
    // ANCHOR_END: adversarial
    // Both losses are linear in their own model: they fall without end.
    for probe in [probe_of_generator, probe_of_critic] {
        assert_eq!(probe.summary().measurements, 4);
        let last = probe.latest("train").unwrap();
        assert_eq!(last.outcome, NoIncrease, "{last:?}");
        assert_silent(&probe);
    }
    Ok(())
}
