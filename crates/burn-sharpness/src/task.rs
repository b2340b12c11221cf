use crate::loss::UpdateLoss;
use crate::{ConfigError, IntoLoss};
use burn::data::dataloader::DataLoader;
use burn::module::{Module, ParamGroup};
use burn::tensor::Device;
use critical_search::Guess;
use std::any::Any;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// The name of the task whose loss made the update.
pub(crate) const TRAIN_TASK: &str = "train";

/// Where an evaluation task takes its batches from, in an order of its own.
///
/// The n-th measurement of a run takes the n-th batch (or the n-th few, see
/// [`SharpnessConfig::with_task_batches`](crate::SharpnessConfig::with_task_batches)), whichever steps
/// are measured before, so that a resumed run measures on the batches that it would have measured on.
/// After the last batch the first comes again.
pub struct TaskBatches<B>(Source<B>);

enum Source<B> {
    Fixed(Vec<B>),
    Loader(Arc<dyn DataLoader<B>>),
    Open(Stream<B>),
}

impl<B> From<Vec<B>> for TaskBatches<B> {
    /// The same few batches over and over, on the model's device.
    fn from(batches: Vec<B>) -> Self {
        Self(Source::Fixed(batches))
    }
}

impl<B> From<Arc<dyn DataLoader<B>>> for TaskBatches<B> {
    /// The batches of a data loader, pass after pass, moved to the model's device.
    ///
    /// The loader must be the task's own: one that shuffles gives another order to each pass, so that
    /// sharing it with the training would change the run.
    fn from(loader: Arc<dyn DataLoader<B>>) -> Self {
        Self(Source::Loader(loader))
    }
}

impl<B: Clone + Send + 'static> TaskBatches<B> {
    /// The batches of the measurement with this index, `count` of them where there are as many.
    fn take(&mut self, index: u64, count: usize, device: &Device) -> Result<Vec<B>, String> {
        if let Source::Loader(loader) = &self.0 {
            self.0 = Source::Open(Stream::open(loader.clone(), device.clone()));
        }
        match &mut self.0 {
            Source::Fixed(batches) => {
                if batches.is_empty() {
                    return Err("it has no batch".to_string());
                }
                let first = (index % batches.len() as u64) as usize * count;
                let numbers = (first..).take(count.min(batches.len()));
                Ok(numbers
                    .map(|number| batches[number % batches.len()].clone())
                    .collect())
            }
            Source::Open(stream) => stream.take(index, count),
            // Opened above.
            Source::Loader(_) => Err("its data loader is not open".to_string()),
        }
    }
}

/// The batches of a data loader, one at a time. Its iterator borrows the loader, so both live on a
/// thread, which ends when the task does.
struct Stream<B> {
    batches: Receiver<Result<Item<B>, String>>,
    /// The number of the next batch.
    next: u64,
    /// The batches of the last measurement, which is repeated if it is asked for again.
    last: VecDeque<B>,
    last_index: Option<u64>,
}

enum Item<B> {
    Batch(B),
    /// A pass is over, after so many batches.
    EndOfPass(u64),
}

impl<B: Clone + Send + 'static> Stream<B> {
    fn open(loader: Arc<dyn DataLoader<B>>, device: Device) -> Self {
        let (sender, batches) = sync_channel(1);
        thread::spawn(move || {
            let loader = loader.to_device(&device);
            loop {
                let mut count = 0;
                for batch in loader.iter() {
                    count += 1;
                    let batch = batch
                        .map(Item::Batch)
                        .map_err(|error| format!("its data loader failed: {error}"));
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
                if sender.send(Ok(Item::EndOfPass(count))).is_err() || count == 0 {
                    return;
                }
            }
        });
        Self {
            batches,
            next: 0,
            last: VecDeque::new(),
            last_index: None,
        }
    }

    fn take(&mut self, index: u64, count: usize) -> Result<Vec<B>, String> {
        if self.last_index != Some(index) {
            let wanted = (index + 1) * count as u64;
            self.last.clear();
            while self.next < wanted {
                let batch = self.next_batch()?;
                self.next += 1;
                if self.last.len() == count {
                    self.last.pop_front();
                }
                self.last.push_back(batch);
            }
            self.last_index = Some(index);
        }
        if self.last.is_empty() {
            return Err(format!(
                "its data loader is past the batches of measurement {index}"
            ));
        }
        Ok(self.last.iter().cloned().collect())
    }

    fn next_batch(&mut self) -> Result<B, String> {
        loop {
            match self.batches.recv() {
                Ok(Ok(Item::Batch(batch))) => return Ok(batch),
                Ok(Ok(Item::EndOfPass(0))) => return Err("its data loader is empty".to_string()),
                Ok(Ok(Item::EndOfPass(count))) => {
                    if self.next == count {
                        tracing::warn!(
                            batches = count,
                            "an evaluation task has fewer batches than the run has measurements: it starts over"
                        );
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err("its data loader panicked".to_string()),
            }
        }
    }
}

/// The loss of a task on batches of its own, for a model whose type only the objective knows.
trait TaskObjective: Send {
    /// Takes the batches of the measurement with this index.
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<(), String>;
    /// The loss of a model on these batches.
    fn loss(&self, model: &dyn Any) -> Result<Option<UpdateLoss>, String>;
}

struct Objective<M, B, F> {
    batches: TaskBatches<B>,
    selected: Vec<B>,
    loss: F,
    model: PhantomData<fn(&M)>,
}

impl<M, B, F, L> TaskObjective for Objective<M, B, F>
where
    M: Module + 'static,
    B: Clone + Send + 'static,
    F: Fn(&M, B) -> L + Send,
    L: IntoLoss,
{
    fn select(&mut self, index: u64, count: usize, device: &Device) -> Result<(), String> {
        self.selected = self.batches.take(index, count, device)?;
        Ok(())
    }

    fn loss(&self, model: &dyn Any) -> Result<Option<UpdateLoss>, String> {
        let model = model.downcast_ref::<M>().ok_or_else(|| {
            format!(
                "its loss is of another model: of {}",
                std::any::type_name::<M>()
            )
        })?;
        let batches = self.selected.iter();
        let losses = batches.map(|batch| (self.loss)(model, batch.clone()).into_loss());
        Ok(UpdateLoss::new(losses.collect::<Result<_, _>>()?))
    }
}

/// What a task measures.
enum Kind {
    /// A loss of its own along the training's update.
    Loss(Box<dyn TaskObjective>),
    /// The training loss itself, which is measured anyway.
    Training,
    /// The training loss along the update of these parameters, while the others stay.
    Group(ParamGroup),
}

/// What is measured besides the training loss along the training's update.
pub(crate) struct Task {
    pub(crate) name: Arc<str>,
    kind: Kind,
    /// Where its next search starts.
    pub(crate) guess: Option<Guess>,
    /// Whether two passes over the same weights were seen to give the same loss.
    pub(crate) repeatable: bool,
    /// Whether something about it was reported already.
    pub(crate) warned: bool,
    /// Whether it is measured no more.
    pub(crate) stopped: bool,
}

impl Task {
    pub(crate) fn new<M, B, F, L>(name: &str, batches: TaskBatches<B>, loss: F) -> Self
    where
        M: Module + 'static,
        B: Clone + Send + 'static,
        F: Fn(&M, B) -> L + Send + 'static,
        L: IntoLoss + 'static,
    {
        let objective = Objective {
            batches,
            selected: Vec::new(),
            loss,
            model: PhantomData,
        };
        Self::of_kind(name, Kind::Loss(Box::new(objective)))
    }

    /// The training loss under another name.
    pub(crate) fn of_training(name: &str) -> Self {
        Self::of_kind(name, Kind::Training)
    }

    /// The training loss along the update of a group of parameters.
    pub(crate) fn of_group(name: &str, group: ParamGroup) -> Self {
        Self::of_kind(name, Kind::Group(group))
    }

    fn of_kind(name: &str, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            guess: None,
            repeatable: false,
            warned: false,
            stopped: false,
        }
    }

    pub(crate) fn is_training(&self) -> bool {
        matches!(self.kind, Kind::Training)
    }

    /// The parameters that it moves, if not all.
    pub(crate) fn group(&self) -> Option<&ParamGroup> {
        match &self.kind {
            Kind::Group(group) => Some(group),
            _ => None,
        }
    }

    /// Takes the batches of the measurement with this index.
    pub(crate) fn select(
        &mut self,
        index: u64,
        count: usize,
        device: &Device,
    ) -> Result<(), String> {
        match &mut self.kind {
            Kind::Loss(objective) => objective.select(index, count, device),
            _ => Ok(()),
        }
    }

    /// The loss of a model on the batches taken.
    pub(crate) fn loss(&self, model: &dyn Any) -> Result<UpdateLoss, String> {
        let loss = match &self.kind {
            Kind::Loss(objective) => objective.loss(model)?,
            _ => None,
        };
        loss.ok_or_else(|| "it has no batch".to_string())
    }
}

/// Says what is wrong with the name of a new task, if something is.
pub(crate) fn validate_name(name: &str, others: &[Task]) -> Result<(), ConfigError> {
    let refuse = |why: &'static str| {
        Err(ConfigError::TaskName {
            name: name.to_string(),
            why,
        })
    };
    // Burn makes a file name of a metric's name.
    let is_part_of_file_name = |c: char| c.is_alphanumeric() || " -_.+".contains(c);
    if name.trim().is_empty() {
        refuse("it is empty")
    } else if name == TRAIN_TASK {
        refuse("it is that of the training loss")
    } else if !name.chars().all(is_part_of_file_name) {
        refuse("it may have letters, digits, spaces and - _ . + only, since it becomes a file name")
    } else if others.iter().any(|task| *task.name == *name) {
        refuse("another task has it")
    } else {
        Ok(())
    }
}
