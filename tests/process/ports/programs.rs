// `probed! { … }` contains the probe's lines. `mod.rs` compiles this file with and without them, by `include!`, which
// refuses `//!`.

use super::*;
use burn::nn::loss::{MseLoss, Reduction};
use burn::train::EvaluatorBuilder;
use burn::train::metric::LearningRateMetric;

pub fn supervised<M>(
    manner: Manner,
    model: M,
    optim: ModuleOptimizer,
    rate: impl Into<ModuleLrScheduler>,
    dir: &Path,
    said: &mut Said,
) -> Outcome
where
    M: Trainable,
{
    let [train, valid] = loaders();
    probed! {
        let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2).with_directory(dir))?;
        let model = probe.attach(model);
    }
    let training = silent(SupervisedTraining::new(dir, train, valid.clone()).num_epochs(2));
    let training = match manner {
        Manner::Plain => training
            .metrics((LossMetric::new(),))
            .with_default_checkpointers(),
        Manner::WithoutMetrics => training,
        Manner::StoppedEarly => training
            .metrics((LossMetric::new(),))
            .early_stopping(stopping()),
        Manner::OnDevices(devices) => {
            let strategy = ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice);
            training.with_training_strategy(strategy.into())
        }
        Manner::Accumulated => training
            .metric_train_numeric(LossMetric::new())
            .metric_train_numeric(LearningRateMetric::new())
            .grads_accumulation(3),
        Manner::ByStrategy(strategy) => {
            training.with_training_strategy(TrainingStrategy::Custom(Arc::new(strategy)))
        }
    };
    probed! {
        let training = training.metrics_sharpness(&probe);
    }
    let result = training.launch(Learner::new(model, optim, rate));
    EvaluatorBuilder::new(dir)
        .renderer(result.renderer)
        .metrics((LossMetric::new(),))
        .with_application_logger(None)
        .build(result.model.clone())
        .eval("test", valid);
    probed! {
        said.push(probe.summary());
    }
    Ok(weights(&result.model))
}

pub fn own_loop<M: Module + 'static>(
    mut model: M,
    loss: impl Fn(&M, Batch) -> Tensor<1>,
    dir: &Path,
    said: &mut Said,
) -> Outcome {
    let (mut optim, lr) = (adam(), 1e-2);
    probed! {
        let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2).with_directory(dir))?;
    }
    for _ in 0..2 {
        for batch in batches(&device()) {
            probed! {
                let again = batch.clone();
            }
            let value = loss(&model, batch);
            let grads = GradientsParams::from_grads(value.backward(), &model);
            probed! {
                let loss = |model: &M| loss(model, again.clone());
                probe.measure(&model, &optim, lr, &grads, loss);
            }
            model = optim.step(lr, model, grads);
        }
        let valid = model.valid();
        for batch in batches(&device::plain()) {
            assert!(loss(&valid, batch).into_scalar::<f32>().is_finite());
        }
    }
    probed! {
        said.push(probe.summary());
    }
    Ok(weights(&model))
}

pub fn adversarial(dir: &Path, said: &mut Said) -> Outcome {
    let mlp = |widths| MlpConfig::new(widths, LossKind::Mse);
    let mut generator = mlp(vec![2, 8, 2]).with_batch_norm().init(&device());
    let mut critic = mlp(vec![2, 1]).init(&device());
    let optim = || -> ModuleOptimizer { RmsPropConfig::new().init() };
    let (mut of_generator, mut of_critic, lr) = (optim(), optim(), 1e-2);
    probed! {
        let config = SharpnessConfig::new().with_every(1);
        let probe_of_generator = SharpnessProbe::new(config.clone().with_directory(dir.join("g")))?;
        let probe_of_critic = SharpnessProbe::new(config.with_directory(dir.join("c")))?;
    }
    for iteration in 0..40 {
        let (noise, real) = (random(), random() * 0.5 + 2.0);
        let fake = generator.forward(noise.clone()).detach();
        probed! {
            let real_again = real.clone();
        }
        let loss = -critic.forward(real).mean() + critic.forward(fake.clone()).mean();
        let grads = GradientsParams::from_grads(loss.backward(), &critic);
        probed! {
            probe_of_critic.measure(&critic, &of_critic, lr, &grads, |critic| {
                critic.forward(fake.clone()).mean() - critic.forward(real_again.clone()).mean()
            });
        }
        critic = clipped(of_critic.step(lr, critic, grads));

        if iteration % 5 == 0 {
            let loss = -critic.forward(generator.forward(noise.clone())).mean();
            let grads = GradientsParams::from_grads(loss.backward(), &generator);
            probed! {
                let judge = critic.valid();
                probe_of_generator.measure(&generator, &of_generator, lr, &grads, |generator| {
                    -judge.forward(generator.forward(noise.clone())).mean()
                });
            }
            generator = of_generator.step(lr, generator, grads);
        }
    }
    probed! {
        said.push(probe_of_generator.summary());
        said.push(probe_of_critic.summary());
    }
    Ok([weights(&generator), weights(&critic)].concat())
}

pub fn q_learning(dir: &Path, said: &mut Said) -> Outcome {
    let mut policy = MlpConfig::for_data().init(&device());
    let mut target = policy.clone();
    let (mut optim, lr) = (adamw(), 1e-2);
    probed! {
        let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(2).with_directory(dir))?;
    }
    for Batch { x: states, y } in [batches(&device()), batches(&device())].concat() {
        let actions = y.unsqueeze_dim::<2>(1);
        let (next_states, rewards) = (states.clone() * 0.9, actions.clone().float() - 1.0);
        probed! {
            let (states_again, actions_again) = (states.clone(), actions.clone());
        }
        let values = policy.forward(states).gather(1, actions);
        let expected = target.forward(next_states).max_dim(1) * 0.99 + rewards;
        probed! {
            let expected_again = expected.clone();
        }
        let loss = MseLoss::new().forward(values, expected, Reduction::Mean);
        let grads = GradientsParams::from_grads(loss.backward(), &policy);
        probed! {
            probe.measure(&policy, &optim, lr, &grads, |policy| {
                let values = policy.forward(states_again.clone()).gather(1, actions_again.clone());
                MseLoss::new().forward(values, expected_again.clone(), Reduction::Mean)
            });
        }
        policy = optim.step(lr, policy, grads);
        target = soft_update(target, &policy, 0.1);
    }
    probed! {
        said.push(probe.summary());
    }
    Ok(weights(&policy))
}
