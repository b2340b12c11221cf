use crate::stranger::data;
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
        let at = AtStep::new(model, optim, 0.01, data.batch(step % 5));
        if is_called(step) {
            at.measured(probe, at.update());
        }
        (model, optim) = at.step();
        model = after(model);
    }
}

#[test]
fn a_probe_that_is_called_at_every_fifth_step_only_says_so() {
    for (name, optim) in [("sgd", sgd()), ("momentum", momentum()), ("adam", adam())] {
        for steps in [1, 2] {
            let called_at_some = every(steps);
            trained(&called_at_some, optim.clone(), |step| step % 5 == 0, |m| m);
            let told = says(&called_at_some, "call it at every step");
            assert!(told, "{name} every {steps}");
            let called_at_all = every(steps);
            trained(&called_at_all, optim.clone(), |_| true, |model| model);
            assert_silent(&called_at_all);
            let clipping = every(steps);
            trained(&clipping, optim.clone(), |_| true, clipped);
            assert_silent(&clipping);
        }
    }
}

#[test]
fn one_probe_for_two_models_of_a_loop_says_so() {
    let probe = every(2);
    let models = [(); 2].map(|()| AtStep::new(model(), sgd(), 0.1, data().batch(0)));
    for _ in 0..4 {
        for at in &models {
            at.measured(&probe, at.update());
        }
    }
    assert!(says(&probe, "with one model and then with another"));
}

#[test]
fn gradients_of_another_model_are_named_as_the_reason() {
    let probe = every(1);
    let mut at = AtStep::new(model(), sgd(), 0.1, data().batch(0));
    at.model = model();
    let words = "pass the gradients of this very model";
    for _ in 0..4 {
        let measured = at.measure(&probe);
        assert_eq!(measured.outcome, Failed);
        let reason = measured.reason.as_ref().unwrap();
        assert_says(reason, "no parameter of the model has a gradient");
        assert_says(reason, words);
    }
    assert!(says(&probe, words));
}

#[test]
fn a_task_that_fails_is_named_with_its_reason() {
    let fails = |_: &Mlp, _: Batch| -> Result<f64, String> { Err("the disk is gone".to_string()) };
    let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1))
        .with_task("kept", vec![plain_batch_of(8)], fails)
        .build()
        .unwrap();
    trained(&probe, sgd(), |_| true, |model| model);
    let words = "a measurement of kept failed: the disk is gone";
    assert!(says(&probe, words));
}

#[test]
fn a_loss_that_does_not_use_the_model_it_is_given_says_so() {
    let words = "compute it with the model that the closure is given";
    let probe = every(1);
    let at = AtStep::new(model(), sgd(), 0.1, data().batch(0));
    for _ in 0..2 {
        let ignores = |_: &Mlp| at.model.loss(&at.batch);
        let measured = probe.measure_update(at.update(), ignores).unwrap();
        assert_eq!(measured.critical_sharpness, None);
        assert_says(measured.reason.as_ref().unwrap(), words);
    }
    assert!(says(&probe, words));

    let folder = tempfile::tempdir().unwrap();
    let probe = in_folder(1, folder.path());
    let captured = at.model.valid();
    let attached = probe.attach_with(model(), move |_: &Mlp, batch| captured.loss(&batch));
    Training::new(folder.path()).launch(attached, sgd(), 0.1, Some(&probe));
    assert!(says(&probe, words));

    // A loss that stays 0 is no mistake.
    let probe = every(1);
    for _ in 0..3 {
        let zero = |model: &Mlp| model.loss(&at.batch) * 0.0;
        let measured = probe.measure_update(at.update(), zero).unwrap();
        assert_ne!(measured.outcome, Bracketed);
    }
    assert_silent(&probe);
}

#[test]
fn a_metric_of_validation_is_told_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let probe = every(1);
    let training = Training::new(folder.path()).with(|run| run.epochs = 8);
    let (training, recorder) = training.prepare(None);
    let metric = SharpnessMetric::new(&probe, Quantity::CriticalSharpness);
    let training = training.metric_valid_numeric(metric);
    training.launch(Learner::new(probe.attach(model()), sgd(), 0.1));
    let words = "registered for validation";
    let text = recorder.text(Quantity::CriticalSharpness.name(), "valid");
    assert_says(&text, words);
    assert!(says(&probe, words));
}

#[test]
fn a_loop_whose_closure_uses_another_batch_is_told_what_to_do_there() {
    let probe = every(1);
    let at = AtStep::new(model(), sgd(), 0.1, data().batch(0));
    let other = data().batch(1);
    let update = at.update().with_training_loss(at.loss.clone());
    probe.measure_update(update, |model: &Mlp| model.loss(&other));
    assert!(says(&probe, "the loss whose gradient the step uses"));
    assert!(!says(&probe, "attach_with"));
}
