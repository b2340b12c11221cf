//! Draws λ_c and 2/η of runs as one chart.

use crate::plot::{Axis, Chart, Series, Style};
use crate::{Run, TRAIN_TASK};
use sharpness_record::Quantity::{CriticalSharpness, EdgeThreshold};

/// Draws λ_c of the training and of each task, and 2/η, over the steps of these runs.
///
/// Missing measurements leave a gap, and a mark shows since when a run gives no number.
pub fn chart(runs: &[Run]) -> Chart {
    let title = match runs {
        [run] => format!("Critical sharpness: {}", run.name),
        _ => format!("Critical sharpness of {} runs", runs.len()),
    };
    let (sharpness, edge) = (CriticalSharpness.about(), EdgeThreshold.about());
    let label = format!("{} {}", sharpness.name.to_lowercase(), sharpness.symbol);
    let mut chart = Chart::new(&title, Axis::linear("step"), Axis::log(&label));
    let thresholds = runs.iter().map(|run| run.curve(TRAIN_TASK, EdgeThreshold));
    let thresholds: Vec<Vec<(f64, f64)>> = thresholds.collect();
    let mut pairs = thresholds.windows(2);
    let is_common = pairs.all(|pair| is_same(&pair[0], &pair[1]));
    let mut curves = 0;
    for (index, (run, threshold)) in runs.iter().zip(thresholds).enumerate() {
        if index == 0 || !is_common {
            let name = match (index, is_common) {
                (0, true) => edge.symbol.to_string(),
                (0, false) => format!("{}, dashed in the colour of its run", edge.symbol),
                _ => String::new(),
            };
            let mut series = Series::new(name, threshold).with_style(Style::Threshold);
            series.belongs_to = (!is_common).then_some(curves);
            chart = chart.with_series(series);
        }
        for task in std::iter::once(TRAIN_TASK).chain(run.tasks()) {
            let name = match (runs, task) {
                ([_], TRAIN_TASK) => sharpness.symbol.to_string(),
                ([_], task) => format!("{} of {task}", sharpness.symbol),
                (_, TRAIN_TASK) => run.name.clone(),
                (_, task) => format!("{}: {task}", run.name),
            };
            chart = chart.with_series(Series::new(name, run.curve(task, CriticalSharpness)));
            curves += 1;
        }
        if let Some((step, _)) = run.summary().no_number_since {
            let text = run.no_number().unwrap_or_default();
            let text = match runs {
                [_] => text,
                _ => format!("{}: {text}", run.name),
            };
            chart = chart.with_mark(step as f64, &text);
        }
    }
    chart
}

fn is_same(a: &[(f64, f64)], b: &[(f64, f64)]) -> bool {
    let bits = |(x, y): &(f64, f64)| (x.to_bits(), y.to_bits());
    a.iter().map(bits).eq(b.iter().map(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharpness_record::{Measurement, MeasurementOutcome};

    fn run(name: &str, rate: f64, last: MeasurementOutcome) -> Run {
        let mut run = Run::of_file(name.as_ref());
        for step in [0, 10, 20, 30] {
            let outcome = match step {
                30 => last.clone(),
                _ => MeasurementOutcome::Bracketed,
            };
            let mut measurement = Measurement::new(step, None, TRAIN_TASK, outcome);
            measurement.learning_rate = Some(rate);
            if measurement.outcome == MeasurementOutcome::Bracketed {
                measurement.critical_sharpness = Some(7.0);
                measurement.critical_lr = Some(2.0 / 7.0);
            }
            run.extend([measurement]);
        }
        run
    }

    #[test]
    fn a_threshold_that_runs_share_is_drawn_once() {
        let known = MeasurementOutcome::Bracketed;
        let same = chart(&[run("a", 0.1, known.clone()), run("b", 0.1, known.clone())]);
        let names: Vec<&str> = same.series.iter().map(|series| &*series.name).collect();
        assert_eq!(names, ["2/η", "a", "b"]);
        let other = chart(&[run("a", 0.1, known.clone()), run("b", 0.2, known)]);
        assert_eq!(other.series.len(), 4);
        assert_eq!(other.series[2].belongs_to, Some(1));
    }

    #[test]
    fn the_end_of_numbers_is_marked() {
        let chart = chart(&[run("a", 0.1, MeasurementOutcome::NonFiniteBaseLoss)]);
        assert_eq!(chart.marks[0].x, 30.0);
        let text = "no number since step 30: the loss is not finite";
        assert_eq!(chart.marks[0].label, text);
        let (step, value) = chart.series[1].points[3];
        assert!(step == 30.0 && value.is_nan());
    }
}
