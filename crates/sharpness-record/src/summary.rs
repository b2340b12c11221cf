use crate::shown::{decimals, number, one_line};
use crate::{Measurement, MeasurementOutcome};
use std::fmt::{Display, Formatter};
use std::time::{Duration, Instant};

/// Counts the measurements with one outcome that gives no number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoNumber {
    /// The outcome.
    pub outcome: MeasurementOutcome,
    /// The reason that the first states.
    pub reason: Option<String>,
    /// The number of measurements.
    pub count: u64,
    /// The first step.
    pub first_step: u64,
    /// The last step.
    pub last_step: u64,
}

/// Counts the steps that an edge cap lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CappedSteps {
    /// The number of steps.
    pub count: u64,
    /// The first step.
    pub first_step: u64,
    /// The last step.
    pub last_step: u64,
}

/// Summarizes a run's measurements.
///
/// All fields except `task_evaluations` and `probe_time` concern the training loss.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SharpnessSummary {
    /// The number of measurements.
    pub measurements: u64,
    /// The measurements with a certified bracket.
    pub bracketed: u64,
    /// The step and value of the first critical sharpness.
    pub first: Option<(u64, f64)>,
    /// The step and value of the last; out of date if [`no_number_since`](Self::no_number_since) is set.
    pub last: Option<(u64, f64)>,
    /// The step and value of the highest.
    pub highest: Option<(u64, f64)>,
    /// The measured steps past the edge.
    pub past_edge: u64,
    /// The outcomes without a number, by first occurrence.
    pub no_number: Vec<NoNumber>,
    /// The step since which no measurement gave a number, and the last outcome.
    pub no_number_since: Option<(u64, MeasurementOutcome)>,
    /// The measurements skipped to keep the probe's share of time, as counted by the caller.
    pub left_out: u64,
    /// The steps that an edge cap lowered, if any.
    pub capped: Option<CappedSteps>,
    /// The evaluations for the training loss.
    pub evaluations: u64,
    /// The evaluations for tasks.
    pub task_evaluations: u64,
    /// How often each task was the limiting task, most often first. Empty without tasks.
    pub limiting_tasks: Vec<(String, u64)>,
    /// Notices about the measuring, each once.
    pub notices: Vec<String>,
    /// The time spent measuring.
    pub probe_time: Duration,
    /// The time from the first step to the end of the last.
    pub run_time: Duration,
    started: Option<Instant>,
}

impl SharpnessSummary {
    /// Starts the clock of [`run_time`](Self::run_time), and extends it later.
    pub fn tick(&mut self, now: Instant) {
        let started = *self.started.get_or_insert(now);
        self.run_time = now.saturating_duration_since(started);
    }

    /// Adds a measurement. Call it in the order of the steps.
    pub fn push(&mut self, measurement: &Measurement) {
        let time = Duration::try_from_secs_f64(measurement.seconds).unwrap_or_default();
        self.probe_time = self.probe_time.saturating_add(time);
        let evaluations = measurement.evaluations as u64;
        if !measurement.is_of_training() {
            self.task_evaluations = self.task_evaluations.saturating_add(evaluations);
            return;
        }
        self.measurements += 1;
        self.evaluations = self.evaluations.saturating_add(evaluations);
        if let Some(task) = &measurement.limiting_task {
            self.count_limiting(task);
        }
        if measurement.learning_rate_used.is_some() {
            self.push_capped(measurement.step);
        }
        match measurement.critical_sharpness {
            Some(sharpness) => self.push_number(measurement, sharpness),
            None => self.push_no_number(measurement),
        }
    }

    fn push_number(&mut self, measurement: &Measurement, sharpness: f64) {
        let point = (measurement.step, sharpness);
        self.bracketed += 1;
        self.no_number_since = None;
        self.first.get_or_insert(point);
        self.last = Some(point);
        if self.highest.is_none_or(|(_, highest)| sharpness > highest) {
            self.highest = Some(point);
        }
        self.past_edge += u64::from(measurement.is_past_edge());
    }

    fn push_capped(&mut self, step: u64) {
        let capped = self.capped.get_or_insert(CappedSteps {
            count: 0,
            first_step: step,
            last_step: step,
        });
        capped.count += 1;
        capped.last_step = step;
    }

    fn push_no_number(&mut self, measurement: &Measurement) {
        let (step, outcome) = (measurement.step, &measurement.outcome);
        let since = self.no_number_since.take().map_or(step, |(since, _)| since);
        self.no_number_since = Some((since, outcome.clone()));
        let mut known = self.no_number.iter_mut();
        match known.find(|known| known.outcome == *outcome) {
            Some(known) => {
                known.count += 1;
                known.last_step = step;
            }
            None => self.no_number.push(NoNumber {
                outcome: outcome.clone(),
                reason: measurement.reason.clone(),
                count: 1,
                first_step: step,
                last_step: step,
            }),
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

    /// Returns the most frequent limiting task.
    pub fn limiting_task(&self) -> Option<&str> {
        self.limiting_tasks.first().map(|(name, _)| name.as_str())
    }

    /// Returns the mean number of evaluations per measurement.
    pub fn mean_evaluations(&self) -> Option<f64> {
        (self.measurements > 0).then(|| self.evaluations as f64 / self.measurements as f64)
    }

    /// Returns the share of the run's time spent measuring, in [0, 1].
    pub fn probe_share(&self) -> Option<f64> {
        (!self.run_time.is_zero())
            .then(|| self.probe_time.as_secs_f64() / self.run_time.as_secs_f64())
    }
}

impl Display for SharpnessSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let point = |point: Option<(u64, f64)>| match point {
            Some((step, sharpness)) => format!("{} (step {step})", number(sharpness)),
            None => "not measured".to_string(),
        };
        let last = match &self.no_number_since {
            Some((step, outcome)) => format!("none since step {step} ({outcome})"),
            None => point(self.last),
        };
        writeln!(
            f,
            "critical sharpness  first {}, last {last}, highest {}",
            point(self.first),
            point(self.highest),
        )?;
        writeln!(
            f,
            "edge of stability   past it at {} of {} measured steps",
            self.past_edge, self.bracketed,
        )?;
        if let Some(capped) = self.capped {
            let CappedSteps {
                count,
                first_step,
                last_step,
            } = capped;
            write!(f, "edge cap            lowered the rate of {count} ")?;
            match count {
                1 => writeln!(f, "step ({first_step})")?,
                _ => writeln!(f, "steps ({first_step} to {last_step})")?,
            }
        }
        write!(
            f,
            "measurements        {}, of which {} with a certified bracket",
            self.measurements, self.bracketed,
        )?;
        if let Some(evaluations) = self.mean_evaluations() {
            write!(f, "; {evaluations:.2} evaluations each")?;
        }
        for (index, none) in self.no_number.iter().enumerate() {
            let head = ["no number", ""][usize::from(index > 0)];
            let NoNumber { outcome, count, .. } = none;
            write!(f, "\n{head:<20}{count} of {}: {outcome}", self.measurements)?;
            match none.count {
                1 => write!(f, " (step {})", none.first_step)?,
                _ => write!(f, " (steps {} to {})", none.first_step, none.last_step)?,
            }
            match &none.reason {
                Some(reason) if none.count == 1 => write!(f, ": {}", one_line(reason))?,
                Some(reason) => write!(f, ", the first: {}", one_line(reason))?,
                None => {}
            }
        }
        if !self.limiting_tasks.is_empty() {
            let tasks = self.limiting_tasks.iter();
            let tasks = tasks.map(|(name, n)| format!("{} at {n}", one_line(name)));
            let tasks: Vec<String> = tasks.collect();
            write!(f, "\nlimiting task       {}", tasks.join(", "))?;
            write!(f, " of {} measured steps", self.measurements)?;
        }
        if let Some(share) = self.probe_share() {
            write!(
                f,
                "\nprobing             {} s, {:.1}% of the run",
                decimals(self.probe_time.as_secs_f64(), 1),
                100.0 * share,
            )?;
        }
        if self.left_out > 0 {
            write!(f, "; {} measurements left out to keep it", self.left_out)?;
        }
        for notice in &self.notices {
            write!(f, "\nnote                {notice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TRAIN_TASK;

    fn bracketed(step: u64, sharpness: f64) -> Measurement {
        Measurement {
            learning_rate: Some(0.1),
            critical_lr: Some(2.0 / sharpness),
            critical_sharpness: Some(sharpness),
            evaluations: 3,
            seconds: 0.5,
            ..without(step, MeasurementOutcome::Bracketed)
        }
    }

    fn without(step: u64, outcome: MeasurementOutcome) -> Measurement {
        Measurement::new(step, Some(1), TRAIN_TASK, outcome)
    }

    #[test]
    fn a_run_in_a_few_numbers() {
        let mut summary = SharpnessSummary::default();
        let start = Instant::now();
        summary.tick(start);
        for (step, sharpness) in [(0, 10.0), (5, 40.0), (10, 30.0)] {
            let mut measurement = bracketed(step, sharpness);
            measurement.limiting_task = Some(if step == 0 { "train" } else { "code" }.to_string());
            summary.push(&measurement);
            summary.push(&measurement.of_other_task("code"));
        }
        summary.tick(start + Duration::from_secs(15));
        assert_eq!(summary.past_edge, 2);
        assert_eq!(summary.limiting_task(), Some("code"));
        assert_eq!(
            summary.to_string(),
            "critical sharpness  first 10.0000 (step 0), last 30.0000 (step 10), highest 40.0000 (step 5)\n\
             edge of stability   past it at 2 of 3 measured steps\n\
             measurements        3, of which 3 with a certified bracket; 3.00 evaluations each\n\
             limiting task       code at 2, train at 1 of 3 measured steps\n\
             probing             1.5 s, 10.0% of the run"
        );
    }

    #[test]
    fn a_run_that_diverges_says_since_when_and_not_its_last_number() {
        let mut summary = SharpnessSummary::default();
        summary.push(&bracketed(0, 8.25));
        summary.push(&without(5, MeasurementOutcome::NoIncrease));
        for step in [10, 15, 20] {
            summary.push(&without(step, MeasurementOutcome::NonFiniteBaseLoss));
        }
        let text = summary.to_string();
        let last = "last none since step 5 (the loss is not finite)";
        assert!(text.contains(last), "{text}");
        let counted = "no number           1 of 5: no increase of the loss (step 5)\n                    3 of 5: the loss is not finite (steps 10 to 20)";
        assert!(text.contains(counted), "{text}");

        summary.push(&bracketed(25, 9.0));
        assert_eq!(summary.no_number_since, None);
        assert!(summary.to_string().contains("last 9.0000 (step 25)"));
    }

    #[test]
    fn nothing_measured_and_a_damaged_duration_are_no_reason_to_panic() {
        let mut summary = SharpnessSummary::default();
        assert!(summary.to_string().contains("first not measured"));
        let mut measurement = bracketed(0, 1.0);
        for seconds in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            measurement.seconds = seconds;
            summary.push(&measurement);
        }
        assert_eq!(summary.probe_time, Duration::ZERO);
    }

    #[test]
    fn sums_that_are_too_large_end_at_the_largest() {
        let mut summary = SharpnessSummary::default();
        for task in [TRAIN_TASK, "code"] {
            let mut measurement = bracketed(0, 1.0);
            measurement.task = task.to_string();
            measurement.seconds = 1e19;
            measurement.evaluations = usize::MAX;
            summary.push(&measurement);
            summary.push(&measurement);
        }
        assert_eq!(summary.probe_time, Duration::MAX);
        let sums = [summary.evaluations, summary.task_evaluations];
        assert_eq!(sums, [u64::MAX; 2]);
    }

    #[test]
    fn why_it_failed_is_said() {
        let mut summary = SharpnessSummary::default();
        for step in [0, 5] {
            let mut failed = without(step, MeasurementOutcome::Failed);
            failed.reason = Some(format!("the reason at step {step}"));
            summary.push(&failed);
        }
        let text = summary.to_string();
        let said = "2 of 2: failed (steps 0 to 5), the first: the reason at step 0";
        assert!(text.contains(said), "{text}");
    }

    #[test]
    fn a_small_number_keeps_its_digits() {
        let mut summary = SharpnessSummary::default();
        summary.push(&bracketed(0, 1.234e-5));
        assert!(summary.to_string().contains("first 1.23e-5 (step 0)"));
    }
}
