use sharpness_tests::prelude::*;

const STEPS: usize = 120;
const WARM_UP: usize = 20;

/// Returns the mean evaluations for each step's loss and another batch's, once warm.
fn mean_evaluations(config: &MlpConfig, source: SlopeSource) -> [f64; 2] {
    let device = Device::flex().autodiff();
    let (data, other) = (Data::new(20, 64, &device), Data::new(4, 256, &device));
    let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(1));
    let probe = probe.with_task("other", vec![other.batch(1)], task_loss);
    let probe = probe.build().unwrap();
    let mut evaluations = [Vec::new(), Vec::new()];
    let mut at = AtStep::new(config.init(&device), adam(), 3e-3, data.batch(0));
    for step in 0..STEPS {
        let trained = at.measure_told(&probe);
        let of_task = probe.latest("other").unwrap();
        if step >= WARM_UP {
            assert_eq!(trained.slope_source, Some(source));
            assert_eq!(of_task.slope_source, None);
            for (all, measured) in evaluations.iter_mut().zip([trained, of_task]) {
                // A task that rises from the start has no crossing.
                if measured.outcome == Bracketed {
                    all.push(measured.evaluations as f64);
                }
            }
        }
        at = at.next(data.batch((step + 1) % 20));
    }
    evaluations.map(|all| {
        assert!(all.len() >= STEPS / 2);
        all.iter().sum::<f64>() / all.len() as f64
    })
}

#[test]
fn a_warm_measurement_takes_few_evaluations() {
    let known = MlpConfig::for_data();
    let hinted = MlpConfig::for_data().with_dropout(0.1).with_batch_norm();
    for (name, config, source, most) in [
        ("known slope", known, SlopeSource::Known, 2.6),
        ("hint of a slope", hinted, SlopeSource::Hint, 3.7),
    ] {
        let [trained, of_task] = mean_evaluations(&config, source);
        println!("{name}: {trained:.2}, of a task {of_task:.2}");
        assert!(trained <= most, "{name}: {trained}");
        assert!(of_task <= 3.7, "{name}, of a task: {of_task}");
    }
}
