use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use burn::train::{
    EventProcessorTraining, Learner, LearnerEvent, LearnerModel, SupervisedLearningStrategy,
    SupervisedTrainingEventProcessor, TrainLoader, TrainingComponents, TrainingItem, ValidLoader,
};
use burn_sharpness::SharpnessProbe;
use std::cell::Cell;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

thread_local! {
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduce {
    Mean,
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    pub worker: usize,
    /// The last update that the worker gives gradients for. It does not make this update.
    pub step: usize,
    /// Whether the worker's replica outlives it.
    pub is_kept: bool,
}

/// Works like burn's `DistributedDataParallel`, on any backend: each worker has a thread, a replica and batches of its
/// own (worker w of W takes the batches w, w + W, …); the host combines the gradients.
pub struct Replicas {
    pub devices: Vec<Device>,
    pub reduce: Reduce,
    /// Whether each worker has a fork of the model, as with burn's strategies, or a clone.
    pub forks: bool,
    /// The worker that makes each update first, and the probe that counts the updates.
    pub first: Option<(usize, SharpnessProbe)>,
    pub stop: Option<Stop>,
    /// A worker and a step: without a batch, it makes the update from the gradients of the others.
    pub idle: Option<(usize, usize)>,
}

impl Replicas {
    pub fn new(workers: usize, devices: &[Device]) -> Self {
        Self {
            devices: (0..workers)
                .map(|worker| devices[worker % devices.len()].clone())
                .collect(),
            reduce: Reduce::Mean,
            forks: true,
            first: None,
            stop: None,
            idle: None,
        }
    }

    pub fn worker() -> Option<usize> {
        WORKER.get()
    }

    fn train<M: LearnerModel>(
        &self,
        worker: usize,
        mut learner: Learner<M>,
        exchange: &Exchange,
        train: &TrainLoader<M>,
        events: &Mutex<SupervisedTrainingEventProcessor<M>>,
    ) -> (Learner<M>, bool) {
        let device = &self.devices[worker];
        let train = train.to_device(device);
        let mut batches = train.iter();
        let (mut index, mut step) = (0, 0);
        while let Some(batch) = batches.next() {
            index += 1;
            if (index - 1) % self.devices.len() != worker {
                continue;
            }
            let is_idle = self.idle == Some((worker, step));
            let output = (!is_idle).then(|| learner.train_step(batch.unwrap()));
            let grads = output.as_ref().map(|output| &output.grads);
            let own = grads.map(|grads| on_host(&learner.model(), grads));
            let all = exchange.give(worker, own.unwrap_or_default());
            let grads = together(&learner.model(), &all, device, self.reduce);
            if let Some(stop) = &self.stop
                && (stop.worker, stop.step) == (worker, step)
            {
                return (learner, false);
            }
            if let Some((first, probe)) = &self.first
                && *first != worker
            {
                let is_made = || probe.step() > step as u64;
                wait_until(is_made);
            }
            learner.lr_step();
            learner.optimizer_step(grads);
            step += 1;
            let Some(output) = output else {
                continue;
            };
            let rate = learner.lr_current();
            let item = TrainingItem::new(output.item, batches.progress(), None, Some(rate));
            let event = LearnerEvent::ProcessedItem(item);
            events.lock().unwrap().process_train(event).unwrap();
        }
        (learner, true)
    }
}

/// Panics after a minute.
pub fn wait_until(is_done: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if is_done() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("another thread has not done its part within a minute");
}

impl<M: LearnerModel> SupervisedLearningStrategy<M> for Replicas {
    fn fit(
        &self,
        components: TrainingComponents<M>,
        learner: Learner<M>,
        train: TrainLoader<M>,
        _valid: ValidLoader<M>,
        epoch: usize,
    ) -> (M, SupervisedTrainingEventProcessor<M>) {
        let events = Mutex::new(components.event_processor);
        let exchange = Exchange::new(self.devices.len());
        let tell = |event| events.lock().unwrap().process_train(event).unwrap();
        tell(LearnerEvent::StartSplit {
            epoch_number: epoch,
            total_items: train.num_items(),
        });
        let model = thread::scope(|scope| {
            let workers = (0..self.devices.len()).map(|worker| {
                let mut learner = learner.clone();
                let (train, events, exchange) = (train.clone(), &events, &exchange);
                scope.spawn(move || {
                    WORKER.set(Some(worker));
                    if self.forks {
                        learner.fork(&self.devices[worker]);
                    }
                    // Leaves on a panic, too.
                    let _leaves = Leaves(exchange, worker);
                    let (learner, is_whole) = self.train(worker, learner, exchange, &train, events);
                    let is_kept = self.stop.is_some_and(|stop| stop.is_kept);
                    (is_whole || is_kept).then(|| learner.model())
                })
            });
            let workers: Vec<_> = workers.collect();
            let models: Vec<_> = workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .collect();
            models.into_iter().flatten().next().unwrap()
        });
        let tell = |event| events.lock().unwrap().process_train(event).unwrap();
        tell(LearnerEvent::EndSplit(epoch));
        tell(LearnerEvent::EndEpoch(epoch));
        (model, events.into_inner().unwrap())
    }
}

type Own = Vec<(ParamId, TensorData)>;

struct Exchange {
    round: Mutex<Round>,
    is_over: Condvar,
}

struct Round {
    number: usize,
    takes_part: Vec<bool>,
    given: Vec<Option<Own>>,
    all: Vec<Own>,
}

struct Leaves<'a>(&'a Exchange, usize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let mut round = self.0.round.lock().unwrap();
        round.takes_part[self.1] = false;
        self.0.end_if_complete(&mut round);
    }
}

impl Exchange {
    fn new(workers: usize) -> Self {
        Self {
            round: Mutex::new(Round {
                number: 0,
                takes_part: vec![true; workers],
                given: (0..workers).map(|_| None).collect(),
                all: Vec::new(),
            }),
            is_over: Condvar::new(),
        }
    }

    fn give(&self, worker: usize, own: Own) -> Vec<Own> {
        let mut round = self.round.lock().unwrap();
        let number = round.number;
        round.given[worker] = Some(own);
        self.end_if_complete(&mut round);
        let round = self
            .is_over
            .wait_while(round, |round| round.number == number);
        round.unwrap().all.clone()
    }

    fn end_if_complete(&self, round: &mut Round) {
        let mut workers = round.takes_part.iter().zip(&round.given);
        let is_complete = workers.all(|(takes_part, given)| given.is_some() || !takes_part);
        if is_complete && round.given.iter().any(Option::is_some) {
            let all = round.given.iter_mut().filter_map(Option::take);
            round.all = all.filter(|own| !own.is_empty()).collect();
            round.number += 1;
            self.is_over.notify_all();
        }
    }
}

fn on_host<M: Module>(model: &M, grads: &GradientsParams) -> Own {
    struct Copy<'a>(&'a GradientsParams, Own);

    impl ModuleVisitor for Copy<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                self.1.push((param.id, grad.into_data()));
            }
        }
    }

    let mut copy = Copy(grads, Vec::new());
    model.visit(&mut copy);
    copy.1
}

pub fn reduced<M: Module>(
    model: &M,
    all: &[GradientsParams],
    device: &Device,
    reduce: Reduce,
) -> GradientsParams {
    let all: Vec<Own> = all.iter().map(|grads| on_host(model, grads)).collect();
    together(model, &all, device, reduce)
}

fn together<M: Module>(model: &M, all: &[Own], device: &Device, reduce: Reduce) -> GradientsParams {
    struct Sum<'a> {
        all: &'a [Own],
        device: Device,
        scale: f64,
        sum: GradientsParams,
    }

    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let of_workers = self.all.iter().flatten();
            let grads = of_workers.filter(|(id, _)| *id == param.id);
            let grads = grads.map(|(_, data)| Tensor::from_data(data.clone(), &self.device));
            if let Some(sum) = grads.reduce(|a: Tensor<D>, b| a + b) {
                self.sum.register::<D>(param.id, sum * self.scale);
            }
        }
    }

    let mut sum = Sum {
        all,
        device: device.clone().inner(),
        scale: match reduce {
            Reduce::Mean => 1.0 / all.len() as f64,
            Reduce::Sum => 1.0,
        },
        sum: GradientsParams::new(),
    };
    model.visit(&mut sum);
    sum.sum
}
