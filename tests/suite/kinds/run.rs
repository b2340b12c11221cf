use super::case::{Case, Tweak};
use sharpness_tests::prelude::*;

/// A reference network changes after this number of steps.
const OLD: u64 = 10;

pub struct Run<'a> {
    case: &'a Case,
    pub model: Zoo,
    pub optims: Vec<ModuleOptimizer>,
    seen: HashMap<u64, Sample>,
    old: Option<Zoo>,
    random: Random,
    offset: f64,
    average: Option<Vec<f64>>,
}

pub struct Update {
    pub samples: Vec<Sample>,
    pub grads: GradientsParams,
    pub told: Tensor<1>,
    offset: f64,
}

impl Update {
    pub fn loss(&self, model: &Zoo) -> Tensor<1> {
        let losses = self.samples.iter().map(|sample| model.report(sample));
        total(losses) + self.offset
    }

    pub fn on(&self, change: impl Fn(&Sample) -> Sample) -> Self {
        Self {
            samples: self.samples.iter().map(change).collect(),
            grads: GradientsParams::new(),
            told: self.told.clone(),
            offset: self.offset,
        }
    }
}

fn total(losses: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    losses.reduce(|a, b| a + b).unwrap()
}

pub fn value(loss: Tensor<1>) -> f64 {
    let losses: Vec<f64> = loss.into_data().iter().collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

impl<'a> Run<'a> {
    pub fn new(case: &'a Case) -> Self {
        let mut run = Self::shifted(case, 0.0);
        match case.tweak {
            Tweak::Offset(offset) => run.offset = offset,
            Tweak::Second(second) => {
                let updates = run.updates(0);
                run.step(0, &updates, None);
                let update = &run.updates(1)[0];
                let offset = second - value(update.told.clone());
                return Self::shifted(case, offset);
            }
            _ => {}
        }
        run
    }

    fn shifted(case: &'a Case, offset: f64) -> Self {
        let device = Device::flex().autodiff();
        let mut model = case.kind.init(case.seed, &device);
        match case.tweak {
            Tweak::Frozen => model.first = model.first.clone().no_grad(),
            Tweak::Double => model = model.exact().expect("64 bits"),
            _ => {}
        }
        let optims = case.parts.iter().map(|part| part.optimizer.optim.clone());
        Self {
            case,
            model,
            optims: optims.collect(),
            seen: HashMap::new(),
            old: None,
            random: Random::new(77),
            offset,
            average: None,
        }
    }

    fn batch(&mut self, index: u64) -> Sample {
        let case = self.case;
        let sample = self.seen.entry(index).or_insert_with(|| {
            let device = Device::flex().autodiff();
            let data = Data::new(case.batches as usize, (case.size)(index), &device);
            let sample = Sample::of(&data.batch(index as usize));
            match case.tweak {
                Tweak::Double => sample.cast(FloatDType::F64),
                _ => sample,
            }
        });
        sample.clone()
    }

    fn samples(&mut self, step: u64, turn: usize) -> Vec<Sample> {
        let case = self.case;
        let steps = match case.tweak {
            Tweak::Accumulated => vec![step, step + 5],
            _ => vec![step],
        };
        let batches = steps.into_iter().map(|step| Sample {
            turn,
            ..self.batch(step % case.batches)
        });
        let mut samples: Vec<Sample> = batches.collect();
        if self.case.kind.objective == Objective::Clipped {
            if step.is_multiple_of(OLD) {
                self.old = Some(self.model.valid());
            }
            let old = self.old.as_ref().unwrap();
            for sample in &mut samples {
                sample.old = Some(old.log_probabilities(sample).detach());
            }
        }
        samples
    }

    pub fn updates(&mut self, step: u64) -> Vec<Update> {
        let parts = 0..self.case.parts.len();
        parts.map(|part| self.update(step, part)).collect()
    }

    fn update(&mut self, step: u64, part: usize) -> Update {
        let samples = self.samples(step, part);
        let model = &self.model;
        let loss = total(samples.iter().map(|sample| model.loss(sample))) + self.offset;
        let told = match self.case.kind.objective {
            Objective::HiddenPenalty => {
                total(samples.iter().map(|sample| model.report(sample))) + self.offset
            }
            _ => loss.clone(),
        };
        let factor = match self.case.tweak {
            Tweak::Scaled | Tweak::Unscaled => 1024.0,
            _ => 1.0,
        };
        let grads = (loss.mean() * factor).backward();
        let grads = GradientsParams::from_grads(grads, model);
        let grads = gradients_of(&self.case.parts[part].owns, model, &grads);
        let grads = self.changed(grads, step);
        Update {
            samples,
            grads,
            told,
            offset: self.offset,
        }
    }

    fn changed(&mut self, grads: GradientsParams, step: u64) -> GradientsParams {
        let model = &self.model;
        let random = &mut self.random;
        match self.case.tweak {
            Tweak::Unscaled => mapped_gradients(model, &grads, |grad| grad / 1024.0),
            Tweak::ClippedNorm(norm) => {
                let square: f64 = numbers(model, &grads).iter().map(|grad| grad * grad).sum();
                let factor = (norm / square.sqrt()).min(1.0);
                mapped_gradients(model, &grads, |grad| grad * factor)
            }
            Tweak::ClippedValues(most) => {
                mapped_gradients(model, &grads, |grad| grad.clamp(-most, most))
            }
            Tweak::Noise(size) => mapped_gradients(model, &grads, |grad| {
                grad + f64::from(size * random.normal())
            }),
            Tweak::NanAt(at) if at == step => mapped_gradients(model, &grads, |_| f64::NAN),
            _ => grads,
        }
    }

    pub fn after(&self, (part, step): (usize, u64), update: &Update) -> (Zoo, ModuleOptimizer) {
        let mut optim = self.optims[part].clone();
        let model = self.stepped(&mut optim, self.case.rate(part, step), update);
        (model, optim)
    }

    pub fn stepped_at(&self, part: usize, rate: f64, update: &Update) -> Zoo {
        self.stepped(&mut self.optims[part].clone(), rate, update)
    }

    fn stepped(&self, optim: &mut ModuleOptimizer, rate: f64, update: &Update) -> Zoo {
        let grads = copied_gradients(&self.model, &update.grads);
        optim.step(self.case.rates(rate), self.model.clone(), grads)
    }

    pub fn step(&mut self, step: u64, updates: &[Update], made: Option<(Zoo, ModuleOptimizer)>) {
        if let Some(made) = made {
            (self.model, self.optims[0]) = made;
        } else {
            for (part, update) in updates.iter().enumerate() {
                (self.model, self.optims[part]) = self.after((part, step), update);
            }
        }
        if self.case.tweak == Tweak::Averaged {
            let now = values(&self.model);
            let now = now.into_iter().map(f64::from);
            self.average = Some(match self.average.take() {
                Some(average) => {
                    let pairs = average.into_iter().zip(now);
                    pairs.map(|(old, now)| 0.99 * old + 0.01 * now).collect()
                }
                None => now.collect(),
            });
        }
    }

    pub fn result(&self) -> Vec<u8> {
        let average = self.average.iter().flatten();
        let average = average.flat_map(|value| value.to_le_bytes());
        bits(&self.model).into_iter().chain(average).collect()
    }

    pub fn valid(&self) -> Zoo {
        if !self.case.has_running_statistics() {
            return self.model.valid();
        }
        let Case { kind, seed, .. } = self.case;
        let copy = kind.init(*seed, &Device::flex().autodiff());
        copy.load_record(self.model.clone().into_record()).valid()
    }
}
