//! Relative critical sharpness: the losses of other tasks along the training's update.

use sharpness_tests::prelude::*;

#[derive(Module, Debug)]
struct Point {
    theta: Param<Tensor<1>>,
}

const THETA: [f64; 3] = [1.0, -2.0, 0.5];

impl Point {
    fn new() -> Self {
        let device = device::autodiff();
        let theta = Tensor::from_floats(THETA.map(|value| value as f32), &device);
        Self {
            theta: Param::from_tensor(theta),
        }
    }
}

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
        let curvature: f64 = (0..3)
            .map(|i| self.curvature[i] * delta[i] * delta[i])
            .sum();
        2.0 * slope / curvature
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

fn measure(probe: &SharpnessProbe, optim: &ModuleOptimizer) -> Arc<Measurement> {
    let point = Point::new();
    let grads = GradientsParams::from_grads(TRAINED.loss(&point).backward(), &point);
    let measured = probe.measure(&point, optim, 0.1, &grads, |point| TRAINED.loss(point));
    measured.unwrap()
}

fn assert_at(measurement: &Measurement, critical_lr: f64) {
    assert_eq!(measurement.outcome, Bracketed, "{measurement:?}");
    let (lower, upper) = (measurement.lower.unwrap(), measurement.upper.unwrap());
    assert!(
        lower <= critical_lr * (1.0 + 1e-5) && critical_lr * (1.0 - 1e-5) <= upper,
        "{critical_lr} is outside [{lower}, {upper}]"
    );
}

#[test]
fn of_two_quadratics_it_is_the_closed_form() {
    let gradient = TRAINED.gradient();
    let adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.1);
    // The first step of AdamW is the sign of the gradient, plus the decay.
    let signs = std::array::from_fn(|i| gradient[i].signum() + 0.1 * THETA[i]);
    let cases: [(ModuleOptimizer, [f64; 3]); 2] =
        [(SgdConfig::new().init(), gradient), (adamw.init(), signs)];
    for (optim, delta) in cases {
        let loss = |point: &Point, task: Quadratic| task.loss(point);
        let probe = SharpnessProbe::builder(fine()).with_task("other", vec![OTHER], loss);
        let probe = probe.build().unwrap();
        let trained = measure(&probe, &optim);
        let other = probe.latest("other").unwrap();
        assert_at(&trained, TRAINED.critical_lr(delta));
        assert_at(&other, OTHER.critical_lr(delta));
        assert_ne!(trained.critical_lr, other.critical_lr);

        let nearest = if OTHER.critical_lr(delta) < TRAINED.critical_lr(delta) {
            "other"
        } else {
            "train"
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
        let trained = measure(&probe, &SgdConfig::new().init());
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
    let evaluations = Arc::new(Mutex::new(0));
    let point = Point::new();
    let grads = GradientsParams::from_grads(TRAINED.loss(&point).backward(), &point);
    let mut passes = [0; 2];
    for (probe, passes) in [
        SharpnessProbe::new(fine()).unwrap(),
        SharpnessProbe::builder(fine())
            .with_training_task("itself")
            .build()
            .unwrap(),
    ]
    .iter()
    .zip(&mut passes)
    {
        *evaluations.lock().unwrap() = 0;
        let loss = |point: &Point| {
            *evaluations.lock().unwrap() += 1;
            TRAINED.loss(point)
        };
        let optim: ModuleOptimizer = SgdConfig::new().init();
        let trained = probe.measure(&point, &optim, 0.1, &grads, loss).unwrap();
        *passes = *evaluations.lock().unwrap();
        if let Some(task) = probe.latest("itself") {
            assert_eq!(task.critical_lr, trained.critical_lr);
            assert_eq!(task.evaluations, 0);
        }
    }
    assert_eq!(passes[0], passes[1]);

    let loss = |point: &Point, task: Quadratic| task.loss(point);
    let probe = SharpnessProbe::builder(fine()).with_task("twin", vec![TRAINED], loss);
    let probe = probe.build().unwrap();
    let trained = measure(&probe, &SgdConfig::new().init());
    let twin = probe.latest("twin").unwrap();
    assert_at(&twin, TRAINED.critical_lr(TRAINED.gradient()));
    assert!(twin.lower < trained.upper && trained.lower < twin.upper);
}

#[test]
fn several_batches_are_their_mean_with_its_spread() {
    let loss = |point: &Point, task: Quadratic| task.loss(point);
    let shifted = |by: f64| Quadratic {
        minimum: OTHER.minimum.map(|value| value + by),
        ..OTHER
    };
    let config = fine().with_task_batches(2);
    let probe = SharpnessProbe::builder(config)
        .with_task("other", vec![shifted(-0.01), shifted(0.01)], loss)
        .build()
        .unwrap();
    measure(&probe, &SgdConfig::new().init());
    let other = probe.latest("other").unwrap();
    // The mean of the two differs from OTHER by a constant.
    let gradient = TRAINED.gradient();
    assert_at(&other, OTHER.critical_lr(gradient));

    let each = [-0.01, 0.01].map(|by| shifted(by).critical_lr(gradient));
    let deviation = (each[0] - each[1]).abs() / 2f64.sqrt();
    let spread = other.critical_lr_spread.unwrap();
    assert!(
        (spread / deviation - 1.0).abs() < 0.02,
        "{spread} {deviation}"
    );
}

fn with_tasks(config: SharpnessConfig, seen: &Arc<Mutex<Vec<f32>>>) -> SharpnessProbe {
    let seen = seen.clone();
    let fixed = vec![Data::new(9, 16, &device::plain()).batch(8)];
    let loss = |model: &Mlp, batch: Batch| model.loss(&batch);
    let spied = move |model: &Mlp, batch: Batch| {
        let first = batch.x.clone().into_data().iter::<f32>().next().unwrap();
        let mut seen = seen.lock().unwrap();
        if seen.last() != Some(&first) {
            seen.push(first);
        }
        model.loss(&batch)
    };
    SharpnessProbe::builder(config)
        .with_task("fixed", fixed, loss)
        .with_task("loader", Data::new(5, 8, &device::plain()).loader(), spied)
        .with_training_task("same")
        .build()
        .unwrap()
}

#[test]
fn three_tasks_leave_the_run_bit_identical_and_have_an_order_of_their_own() {
    let optim = || -> ModuleOptimizer { AdamWConfig::new().with_weight_decay(0.1).init() };
    let device = device::autodiff();
    let folder = tempfile::tempdir().unwrap();
    let model = MlpConfig::for_data().init(&device);
    let bare = Training::new(folder.path());
    let (bare, _) = bare.launch(model, optim(), 0.05, None);

    let mut orders = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let seen = Arc::default();
        let config = SharpnessConfig::new()
            .with_every(2)
            .with_directory(folder.path());
        let probe = with_tasks(config, &seen);
        let model = probe.attach(MlpConfig::for_data().init(&device));
        let training = Training::new(folder.path());
        let (probed, recorder) = training.launch(model, optim(), 0.05, Some(&probe));
        assert_eq!(weights(&probed.into_inner()), weights(&bare));

        let measured = measurements(folder.path());
        let tasks: Vec<&str> = measured.iter().map(|m| m.task.as_str()).collect();
        assert_eq!(tasks, ["train", "fixed", "loader", "same"].repeat(7));
        assert!(measured.iter().all(|m| m.limiting_task.is_some()));
        let points = recorder.points("Relative Sharpness loader");
        let numbers = measured
            .iter()
            .filter(|m| m.task == "loader" && m.critical_sharpness.is_some());
        assert_eq!(points.len(), numbers.clone().count());
        assert!(!points.is_empty());
        for ((tick, point), measurement) in points.iter().zip(numbers) {
            assert_eq!(*tick as u64, measurement.step);
            assert_eq!(Some(*point), measurement.critical_sharpness);
        }
        orders.push(Arc::try_unwrap(seen).map_or_else(
            |seen: Arc<Mutex<Vec<f32>>>| seen.lock().unwrap().clone(),
            |seen| seen.into_inner().unwrap(),
        ));
    }
    let data = Data::new(5, 8, &device::plain());
    let first = |batch: usize| {
        data.batch(batch)
            .x
            .into_data()
            .iter::<f32>()
            .next()
            .unwrap()
    };
    let expected: Vec<f32> = [0, 1, 2, 3, 4, 0, 1].map(first).to_vec();
    assert_eq!(orders, [expected.clone(), expected]);
}

#[test]
fn a_resumed_loop_measures_on_the_batches_that_it_would_have_measured_on() {
    for loader in [false, true] {
        let mut seen = Vec::new();
        for first_step in [0, 4] {
            let batches = Arc::new(Mutex::new(Vec::new()));
            let spy = batches.clone();
            let spied = move |model: &Mlp, batch: Batch| {
                let first = batch.x.clone().into_data().iter::<f32>().next().unwrap();
                spy.lock().unwrap().push(first);
                model.loss(&batch)
            };
            let data = Data::new(3, 8, &device::plain());
            let probe = SharpnessProbe::builder(SharpnessConfig::new().with_every(2));
            let probe = if loader {
                probe.with_task("task", data.loader(), spied)
            } else {
                let fixed: Vec<Batch> = (0..3).map(|batch| data.batch(batch)).collect();
                probe.with_task("task", fixed, spied)
            };
            let probe = probe.build().unwrap();
            probe.set_step(first_step);
            let device = device::autodiff();
            let model = MlpConfig::for_data().init(&device);
            let batch = Data::new(1, 32, &device).batch(0);
            let grads = GradientsParams::from_grads(model.loss(&batch).backward(), &model);
            let optim: ModuleOptimizer = SgdConfig::new().init();
            for _ in first_step..6 {
                probe.measure(&model, &optim, 0.1, &grads, |model| model.loss(&batch));
            }
            seen.push(batches.lock().unwrap().last().copied().unwrap());
        }
        assert_eq!(seen[0], seen[1]);
    }
}

#[test]
fn a_task_that_cannot_be_measured_is_said_so_once_and_stops_nothing() {
    let device = device::plain();
    let folder = tempfile::tempdir().unwrap();
    let config = SharpnessConfig::new()
        .with_every(1)
        .with_directory(folder.path());
    let loss = |model: &Mlp, batch: Batch| model.loss(&batch);
    let panics = |_: &Mlp, _: Batch| -> f64 { panic!("on purpose") };
    let batch = || Data::new(1, 8, &device).batch(0);
    let poisoned = Data::new(1, 8, &device).with_poisoned(0);
    let probe = SharpnessProbe::builder(config)
        .with_task("empty loader", Data::new(0, 8, &device).loader(), loss)
        .with_task("no batch", Vec::new(), loss)
        .with_task("nan", poisoned.loader(), loss)
        .with_task("panics", vec![batch()], panics)
        .with_task("other model", vec![OTHER], |point: &Point, task| {
            task.loss(point)
        })
        .with_task("fine", vec![batch()], loss)
        .build()
        .unwrap();
    let model = probe.attach(MlpConfig::for_data().init(&device.clone().autodiff()));
    let optim: ModuleOptimizer = SgdConfig::new().init();
    let (_, _) = Training::new(folder.path()).launch(model, optim, 0.1, Some(&probe));

    let measured = measurements(folder.path());
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
        let said = failed[0].reason.as_ref().unwrap();
        assert!(said.contains(reason), "{task}: {said}");
    }
    assert_eq!(of("nan").len(), 14);
    assert!(
        of("nan")
            .iter()
            .all(|m| m.outcome == NonFiniteBaseLoss && m.critical_lr.is_none())
    );
    for task in ["train", "fine"] {
        let bracketed = of(task).into_iter().filter(|m| m.critical_lr.is_some());
        assert!(bracketed.count() >= 12, "{task}: {:?}", of(task));
    }
}

#[test]
fn names_that_cannot_be_used_are_refused() {
    let named = |names: &[&str]| {
        let probe = SharpnessProbe::builder(SharpnessConfig::new());
        let all = names.iter();
        all.fold(probe, |probe, name| probe.with_training_task(name))
            .build()
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
    assert!(SharpnessProbe::new(SharpnessConfig::new().with_task_batches(0)).is_err());
}
