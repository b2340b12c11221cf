//! One HTML file with everything: curves to zoom and hover, outcomes, cost, configuration. It needs
//! no network and no other file.

use crate::curve::{Place, places};
use crate::{Measurement, Run, TRAIN_TASK, table};
use serde::Serialize;

const PAGE: &str = include_str!("../assets/report.html");
const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");
/// uPlot 1.6.32, MIT: see `assets/uPlot.LICENSE`.
const PLOT_SCRIPT: &str = include_str!("../assets/uPlot.iife.min.js");
const PLOT_STYLE: &str = include_str!("../assets/uPlot.min.css");

/// A run as the page's script reads it: a column a quantity, `null` where it was not measured.
#[derive(Serialize)]
struct Columns<'a> {
    name: &'a str,
    config: Option<&'a str>,
    notes: &'a [String],
    /// That it gives no number any more, and since when.
    no_number: Option<String>,
    tasks: Vec<Task<'a>>,
    evaluations: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    step: Vec<u64>,
    sharpness: Vec<Option<Short>>,
    threshold: Vec<Option<Short>>,
    ratio: Vec<Option<Short>>,
    loss: Vec<Option<Short>>,
    rate: Vec<Option<Short>>,
    critical_rate: Vec<Option<Short>>,
    /// The steps of the curvatures, which are measured at some of the steps only.
    curvature_step: Vec<u64>,
    directional: Vec<Option<Short>>,
    hessian: Vec<Option<Short>>,
    preconditioned: Vec<Option<Short>>,
    /// The outcome of each measurement that is not a number, with its place in the columns.
    outcomes: Vec<(usize, &'a str, Option<&'a str>)>,
}

/// A number with six digits: enough for a screen, and a fraction of the size.
struct Short(f64);

impl Serialize for Short {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = if self.0 == 0.0 {
            0.0
        } else {
            let scale = 10f64.powf(5.0 - self.0.abs().log10().floor());
            let rounded = (self.0 * scale).round() / scale;
            if rounded.is_finite() { rounded } else { self.0 }
        };
        serializer.serialize_f64(digits)
    }
}

/// A quantity at each place; `null` is a gap.
fn column<'a>(
    places: &[Place<'a>],
    of: impl Fn(&'a Measurement) -> Option<f64>,
) -> Vec<Option<Short>> {
    let values = places.iter().map(|(_, measurement)| of((*measurement)?));
    let column: Vec<Option<Short>> = values
        .map(|value| value.filter(|value| value.is_finite()).map(Short))
        .collect();
    // An empty column costs nothing.
    if column.iter().all(Option::is_none) {
        Vec::new()
    } else {
        column
    }
}

impl<'a> Task<'a> {
    fn new(run: &'a Run, name: &'a str) -> Self {
        let own = places(run.of_task(name));
        let curved = places(run.of_task(name).filter(|m| m.curvature.is_some()));
        let steps = |places: &[Place<'_>]| places.iter().map(|(step, _)| *step).collect();
        let is_training = name == TRAIN_TASK;
        let of_training = |of: fn(&Measurement) -> Option<f64>| {
            if is_training {
                column(&own, of)
            } else {
                Vec::new()
            }
        };
        let outcomes = own.iter().enumerate().filter_map(|(index, (_, m))| {
            let m = m.filter(|m| m.critical_sharpness.is_none())?;
            Some((index, m.outcome.name(), m.reason.as_deref()))
        });
        Self {
            name,
            outcomes: outcomes.collect(),
            step: steps(&own),
            sharpness: column(&own, |m| m.critical_sharpness),
            threshold: of_training(Measurement::edge_threshold),
            ratio: column(&own, Measurement::edge_ratio),
            loss: column(&own, |m| m.base_loss),
            rate: of_training(|m| m.learning_rate),
            critical_rate: column(&own, |m| m.critical_lr),
            curvature_step: steps(&curved),
            directional: column(&curved, |m| {
                m.curvature.as_ref()?.directional_sharpness.value
            }),
            hessian: column(&curved, |m| m.curvature.as_ref()?.hessian_sharpness.value),
            preconditioned: column(&curved, |m| {
                let curvature = m.curvature.as_ref()?;
                curvature.preconditioned_sharpness.as_ref()?.value
            }),
        }
    }
}

/// The report of runs, laid over each other.
pub fn html(runs: &[Run]) -> String {
    let columns: Vec<Columns<'_>> = runs
        .iter()
        .map(|run| Columns {
            name: &run.name,
            config: run.config.as_deref(),
            notes: &run.notes,
            no_number: run.no_number(),
            tasks: std::iter::once(TRAIN_TASK)
                .chain(run.tasks())
                .map(|task| Task::new(run, task))
                .collect(),
            evaluations: run.evaluations(),
            seconds: run.seconds(),
        })
        .collect();
    // These columns are numbers and strings, which always serialize.
    let data = serde_json::to_string(&columns).unwrap_or_else(|_| "[]".to_string());
    // A `</script>` in a name or a configuration must not end the script.
    let data = data.replace('<', "\\u003c");
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let title = escape(&names.join(", "));
    // The data last, so that nothing in it is taken for a place to fill.
    PAGE.replace("{{title}}", &title)
        .replace("{{table}}", &escape(&table::summary(runs)))
        .replace("{{style}}", &format!("{PLOT_STYLE}\n{STYLE}"))
        .replace("{{plot}}", PLOT_SCRIPT)
        .replace("{{script}}", SCRIPT)
        .replacen("{{data}}", &data, 1)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('{', "&#123;")
}
