//! Writes one self-contained HTML file: curves to zoom and hover, outcomes, cost, configuration.

use crate::charts::{Chart, charts};
use crate::curve::{Place, places};
use crate::{Run, TRAIN_TASK, table};
use serde::Serialize;
use sharpness_record::Quantity;
use std::collections::BTreeMap;

const PAGE: &str = include_str!("../assets/report.html");
const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");
/// uPlot 1.6.32, MIT: see `assets/uPlot.LICENSE`.
const PLOT_SCRIPT: &str = include_str!("../assets/uPlot.iife.min.js");
const PLOT_STYLE: &str = include_str!("../assets/uPlot.min.css");

#[derive(Serialize)]
struct Data<'a> {
    charts: &'a [Chart],
    runs: &'a [Columns<'a>],
}

#[derive(Serialize)]
struct Columns<'a> {
    name: &'a str,
    config: Option<&'a str>,
    notes: &'a [String],
    no_number: Option<String>,
    tasks: Vec<Task<'a>>,
    evaluations: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    step: Vec<u64>,
    columns: BTreeMap<&'static str, Vec<Option<Short>>>,
    /// The steps of quantities with steps of their own.
    steps: BTreeMap<&'static str, Vec<u64>>,
    /// With its place in the columns.
    outcomes: Vec<(usize, &'a str, Option<&'a str>)>,
}

/// A number with six digits, to keep the file small.
struct Short(f64);

impl Serialize for Short {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scale = 10f64.powf(5.0 - self.0.abs().log10().floor());
        let rounded = (self.0 * scale).round() / scale;
        serializer.serialize_f64(match rounded.is_finite() {
            true => rounded,
            false if self.0 == 0.0 => 0.0,
            false => self.0,
        })
    }
}

fn steps(places: &[Place<'_>]) -> Vec<u64> {
    places.iter().map(|(step, _)| *step).collect()
}

impl<'a> Task<'a> {
    fn new(run: &'a Run, name: &'a str, charts: &[Chart]) -> Self {
        let own = places(run.of_task(name));
        let outcomes = own.iter().enumerate().filter_map(|(index, (_, m))| {
            let m = m.filter(|m| m.critical_sharpness.is_none())?;
            Some((index, m.outcome.name(), m.reason.as_deref()))
        });
        let mut task = Self {
            name,
            outcomes: outcomes.collect(),
            step: steps(&own),
            columns: BTreeMap::new(),
            steps: BTreeMap::new(),
        };
        for chart in charts {
            let thresholds = chart.threshold.iter().filter(|_| name == TRAIN_TASK);
            for quantity in chart.curves.iter().chain(thresholds) {
                task.add(*quantity, run, &own);
            }
        }
        task
    }

    fn add(&mut self, quantity: Quantity, run: &'a Run, own: &[Place<'a>]) {
        let of_its_own = quantity
            .is_curvature()
            .then(|| places(run.of_task(self.name).filter(|m| quantity.is_due(m))));
        let places = of_its_own.as_deref().unwrap_or(own);
        let values = places
            .iter()
            .map(|(_, measurement)| quantity.of((*measurement)?));
        let column: Vec<Option<Short>> = values.map(|value| value.map(Short)).collect();
        if column.iter().any(Option::is_some) {
            let field = quantity.about().field;
            self.columns.insert(field, column);
            if let Some(places) = of_its_own {
                self.steps.insert(field, steps(&places));
            }
        }
    }
}

/// Writes the report of runs, laid over each other.
pub fn html(runs: &[Run]) -> String {
    let charts = charts();
    let columns: Vec<Columns<'_>> = runs
        .iter()
        .map(|run| Columns {
            name: &run.name,
            config: run.config.as_deref(),
            notes: &run.notes,
            no_number: run.no_number(),
            tasks: std::iter::once(TRAIN_TASK)
                .chain(run.tasks())
                .map(|task| Task::new(run, task, &charts))
                .collect(),
            evaluations: run.evaluations(),
            seconds: run.seconds(),
        })
        .collect();
    // Numbers and strings always serialize.
    let data = Data {
        charts: &charts,
        runs: &columns,
    };
    let data = serde_json::to_string(&data).unwrap_or_default();
    // A `</script>` in a name or a configuration must not end the script.
    let data = data.replace('<', "\\u003c");
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let title = escape(&names.join(", "));
    // The data last, so that nothing in it looks like a place to fill.
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
