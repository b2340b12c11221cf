use super::case::{Case, Tweak};
use super::fault::Fault;
use super::judge::judge;
use super::run::{Run, Update, value};
use super::tally::Tally;
use super::tasks::{Place, Scene, TASKS, TaskLoss};
use super::ways::{Learned, WAYS, learned};
use sharpness_tests::prelude::*;

pub type Tallies = BTreeMap<String, Tally>;

pub fn held(case: &Case) -> Tallies {
    let mut watch = Watch::new(case);
    let mut run = Run::new(case);
    for step in 0..case.steps {
        let updates = run.updates(step);
        let mut made = None;
        if case.is_measured(step) {
            for (part, update) in updates.iter().enumerate() {
                made = watch.measure(&run, (part, step), update);
            }
        }
        let made = made.filter(|_| case.parts.len() == 1 && step % 2 == 1);
        run.step(step, &updates, made);
    }
    watch.compare_with_bare(run.result());
    watch.tallies
}

struct Watch<'a> {
    case: &'a Case,
    scene: Scene,
    probes: Vec<[SharpnessProbe; WAYS.len()]>,
    learned: Vec<Learned>,
    tallies: Tallies,
}

impl<'a> Watch<'a> {
    fn new(case: &'a Case) -> Self {
        let scene = Scene::default();
        let probes = |_| WAYS.map(|way| way.probe(case, &scene));
        Self {
            case,
            probes: case.parts.iter().map(probes).collect(),
            learned: match case.has_learner {
                true => learned(case).into(),
                false => Vec::new(),
            },
            tallies: Tallies::new(),
            scene,
        }
    }

    fn fault(&mut self, fault: Fault, note: &str) {
        let tally = self.tallies.entry(TRAIN_TASK.to_string()).or_default();
        tally.add_fault(fault, format!("{}, {note}", self.case.name));
    }

    /// Returns the model and the optimizer of the last way, if it makes the step.
    fn measure(
        &mut self,
        run: &Run<'_>,
        (part, step): (usize, u64),
        update: &Update,
    ) -> Option<(Zoo, ModuleOptimizer)> {
        let case = self.case;
        let at = (part, step);
        let stepped = |rate: f64| run.stepped_at(part, rate, update);
        let is_straight = case.parts[part].optimizer.is_straight;
        let line = Line::new(&run.model, &stepped, is_straight);
        if case.has_tasks {
            *self.scene.lock().unwrap() = Some(place(case, &line, update, at));
        }
        let (before, after) = (bits(&run.model), bits(&run.after(at, update).0));
        let mut made = None;
        for (index, way) in WAYS.iter().enumerate() {
            let probe = &self.probes[part][index];
            let moved = way.measure(probe, case, run, at, update);
            let is_same = match &moved {
                Some((moved, _)) => bits(moved) == after,
                None => bits(&run.model) == before,
            };
            made = moved.or(made);
            let at = format!("step {step}, {}", way.name);
            if let Some(note) = wrong_limit(probe) {
                self.fault(Fault::Limiting, &format!("{at}: {note}"));
            }
            if !is_same {
                self.fault(Fault::Bits, &format!("{at}: other bits"));
            }
        }
        self.hold(run, at, update, &line, TRAIN_TASK, None);
        for (name, task) in TASKS.into_iter().filter(|_| case.has_tasks) {
            self.hold(run, at, update, &line, name, Some(task));
        }
        made
    }

    fn measured(&self, (part, step): (usize, u64), loss: &str) -> Vec<(&'static str, Measurement)> {
        let probes = WAYS.iter().zip(&self.probes[part]);
        let latest = probes
            .filter_map(|(way, probe)| Some((way.name, probe.latest(loss)?.as_ref().clone())));
        let records = self.learned.iter().flat_map(|learned| {
            let measured = learned.measured.iter();
            measured.map(|measured| (learned.way, measured.clone()))
        });
        let records =
            records.filter(|(_, measured)| measured.task == loss && measured.step == step);
        latest.chain(records).collect()
    }

    fn hold(
        &mut self,
        run: &Run<'_>,
        at: (usize, u64),
        update: &Update,
        line: &Line<'_, Zoo>,
        name: &str,
        task: Option<TaskLoss>,
    ) {
        let (case, scene) = (self.case, self.scene.clone());
        let loss = |model: &Zoo, update: &Update| match task {
            Some(task) => task.of(model, scene.lock().unwrap().as_ref().unwrap()),
            None => update.loss(model),
        };
        let valid = run.valid();
        let update = &update.on(Sample::inner);
        let start = loss(&valid, update);
        // A mean over examples has a finer resolution than each of them.
        let units = if start.dims()[0] > 1 { 2.0 } else { 4.0 };
        let epsilon = start.dtype().finfo().map_or(0.0, |info| info.epsilon);
        let base = value(start);
        let rise = |rate: f64| value(loss(&line.at(&valid, rate), update)) - base;

        let exact_update = update.on(|sample| sample.cast(FloatDType::F64));
        let exact = valid.exact().filter(|_| case.tweak != Tweak::Double);
        let exact = exact.map(|model| {
            let (loss, update) = (&loss, &exact_update);
            let base = value(loss(&model, update));
            move |rate: f64| value(loss(&line.at(&model, rate), update)) - base
        });
        let exact = exact.as_ref().map(|exact| exact as &dyn Fn(f64) -> f64);
        let (same, wide) = match case.kind.network.sixteen_bits() {
            Some(_) => (None, exact),
            None => (exact, None),
        };

        let mut scan = Scan::new(&rise, same, units * epsilon * base.abs());
        let measured = self.measured(at, name);
        let tally = self.tallies.entry(name.to_string()).or_default();
        for (way, measured) in measured {
            let verdict = judge(&measured, &mut scan, wide);
            tally.count(&measured, &verdict);
            tally.note(&verdict.faults, || {
                let slope = (measured.slope, measured.slope_source);
                let points = measured.line.iter().flatten();
                let points: Vec<_> = points.map(|point| (point.learning_rate, point.rise)).collect();
                format!(
                    "{}, step {}, {way}: {}L {base:e}, η {:?}, slope {slope:?}, {} in {:?}..{:?} by {points:?}",
                    case.name,
                    at.1,
                    verdict.note,
                    measured.learning_rate,
                    measured.outcome.name(),
                    measured.lower,
                    measured.upper,
                )
            });
        }
    }

    fn compare_with_bare(&mut self, result: Vec<u8>) {
        let bare = bare(self.case);
        let learners = self.learned.iter().map(|of| (of.way, of.bits != bare));
        let results: Vec<_> = learners.chain([("own loop", result != bare)]).collect();
        for (way, _) in results.into_iter().filter(|(_, is_other)| *is_other) {
            let note = format!("{way}: other weights than without a probe");
            self.fault(Fault::Bits, &note);
        }
    }
}

fn bare(case: &Case) -> Vec<u8> {
    let mut run = Run::new(case);
    for step in 0..case.steps {
        let updates = run.updates(step);
        run.step(step, &updates, None);
    }
    run.result()
}

/// A prescribed line crosses far below the current learning rate at first, and far above it later.
fn place(case: &Case, line: &Line<'_, Zoo>, update: &Update, (part, step): (usize, u64)) -> Place {
    let crossing = case.rate(part, step) * 0.37 * 1.05f64.powi(step as i32);
    let sample = update.samples[0].inner();
    let other = Data::new(1, 32, &sample.x.device());
    Place {
        sample,
        other: Sample::of(&other.batch(999)),
        weights: line.start().clone(),
        unit: crossing * line.norm(),
    }
}

fn wrong_limit(probe: &SharpnessProbe) -> Option<String> {
    let names = std::iter::once(TRAIN_TASK).chain(TASKS.iter().map(|(name, _)| *name));
    let limits = names.filter_map(|name| Some((limit(probe.latest(name)?.as_ref())?, name)));
    let limits: Vec<(f64, &str)> = limits.collect();
    let smallest = limits.iter().map(|(limit, _)| *limit).reduce(f64::min)?;
    let named = probe.latest(TRAIN_TASK)?.limiting_task.clone()?;
    let is_smallest = limits.contains(&(smallest, named.as_str()));
    (!is_smallest).then(|| format!("{named} is named as limiting, of {limits:?}"))
}

fn limit(measured: &Measurement) -> Option<f64> {
    match measured.outcome {
        NotDescent => Some(0.0),
        _ => measured.critical_lr,
    }
}
