use crate::stranger::{data, is_silent, says};
use sharpness_tests::prelude::*;

fn trained(
    probe: &SharpnessProbe,
    mut optim: ModuleOptimizer,
    is_called: impl Fn(usize) -> bool,
    after: impl Fn(Mlp) -> Mlp,
) {
    let data = Data::new(5, 16, &device::autodiff());
    let mut model = model();
    for step in 0..60 {
        let batch = data.batch(step % 5);
        let grads = gradients(&model, &batch);
        if is_called(step) {
            probe.measure(&model, &optim, 0.01, &grads, |model| model.loss(&batch));
        }
        model = after(optim.step(0.01, model, grads));
    }
}

#[test]
fn a_probe_that_is_called_at_every_fifth_step_only_says_so() {
    let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
    let words = "call it at every step";
    for (name, optim) in [
        ("sgd", sgd()),
        ("momentum", momentum.init()),
        ("adam", AdamConfig::new().init()),
    ] {
        for steps in [1, 2] {
            let called_at_some = every(steps);
            trained(&called_at_some, optim.clone(), |step| step % 5 == 0, |m| m);
            assert!(says(&called_at_some, words), "{name} every {steps}");
            let called_at_all = every(steps);
            trained(&called_at_all, optim.clone(), |_| true, |model| model);
            assert!(is_silent(&called_at_all), "{}", called_at_all.summary());
            let clipping = every(steps);
            trained(&clipping, optim.clone(), |_| true, clipped);
            assert!(is_silent(&clipping), "{}", clipping.summary());
        }
    }
}

#[test]
fn one_probe_for_two_models_of_a_loop_says_so() {
    let probe = every(2);
    let batch = data().batch(0);
    let models = [model(), model()];
    for _ in 0..4 {
        for model in &models {
            let grads = gradients(model, &batch);
            probe.measure(model, &sgd(), 0.1, &grads, |model| model.loss(&batch));
        }
    }
    assert!(says(&probe, "with one model and then with another"));
}

#[test]
fn gradients_of_another_model_are_named_as_the_reason() {
    let probe = every(1);
    let batch = data().batch(0);
    let (model, other) = (model(), model());
    for _ in 0..4 {
        let grads = gradients(&other, &batch);
        let measured = probe.measure(&model, &sgd(), 0.1, &grads, |model| model.loss(&batch));
        let reason = measured.unwrap().reason.clone().unwrap();
        assert!(
            reason.contains("the gradients of this very model"),
            "{reason}"
        );
    }
    assert!(says(&probe, "the gradients of this very model"));
}

#[test]
fn a_task_that_fails_is_named_with_its_reason() {
    let fails = |_: &Mlp, _: Batch| -> Result<f64, String> { Err("the disk is gone".to_string()) };
    let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1))
        .with_task(
            "kept",
            vec![Data::new(1, 8, &device::plain()).batch(0)],
            fails,
        )
        .build()
        .unwrap();
    trained(&probe, sgd(), |_| true, |model| model);
    assert!(says(
        &probe,
        "a measurement of kept failed: the disk is gone"
    ));
}

#[test]
fn a_probe_that_was_never_attached_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    assert!(says(
        &probe,
        "attach this probe to the model that is trained"
    ));
    let rate = 0.1;
    Training::new(folder.path()).launch(model(), sgd(), rate, Some(&probe));
    assert!(says(
        &probe,
        "attach this probe to the model that is trained"
    ));
}

#[test]
fn a_loss_that_does_not_use_the_model_it_is_given_says_so() {
    let words = "compute it with the model that the closure is given";
    let probe = every(1);
    let batch = data().batch(0);
    let (model, other) = (model(), model());
    for _ in 0..2 {
        let grads = gradients(&model, &batch);
        let ignores = |_: &Mlp| model.loss(&batch);
        let measured = probe.measure(&model, &sgd(), 0.1, &grads, ignores).unwrap();
        assert_eq!(measured.critical_sharpness, None);
        assert!(
            measured.reason.as_ref().unwrap().contains(words),
            "{measured:?}"
        );
    }
    assert!(says(&probe, words));

    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let captured = model.valid();
    let attached = probe.attach_with(model, move |_: &Mlp, batch| captured.loss(&batch));
    let rate = 0.1;
    Training::new(folder.path()).launch(attached, sgd(), rate, Some(&probe));
    assert!(says(&probe, words));

    // A loss that stays 0 is no mistake.
    let probe = every(1);
    let zero = |model: &Mlp| model.loss(&batch) * 0.0;
    let model = other;
    for _ in 0..3 {
        let grads = gradients(&model, &batch);
        let measured = probe.measure(&model, &sgd(), 0.1, &grads, zero).unwrap();
        assert_ne!(measured.outcome, Bracketed);
    }
    assert!(is_silent(&probe), "{}", probe.summary());
}

#[test]
fn a_metric_of_validation_is_told_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let probe = every(1);
    let recorder = Recorder::default();
    let valid = Data::new(5, 16, &device::plain());
    let training = SupervisedTraining::new(folder.path(), data().loader(), valid.loader())
        .metric_train_numeric(LossMetric::new())
        .metric_valid_numeric(SharpnessMetric::new(&probe, Quantity::CriticalSharpness))
        .num_epochs(3)
        .with_application_logger(None)
        .renderer(Box::new(recorder.clone()));
    training.launch(Learner::new(probe.attach(model()), sgd(), 0.1));
    let words = "registered for validation";
    let text = recorder.text(Quantity::CriticalSharpness.name(), "valid");
    assert!(text.contains(words), "{text}");
    assert!(says(&probe, words));
}

#[test]
fn a_loop_whose_closure_uses_another_batch_is_told_what_to_do_there() {
    let probe = every(1);
    let (batch, other) = (data().batch(0), data().batch(1));
    let model = model();
    let grads = gradients(&model, &batch);
    let optim = sgd();
    let update = Update::new(&model, &optim, 0.1, &grads).with_training_loss(model.loss(&batch));
    probe.measure_update(update, |model: &Mlp| -> Tensor<1> { model.loss(&other) });
    assert!(says(&probe, "the loss whose gradient the step uses"));
    assert!(!says(&probe, "attach_with"));
}
