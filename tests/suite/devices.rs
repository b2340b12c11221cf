use sharpness_tests::prelude::*;

const STEPS: usize = 6;
const RATE: f64 = 0.1;

struct Worker<M> {
    device: Device,
    model: M,
    optim: ModuleOptimizer,
}

/// As DDP does. The second worker lags: it makes its update after the first has begun the next item.
fn train<M>(start: M, reduce: Reduce) -> Vec<M>
where
    M: Module + TrainStep<Input = Batch>,
{
    let mut workers = device::two().map(|device| Worker {
        model: start.clone().fork(&device),
        device,
        optim: sgd(),
    });
    let item = |worker: &Worker<M>, index: usize| {
        let batch = Data::new(2 * STEPS, 16, &worker.device).batch(index);
        worker.model.step(batch).grads
    };
    let mut first = item(&workers[0], 0);
    for step in 0..STEPS {
        let second = item(&workers[1], 2 * step + 1);
        let all = [first, second];
        let grads = [0, 1].map(|of| {
            let Worker { model, device, .. } = &workers[of];
            reduced(model, &all, device, reduce)
        });
        let mut grads = grads.into_iter();
        let mut update = |worker: &mut Worker<M>| {
            let grads = grads.next().unwrap();
            let model = worker.model.clone();
            worker.model = model.optimize(&mut worker.optim, RATE.into(), grads);
        };
        update(&mut workers[0]);
        first = match step + 1 < STEPS {
            true => item(&workers[0], 2 * (step + 1)),
            false => GradientsParams::new(),
        };
        update(&mut workers[1]);
    }
    workers.into_iter().map(|worker| worker.model).collect()
}

#[test]
fn copies_that_share_their_gradients_are_measured_once_on_the_batches_of_all() {
    let [first, second] = device::two();
    let model = MlpConfig::for_data().init(&first);
    for reduce in [Reduce::Mean, Reduce::Sum] {
        let folder = tempfile::tempdir().unwrap();
        let config = SharpnessConfig::new().with_every(1).with_tolerance(1e-3);
        let probe = probe_of(config.with_directory(folder.path()));
        let bare = train(model.clone(), reduce);
        let probed = train(probe.attach(model.clone()), reduce);
        for (probed, bare) in probed.into_iter().zip(&bare) {
            assert_eq!(weights(&probed.into_inner()), weights(bare), "{reduce:?}");
        }

        let measured = measurements(folder.path());
        assert_eq!(measured.len(), STEPS, "{reduce:?}");
        for (index, measurement) in measured.iter().enumerate() {
            assert_eq!(measurement.step, index as u64, "{reduce:?}");
            assert_eq!(measurement.outcome, Bracketed);
            let share = (index > 0).then(|| WorkerShare::new(2, 2));
            assert_eq!(measurement.workers, share, "{reduce:?}");
            let is_known = measurement.slope_source == Some(SlopeSource::Known);
            assert!(!is_known || index >= 4, "{reduce:?}");
            // On two devices, a training step may have reported the loss of other weights.
            assert!(is_known || index < 4 || first != second, "{measurement:?}");
            if is_known {
                let workers = if reduce == Reduce::Sum { 2.0 } else { 1.0 };
                let slope = measurement.update_norm.unwrap().powi(2) / workers;
                assert_near(measurement.slope, slope, 1e-3);
            }
        }
        let data = Data::new(2 * STEPS, 16, &first);
        let losses = [0, 1].map(|index| model.loss(&data.batch(index)).into_scalar::<f64>());
        let base = measured[0].base_loss.unwrap();
        assert!(
            (base - (losses[0] + losses[1]) / 2.0).abs() < 1e-5,
            "{base}"
        );
    }
}
