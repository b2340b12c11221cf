use super::case::Case;
use super::run::{Run, Update as Pending};
use super::tasks::{Scene, TASKS};
use sharpness_tests::prelude::*;

#[derive(Clone, Copy)]
pub struct Way {
    pub name: &'static str,
    pub is_step_first: bool,
    /// Whether the probe gets the loss of the training step, which makes the slope known.
    is_told: bool,
    verification: usize,
}

pub const WAYS: [Way; 5] = [
    Way::new("measure", false, false, 0),
    Way::new("measure, told", false, true, 0),
    Way::new("optimize", true, false, 0),
    Way::new("optimize, told", true, true, 0),
    Way::new("verified", false, true, 8),
];

fn config() -> SharpnessConfig {
    let config = SharpnessConfig::new().with_every(1);
    config.with_panel(true).with_lines(true)
}

impl Way {
    const fn new(
        name: &'static str,
        is_step_first: bool,
        is_told: bool,
        verification: usize,
    ) -> Self {
        Self {
            name,
            is_step_first,
            is_told,
            verification,
        }
    }

    pub fn probe(self, case: &Case, scene: &Scene) -> SharpnessProbe {
        let mut probe = SharpnessProbe::builder(config().with_verification(self.verification));
        if case.has_tasks {
            for (name, task) in TASKS {
                let scene = scene.clone();
                probe = probe.with_task(name, vec![()], move |model: &Zoo, ()| {
                    task.of(model, scene.lock().unwrap().as_ref().unwrap())
                });
            }
        }
        probe.build().unwrap()
    }

    pub fn measure(
        self,
        probe: &SharpnessProbe,
        case: &Case,
        run: &Run<'_>,
        (part, step): (usize, u64),
        pending: &Pending,
    ) -> Option<(Zoo, ModuleOptimizer)> {
        let rates = case.rates(case.rate(part, step));
        let (model, optim) = (&run.model, &run.optims[part]);
        let loss = |model: &Zoo| pending.loss(model);
        if self.is_step_first {
            let grads = copied_gradients(model, &pending.grads);
            let mut optim = optim.clone();
            let update = Step::new(model.clone(), &mut optim, rates, grads);
            let update = match self.is_told {
                true => update.with_training_loss(pending.told.clone()),
                false => update,
            };
            let moved = probe.optimize_step(update, loss);
            Some((moved, optim))
        } else {
            let update = Update::new(model, optim, rates, &pending.grads);
            let update = match self.is_told {
                true => update.with_training_loss(pending.told.clone()),
                false => update,
            };
            probe.measure_update(update, loss);
            None
        }
    }
}

pub struct Learned {
    pub way: &'static str,
    pub measured: Vec<Measurement>,
    pub bits: Vec<u8>,
}

pub fn learned(case: &Case) -> [Learned; 2] {
    [("learner", true), ("learner, before", false)].map(|(way, is_step_first)| {
        let folder = tempfile::tempdir().unwrap();
        let config = config().with_step_first(is_step_first);
        let probe = probe_of(config.with_directory(folder.path()));
        let device = Device::flex().autodiff();
        let mut training = Training::new(folder.path());
        // A single epoch leaves out no step.
        training.data = Data::new(case.steps as usize, (case.size)(0), &device);
        training.epochs = 1;
        let model = case.kind.init(case.seed, &device);
        let optim = case.parts[0].optimizer.optim.clone();
        let (model, _) = training.fit(model, optim, case.rate(0, 0), Some(&probe));
        Learned {
            way,
            measured: measurements(folder.path()),
            bits: bits(&model),
        }
    })
}
