use sharpness_tests::prelude::*;

const THETA: [f64; 3] = [1.0, -2.0, 0.5];

/// ½ Σ aᵢ (θᵢ − mᵢ)².
#[derive(Clone, Copy)]
struct Quadratic {
    curvature: [f64; 3],
    minimum: [f64; 3],
}

impl Quadratic {
    fn loss(&self, point: &Point) -> Tensor<1> {
        let theta = point.theta.val();
        let tensor = |values: [f64; 3]| {
            Tensor::<1>::from_floats(values.map(|value| value as f32), &theta.device())
        };
        let distance = theta.clone() - tensor(self.minimum);
        (distance.square() * tensor(self.curvature)).sum() * 0.5
    }

    fn gradient(&self) -> [f64; 3] {
        std::array::from_fn(|i| self.curvature[i] * (THETA[i] - self.minimum[i]))
    }

    /// The root of f(η) = −η g·Δ + ½η² Σ aᵢΔᵢ².
    fn critical_lr(&self, delta: [f64; 3]) -> f64 {
        let slope: f64 = (0..3).map(|i| self.gradient()[i] * delta[i]).sum();
        let bend = |i: usize| self.curvature[i] * delta[i] * delta[i];
        2.0 * slope / (0..3).map(bend).sum::<f64>()
    }
}

const TRAINED: Quadratic = Quadratic {
    curvature: [1.0, 4.0, 0.5],
    minimum: [0.0, 1.0, 2.0],
};
const OTHER: Quadratic = Quadratic {
    curvature: [3.0, 1.0, 2.0],
    minimum: [0.3, 0.5, 3.0],
};

fn fine() -> SharpnessConfig {
    SharpnessConfig::new().with_every(1).with_tolerance(1e-3)
}

fn with_other(config: SharpnessConfig, batches: Vec<Quadratic>) -> SharpnessProbe {
    let loss = |point: &Point, task: Quadratic| task.loss(point);
    let probe = SharpnessProbe::builder(config).with_task("other", batches, loss);
    probe.build().unwrap()
}

fn measure(probe: &SharpnessProbe, optim: &ModuleOptimizer) -> Arc<Measurement> {
    let point = Point::at(THETA);
    let grads = GradientsParams::from_grads(TRAINED.loss(&point).backward(), &point);
    let measured = probe.measure(&point, optim, 0.1, &grads, |point| TRAINED.loss(point));
    measured.unwrap()
}

#[track_caller]
fn assert_at(measurement: &Measurement, critical_lr: f64) {
    assert_eq!(measurement.outcome, Bracketed, "{measurement:?}");
    let (lower, upper) = (measurement.lower.unwrap(), measurement.upper.unwrap());
    let is_inside = lower <= critical_lr * (1.0 + 1e-5) && critical_lr * (1.0 - 1e-5) <= upper;
    assert!(is_inside, "{critical_lr} is outside [{lower}, {upper}]");
}

#[test]
fn of_two_quadratics_it_is_the_closed_form() {
    let gradient = TRAINED.gradient();
    let adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.1);
    // The first step of AdamW is the sign of the gradient, plus the decay.
    let signs = std::array::from_fn(|i| gradient[i].signum() + 0.1 * THETA[i]);
    for (optim, delta) in [(sgd(), gradient), (adamw.init(), signs)] {
        let probe = with_other(fine(), vec![OTHER]);
        let trained = measure(&probe, &optim);
        let other = probe.latest("other").unwrap();
        assert_at(&trained, TRAINED.critical_lr(delta));
        assert_at(&other, OTHER.critical_lr(delta));
        assert_ne!(trained.critical_lr, other.critical_lr);

        let nearest = match OTHER.critical_lr(delta) < TRAINED.critical_lr(delta) {
            true => "other",
            false => "train",
        };
        assert_eq!(trained.limiting_task.as_deref(), Some(nearest));
        assert_eq!(other.limiting_task, trained.limiting_task);
        assert_eq!(probe.summary().limiting_task(), Some(nearest));
    }
}

#[test]
fn a_task_that_only_gains_or_that_is_hurt_at_once_has_no_number() {
    let along = |sign: f64| {
        move |point: &Point, (): ()| {
            let gradient = TRAINED.gradient().map(|value| (sign * value) as f32);
            let gradient = Tensor::<1>::from_floats(gradient, &point.theta.val().device());
            (point.theta.val() * gradient).sum()
        }
    };
    let probe = SharpnessProbe::builder(fine())
        .with_task("gains", vec![()], along(1.0))
        .with_task("is hurt", vec![()], along(-1.0))
        .build()
        .unwrap();
    for _ in 0..2 {
        let trained = measure(&probe, &sgd());
        let gains = probe.latest("gains").unwrap();
        let hurt = probe.latest("is hurt").unwrap();
        assert_eq!(gains.outcome, NoIncrease);
        assert_eq!(hurt.outcome, NotDescent, "{hurt:?}");
        for measurement in [gains, hurt] {
            assert_eq!(measurement.critical_lr, None);
            assert_eq!(measurement.critical_sharpness, None);
        }
        assert_eq!(trained.limiting_task.as_deref(), Some("is hurt"));
    }
}

#[test]
fn the_training_loss_as_a_task_is_the_same_number_for_no_evaluation() {
    let point = Point::at(THETA);
    let grads = GradientsParams::from_grads(TRAINED.loss(&point).backward(), &point);
    let itself = SharpnessProbe::builder(fine()).with_training_task("itself");
    let passes = [probe_of(fine()), itself.build().unwrap()].map(|probe| {
        let mut evaluations = 0;
        let loss = |point: &Point| {
            evaluations += 1;
            TRAINED.loss(point)
        };
        let trained = probe.measure(&point, &sgd(), 0.1, &grads, loss).unwrap();
        if let Some(task) = probe.latest("itself") {
            assert_eq!(task.critical_lr, trained.critical_lr);
            assert_eq!(task.evaluations, 0);
        }
        evaluations
    });
    assert_eq!(passes[0], passes[1]);

    let probe = with_other(fine(), vec![TRAINED]);
    let trained = measure(&probe, &sgd());
    let twin = probe.latest("other").unwrap();
    assert_at(&twin, TRAINED.critical_lr(TRAINED.gradient()));
    assert!(twin.lower < trained.upper && trained.lower < twin.upper);
}

#[test]
fn several_batches_are_their_mean_with_its_spread() {
    let shifted = |by: f64| Quadratic {
        minimum: OTHER.minimum.map(|value| value + by),
        ..OTHER
    };
    let batches = vec![shifted(-0.01), shifted(0.01)];
    let probe = with_other(fine().with_task_batches(2), batches);
    measure(&probe, &sgd());
    let other = probe.latest("other").unwrap();
    // The mean of the two differs from OTHER by a constant.
    let gradient = TRAINED.gradient();
    assert_at(&other, OTHER.critical_lr(gradient));

    let each = [-0.01, 0.01].map(|by| shifted(by).critical_lr(gradient));
    let deviation = (each[0] - each[1]).abs() / 2f64.sqrt();
    assert_near(other.critical_lr_spread, deviation, 0.02);
}

type Seen = Arc<Mutex<Vec<f32>>>;

fn first_input(batch: &Batch) -> f32 {
    batch.x.to_data().iter::<f32>().next().unwrap()
}

/// Notes each batch, by its first input.
fn spied(seen: &Seen) -> impl Fn(&Mlp, Batch) -> Tensor<1> + Send + Sync + 'static {
    let seen = seen.clone();
    move |model: &Mlp, batch: Batch| {
        let mut seen = seen.lock().unwrap();
        seen.push(first_input(&batch));
        seen.dedup();
        model.loss(&batch)
    }
}

#[test]
fn three_tasks_leave_the_run_bit_identical_and_have_an_order_of_their_own() {
    let data = Data::new(5, 8, &device::plain());
    let folder = tempfile::tempdir().unwrap();
    let (bare, _) = Training::new(folder.path()).fit(model(), adamw(), 0.05, None);
    let orders = [(); 2].map(|()| {
        let seen = Seen::default();
        let fixed = vec![Data::new(9, 16, &device::plain()).batch(8)];
        let probe = |config: SharpnessConfig| {
            SharpnessProbe::builder(config.with_every(2))
                .with_task("fixed", fixed, task_loss)
                .with_task("loader", data.clone().loader(), spied(&seen))
                .with_training_task("same")
                .build()
                .unwrap()
        };
        let ran = Ran::of(probe, (model(), adamw(), 0.05), |_| {});
        assert_eq!(weights(&ran.model), weights(&bare));
        let (recorder, measured) = ran.parts();
        let tasks: Vec<&str> = measured.iter().map(|m| m.task.as_str()).collect();
        assert_eq!(tasks, ["train", "fixed", "loader", "same"].repeat(7));
        assert!(measured.iter().all(|m| m.limiting_task.is_some()));
        let of_loader = measured.iter().filter(|m| m.task == "loader");
        let numbers = of_loader.filter_map(|m| Some((m.step as usize, m.critical_sharpness?)));
        let points = recorder.points("Relative Sharpness loader");
        assert!(!points.is_empty());
        assert_eq!(points, numbers.collect::<Vec<_>>());
        let seen = seen.lock().unwrap();
        seen.clone()
    });
    let expected = [0, 1, 2, 3, 4, 0, 1].map(|batch| first_input(&data.batch(batch)));
    assert_eq!(orders, [expected, expected]);
}

#[test]
fn a_resumed_loop_measures_on_the_batches_that_it_would_have_measured_on() {
    let at = AtStep::new(model(), sgd(), 0.1, batch_of(32));
    for loader in [false, true] {
        let last = [0, 4].map(|first_step| {
            let seen = Seen::default();
            let data = Data::new(3, 8, &device::plain());
            let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(2));
            let probe = match loader {
                true => probe.with_task("task", data.loader(), spied(&seen)),
                false => probe.with_task("task", data.all(), spied(&seen)),
            };
            let probe = probe.build().unwrap();
            probe.set_step(first_step);
            for _ in first_step..6 {
                at.measured(&probe, at.update());
            }
            let seen = seen.lock().unwrap();
            seen.last().copied().unwrap()
        });
        assert_eq!(last[0], last[1]);
    }
}

#[test]
fn a_task_that_cannot_be_measured_is_said_so_once_and_stops_nothing() {
    let device = device::plain();
    let panics = |_: &Mlp, _: Batch| -> f64 { panic!("on purpose") };
    let empty = Data::new(0, 8, &device).loader();
    let poisoned = Data::new(1, 8, &device).with_poisoned(0).loader();
    let of_another = |point: &Point, task: Quadratic| task.loss(point);
    let probe = |config: SharpnessConfig| {
        SharpnessProbe::builder(config.with_every(1))
            .with_task("empty loader", empty, task_loss)
            .with_task("no batch", Vec::new(), task_loss)
            .with_task("nan", poisoned, task_loss)
            .with_task("panics", vec![plain_batch_of(8)], panics)
            .with_task("other model", vec![OTHER], of_another)
            .with_task("fine", vec![plain_batch_of(8)], task_loss)
            .build()
            .unwrap()
    };
    let measured = Ran::of(probe, (model(), sgd(), 0.1), |_| {}).measured;
    let of =
        |task: &str| -> Vec<&Measurement> { measured.iter().filter(|m| m.task == task).collect() };
    for (task, reason) in [
        ("empty loader", "empty"),
        ("no batch", "no batch"),
        ("panics", "panicked"),
        ("other model", "another type"),
    ] {
        let failed = of(task);
        assert_eq!(failed.len(), 1, "{task}: one measurement");
        assert_eq!(failed[0].outcome, Failed);
        assert_says(failed[0].reason.as_ref().unwrap(), reason);
    }
    assert_eq!(of("nan").len(), 14);
    for measurement in of("nan") {
        assert_eq!(measurement.outcome, NonFiniteBaseLoss);
        assert_eq!(measurement.critical_lr, None);
    }
    for task in ["train", "fine"] {
        let bracketed = of(task).into_iter().filter(|m| m.critical_lr.is_some());
        assert!(bracketed.count() >= 12, "{task}: {:?}", of(task));
    }
}

#[test]
fn names_that_cannot_be_used_are_refused() {
    let named = |names: &[&str]| {
        let mut probe = SharpnessProbe::builder(SharpnessConfig::new());
        for name in names {
            probe = probe.with_training_task(name);
        }
        probe.build()
    };
    for (name, why) in [
        ("", "empty"),
        ("train", "training loss"),
        ("math/easy", "file name"),
    ] {
        match named(&[name]) {
            Err(ConfigError::TaskName { why: said, .. }) => assert!(said.contains(why)),
            _ => panic!("\"{name}\" was not refused"),
        }
    }
    let twice = named(&["code", "code"]).err().unwrap();
    assert!(twice.to_string().contains("another task"));
}
