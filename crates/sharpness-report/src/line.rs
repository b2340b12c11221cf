//! Shows the loss along the update of a measurement, at the points of the search.

use crate::plot::{Axis, Chart, Series, Style};
use crate::{Measurement, Run};
use sharpness_record::LinePoint;
use sharpness_record::Quantity::{CriticalLearningRate, CriticalLearningRateError, Slope};
use sharpness_record::shown::{number, one_line};
use std::collections::BTreeSet;
use thiserror::Error;

/// In upper ends of the bracket.
const BEYOND: f64 = 1.3;
/// In widths of the chart.
const BAR: f64 = 0.003;
const FINE: u32 = 100;

/// Explains why a step has no line to show.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum NoLine {
    /// No measurement at this step.
    #[error("step {step} of {task} was not measured: {near}")]
    Step {
        /// The step.
        step: u64,
        /// The task.
        task: String,
        /// The measured steps nearby.
        near: String,
    },
    /// No points in the record.
    #[error("step {step} of {task} has no points of its search: {why}")]
    Points {
        /// The step.
        step: u64,
        /// The task.
        task: String,
        /// The fault, or its remedy.
        why: String,
    },
}

/// A measurement with the points of its search.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    run: &'a Run,
    measurement: &'a Measurement,
    points: &'a [LinePoint],
}

impl<'a> Line<'a> {
    /// Reads the line of a task at a step.
    ///
    /// # Errors
    ///
    /// Fails if the record lacks the measurement or its points.
    pub fn of(run: &'a Run, task: &str, step: u64) -> Result<Self, NoLine> {
        let task = task.to_string();
        let mut measurements = run.measurements.iter().filter(|m| m.task == task);
        let Some(measurement) = measurements.find(|m| m.step == step) else {
            let near = near(run, &task, step);
            return Err(NoLine::Step { step, task, near });
        };
        let why = match (&measurement.line, measurement.no_number()) {
            (Some(points), _) if !points.is_empty() => {
                return Ok(Self {
                    run,
                    measurement,
                    points,
                });
            }
            (Some(_), Some(why)) => one_line(&why).into_owned(),
            _ => "set `SharpnessConfig::with_lines(true)` to keep them".to_string(),
        };
        Err(NoLine::Points { step, task, why })
    }

    /// Draws the points, the bracket, η_c, and the parabola through η_c with the slope at 0.
    ///
    /// Without a bracket, the learning rate has a logarithmic axis. The chart omits points far beyond the bracket;
    /// [`table`](Self::table) has them all.
    pub fn chart(&self) -> Chart {
        let m = self.measurement;
        let (run, task, step) = (&self.run.name, &m.task, m.step);
        let title = format!("{run}: the loss of {task} along the update of step {step}");
        let right = m.critical_lr.and(m.upper).map(|upper| BEYOND * upper);
        let right = right.filter(|right| *right > 0.0 && right.is_finite());
        let x = match right {
            Some(right) => Axis::linear("learning rate η").with_range(0.0, right),
            None => Axis::log("learning rate η"),
        };
        let mut chart = Chart::new(&title, x, Axis::linear("f(η) = L(θ − ηΔθ) − L(θ)"));
        let seen = self.points.iter().filter_map(|point| {
            Some((point.learning_rate, point.rise?, point.error.unwrap_or(0.0)))
        });
        let mut seen: Vec<(f64, f64, f64)> = seen.collect();
        seen.retain(|(eta, ..)| right.is_none_or(|right| *eta <= right));
        seen.extend(right.map(|_| (0.0, 0.0, 0.0)));
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        let points = |name: &str, points| Series::new(name, points).with_style(Style::Points);
        let evaluated = seen.iter().map(|(eta, rise, _)| (*eta, *rise)).collect();
        chart = chart.with_series(points("f(η), evaluated", evaluated));
        if let (Some(root), Some(right)) = (CriticalLearningRate.of(m), right) {
            if let Some(slope) = Slope.of(m) {
                let parabola = (0..=FINE).map(|step| {
                    let eta = right * f64::from(step) / f64::from(FINE);
                    (eta, -slope * eta * (1.0 - eta / root))
                });
                let parabola = Series::new("parabola of the slope g·Δθ", parabola.collect());
                chart = chart.with_series(parabola.with_style(Style::Threshold));
            }
            let ends = [m.lower, m.upper].into_iter().flatten();
            let mut bracket = points("bracket", Vec::new());
            bracket.band = ends
                .map(|end| (end, f64::NEG_INFINITY, f64::INFINITY))
                .collect();
            chart = chart.with_series(bracket);
            chart = chart.with_series(points(&self.root(), vec![(root, 0.0)]));
        }
        for (eta, rise, error) in seen.iter().filter(|seen| seen.2 > 0.0) {
            let (left, right) = match right {
                Some(right) => (eta - BAR * right, eta + BAR * right),
                None => (eta * (1.0 - BAR), eta * (1.0 + BAR)),
            };
            let bar = |eta: f64| (eta, rise - error, rise + error);
            let mut bars = points("", Vec::new());
            bars.band = vec![bar(left), bar(right)];
            bars.belongs_to = Some(0);
            chart = chart.with_series(bars);
        }
        match m.learning_rate {
            Some(rate) => chart.with_mark(rate, &format!("η in use, {}", number(rate))),
            None => chart,
        }
    }

    fn root(&self) -> String {
        let m = self.measurement;
        let Some(root) = CriticalLearningRate.of(m) else {
            return one_line(&m.no_number().unwrap_or_default()).into_owned();
        };
        let error = CriticalLearningRateError.of(m);
        let error = error.map_or_else(String::new, |error| format!(" ± {:.2}%", 100.0 * error));
        let symbol = CriticalLearningRate.about().symbol;
        format!("{symbol} {}{error}", number(root))
    }

    /// Lists the points in the order of the search.
    pub fn table(&self) -> String {
        let m = self.measurement;
        let none = |value: Option<f64>, none: &str| value.map_or_else(|| none.to_string(), number);
        let (step, task, outcome, root) = (m.step, &m.task, m.outcome.name(), self.root());
        let row = |[eta, rise, error]: [&str; 3]| format!("\n{eta:>12}  {rise:>12}  {error:>12}");
        let mut table = format!("step {step}  {task}  {outcome}  {root}");
        table += &row(["η", "f(η)", "error"]);
        for point in self.points {
            let (rise, error) = (none(point.rise, "not finite"), none(point.error, "–"));
            table += &row([&number(point.learning_rate), &rise, &error]);
            table += match Some(point.learning_rate) {
                end if end == m.lower => "  lower",
                end if end == m.upper => "  upper",
                _ => "",
            };
        }
        table + "\n"
    }
}

fn near(run: &Run, task: &str, step: u64) -> String {
    let steps: BTreeSet<u64> = run.of_task(task).map(|m| m.step).collect();
    let before = steps.range(..step).next_back();
    let after = steps.range(step..).next();
    match (before, after) {
        (Some(before), Some(after)) => format!("the steps next to it are {before} and {after}"),
        (Some(last), None) => format!("the last one is {last}"),
        (None, Some(first)) => format!("the first one is {first}"),
        (None, None) if run.tasks().is_empty() => "no step of it was".to_string(),
        (None, None) => {
            let tasks = run.tasks().join(", ");
            format!("no step of it was; the tasks are train, {tasks}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: serde_json::Value) -> Run {
        let lines = [
            line,
            serde_json::json!({"version": 1, "step": 20, "outcome": "no_increase"}),
            serde_json::json!({"version": 1, "step": 30, "outcome": "failed", "reason": "x", "line": []}),
        ];
        let mut run = Run::of_file("a".as_ref());
        run.extend(lines.map(|line| serde_json::from_value(line).unwrap()));
        run
    }

    /// A search on f(η) = −3η + 6η², which is 0 at 1/2.
    fn bracketed() -> Run {
        let point = |eta: f64| serde_json::json!({"learning_rate": eta, "rise": -3.0 * eta + 6.0 * eta * eta, "error": 1e-3});
        run(serde_json::json!({
            "version": 1, "step": 10, "outcome": "bracketed", "learning_rate": 0.1, "slope": 3.0,
            "lower": 0.48, "upper": 0.52, "critical_lr": 0.5, "critical_lr_error": 0.01, "critical_sharpness": 4.0,
            "line": [point(0.1), {"learning_rate": 1e6, "rise": null, "error": 1e-3}, point(0.52), point(0.48)],
        }))
    }

    #[test]
    fn the_chart_has_the_points_the_bracket_the_root_and_the_parabola_of_the_slope() {
        let run = bracketed();
        let line = Line::of(&run, "train", 10).unwrap();
        let chart = line.chart();
        let [points, parabola, bracket, root, bars @ ..] = chart.series.as_slice() else {
            panic!("{chart:?}")
        };
        let etas: Vec<f64> = points.points.iter().map(|point| point.0).collect();
        // Points that are not finite have no place.
        assert_eq!(etas, [0.0, 0.1, 0.48, 0.52]);
        for (eta, rise) in &parabola.points {
            assert!((rise - (-3.0 * eta + 6.0 * eta * eta)).abs() < 1e-12);
        }
        assert_eq!((bracket.band[0].0, bracket.band[1].0), (0.48, 0.52));
        assert_eq!(root.points, [(0.5, 0.0)]);
        assert_eq!(bars.len(), 3, "L(θ) has none");
        let svg = chart.svg().unwrap();
        for part in ["η_c 0.5000 ± 1.00%", "η in use, 0.1000"] {
            assert!(svg.contains(part), "{svg}");
        }
        let table = line.table();
        for part in ["not finite", "lower", "upper"] {
            assert!(table.contains(part), "{table}");
        }
    }

    #[test]
    fn a_search_without_a_bracket_is_drawn_on_a_logarithmic_axis() {
        let point =
            |eta: f64| serde_json::json!({"learning_rate": eta, "rise": -eta, "error": null});
        let run = run(serde_json::json!({
            "version": 1, "step": 10, "outcome": "no_increase", "lower": 1e6,
            "line": [point(0.1), point(10.0), point(1e6)],
        }));
        let line = Line::of(&run, "train", 10).unwrap();
        let chart = line.chart();
        assert_eq!(chart.series.len(), 1);
        assert!(chart.svg().is_ok());
        let table = line.table();
        assert!(table.contains("no increase of the loss"), "{table}");
    }

    #[test]
    fn a_step_without_a_line_says_why() {
        let run = bracketed();
        let error = |task, step| Line::of(&run, task, step).unwrap_err().to_string();
        assert!(error("train", 15).ends_with("the steps next to it are 10 and 20"));
        assert!(error("train", 40).ends_with("the last one is 30"));
        assert!(error("code", 10).ends_with("no step of it was"));
        assert!(error("train", 20).contains("with_lines(true)"));
        assert!(error("train", 30).ends_with(": x"));
    }
}
