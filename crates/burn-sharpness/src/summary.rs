use crate::Measurement;
use std::fmt::{Display, Formatter};
use std::time::{Duration, Instant};

/// What a run's measurements come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SharpnessSummary {
    /// The measurements made.
    pub measurements: u64,
    /// Those that ended in a certified bracket.
    pub bracketed: u64,
    /// The first critical sharpness, with its step.
    pub first: Option<(u64, f64)>,
    /// The last critical sharpness, with its step.
    pub last: Option<(u64, f64)>,
    /// The highest critical sharpness, with its step.
    pub highest: Option<(u64, f64)>,
    /// The measured steps at which the learning rate was past the critical one.
    pub past_edge: u64,
    /// The measurements that were due and were left out to keep the
    /// [share of time](crate::SharpnessConfig::with_max_time_share).
    pub left_out: u64,
    /// The evaluations of all measurements of the training loss.
    pub evaluations: u64,
    /// The evaluations of all measurements of tasks.
    pub task_evaluations: u64,
    /// How often each task allowed the smallest learning rate only, most often first. Empty if there
    /// is no task but the training.
    pub limiting_tasks: Vec<(String, u64)>,
    /// The time spent measuring.
    pub probe_time: Duration,
    /// The time from the first step to the end of the last one.
    pub run_time: Duration,
    started: Option<Instant>,
}

impl SharpnessSummary {
    /// The run is under way: its first step starts the clock, each later one extends it.
    pub(crate) fn tick(&mut self) {
        let started = *self.started.get_or_insert_with(Instant::now);
        self.run_time = started.elapsed();
    }

    pub(crate) fn push(&mut self, measurement: &Measurement) {
        self.probe_time += Duration::from_secs_f64(measurement.seconds);
        if !measurement.is_of_training() {
            self.task_evaluations += measurement.evaluations as u64;
            return;
        }
        self.measurements += 1;
        self.evaluations += measurement.evaluations as u64;
        if let Some(task) = &measurement.limiting_task {
            self.count_limiting(task);
        }
        let Some(sharpness) = measurement.critical_sharpness else {
            return;
        };
        let point = (measurement.step, sharpness);
        self.bracketed += 1;
        self.first.get_or_insert(point);
        self.last = Some(point);
        if self.highest.is_none_or(|(_, highest)| sharpness > highest) {
            self.highest = Some(point);
        }
        if measurement.edge_ratio().is_some_and(|ratio| ratio > 1.0) {
            self.past_edge += 1;
        }
    }

    fn count_limiting(&mut self, task: &str) {
        let tasks = &mut self.limiting_tasks;
        match tasks.iter_mut().find(|(name, _)| name == task) {
            Some((_, count)) => *count += 1,
            None => tasks.push((task.to_string(), 1)),
        }
        tasks.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }

    /// The task that allowed the smallest learning rate only most often, if there are tasks.
    pub fn limiting_task(&self) -> Option<&str> {
        self.limiting_tasks.first().map(|(name, _)| name.as_str())
    }

    /// The mean number of evaluations a measurement.
    pub fn mean_evaluations(&self) -> Option<f64> {
        (self.measurements > 0).then(|| self.evaluations as f64 / self.measurements as f64)
    }

    /// The share of the run's time that was spent measuring, in [0, 1].
    pub fn probe_share(&self) -> Option<f64> {
        (!self.run_time.is_zero())
            .then(|| self.probe_time.as_secs_f64() / self.run_time.as_secs_f64())
    }
}

impl Display for SharpnessSummary {
    /// A few lines for the end of a run.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let point = |point: Option<(u64, f64)>| match point {
            Some((step, sharpness)) => format!("{sharpness:.4} (step {step})"),
            None => "not measured".to_string(),
        };
        writeln!(
            f,
            "critical sharpness  first {}, last {}, highest {}",
            point(self.first),
            point(self.last),
            point(self.highest),
        )?;
        writeln!(
            f,
            "edge of stability   past it at {} of {} measured steps",
            self.past_edge, self.bracketed,
        )?;
        write!(
            f,
            "measurements        {}, of which {} with a certified bracket",
            self.measurements, self.bracketed,
        )?;
        if let Some(evaluations) = self.mean_evaluations() {
            write!(f, "; {evaluations:.2} evaluations each")?;
        }
        if !self.limiting_tasks.is_empty() {
            let tasks = self.limiting_tasks.iter();
            let tasks: Vec<String> = tasks.map(|(name, n)| format!("{name} at {n}")).collect();
            write!(f, "\nlimiting task       {}", tasks.join(", "))?;
            write!(f, " of {} measured steps", self.measurements)?;
        }
        if let Some(share) = self.probe_share() {
            write!(
                f,
                "\nprobing             {:.1} s, {:.1}% of the run",
                self.probe_time.as_secs_f64(),
                100.0 * share,
            )?;
        }
        if self.left_out > 0 {
            write!(f, "; {} measurements left out to keep it", self.left_out)?;
        }
        Ok(())
    }
}
