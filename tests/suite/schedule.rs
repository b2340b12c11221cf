use sharpness_tests::prelude::*;

/// Along a parabola with a critical learning rate of 2.
fn measured_steps(config: SharpnessConfig, learning_rates: &[f64]) -> (Vec<u64>, SharpnessProbe) {
    fn loss(model: &Linear) -> Tensor<1> {
        model.weight.val().square().sum() / 2.0
    }
    let config_of_model = LinearConfig::new(1, 1).with_bias(false);
    let model = config_of_model.init(&device::autodiff());
    let grads = GradientsParams::from_grads(loss(&model).backward(), &model);
    let probe = probe_of(config);
    let measured = learning_rates.iter();
    let measured = measured.filter_map(|rate| probe.measure(&model, &sgd(), *rate, &grads, loss));
    let steps = measured.map(|measured| measured.step).collect();
    (steps, probe)
}

#[test]
fn in_the_warmup_and_near_the_edge_it_measures_more_often() {
    let warmup = (1..=20).map(|step| 0.01 * f64::from(step));
    let stable = [0.2; 60];
    let near = [1.6; 20];
    let back = [0.2; 20];
    let rates: Vec<f64> = warmup.chain(stable).chain(near).chain(back).collect();

    let config = SharpnessConfig::new().with_every(16).with_dense_every(4);
    let (steps, _) = measured_steps(config, &rates);
    let expected = [
        0, 4, 8, 12, 16, 20, // the learning rate rises up to step 19
        32, 48, 64, 80, // stable
        84, 88, 92, 96, 100, // from step 80 on the edge is near; at 100 it no longer is
        112,
    ];
    assert_eq!(steps, expected);

    let (steps, _) = measured_steps(SharpnessConfig::new().with_every(16), &rates);
    assert_eq!(steps, [0, 16, 32, 48, 64, 80, 96, 112]);
}

#[test]
fn a_ceiling_on_the_share_of_time_leaves_measurements_out_and_counts_them() {
    let every_step = SharpnessConfig::new().with_every(1);
    let (steps, probe) = measured_steps(every_step.clone().with_max_time_share(1e-9), &[0.1; 10]);
    assert_eq!(steps, [0]);
    assert_eq!(probe.summary().left_out, 9);
    assert_says(&probe.summary().to_string(), "9 measurements left out");

    let (steps, probe) = measured_steps(every_step, &[0.1; 10]);
    assert_eq!(steps.len(), 10);
    assert_eq!(probe.summary().left_out, 0);
}

#[test]
fn in_a_learner_the_dense_steps_are_whole_updates_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |probe: Option<&SharpnessProbe>| {
        let warmup = LinearLrSchedulerConfig::new(0.001, 0.004, 3).init();
        let training = Training::new(folder.path()).with(|run| run.accumulation = Some(2));
        training.fit(model(), sgd(), warmup.unwrap(), probe)
    };
    let config = SharpnessConfig::new().with_every(6).with_dense_every(2);
    let probe = probe_of(config.with_directory(folder.path()));
    let ((bare, _), (probed, recorder)) = (fit(None), fit(Some(&probe)));
    assert_eq!(weights(&probed), weights(&bare));
    assert_eq!(steps(folder.path()), [0, 2, 4, 6]);
    // With accumulation a point waits for a tick that the dashboard keeps, and for the point before it.
    let points = recorder.points(Quantity::CriticalSharpness.name());
    let ticks: Vec<usize> = points.iter().map(|(tick, _)| *tick).collect();
    assert_eq!(ticks, [4, 8, 9, 12]);
}
