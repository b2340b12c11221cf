//! Exports all measurements as CSV and as JSON.

use crate::{Measurement, Run};
use serde::Serialize;
use sharpness_record::{CurvatureValue, Quantity};
use std::io::{self, Write};

struct Column {
    name: String,
    of: Box<dyn Fn(&Measurement) -> String>,
}

fn column(name: impl Into<String>, of: impl Fn(&Measurement) -> String + 'static) -> Column {
    let (name, of) = (name.into(), Box::new(of));
    Column { name, of }
}

/// Formats a number so that a reader gets the same number back.
fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value != 0.0 && !(1e-5..1e16).contains(&value.abs()) => format!("{value:e}"),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

fn said<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn name_of(value: Option<impl Serialize>) -> String {
    let name = value.and_then(|value| serde_json::to_value(value).ok());
    said(name.as_ref().and_then(|name| name.as_str()))
}

fn beside(quantity: Quantity) -> Vec<Column> {
    if quantity.is_curvature() {
        let part = |field: &str, of: fn(&CurvatureValue) -> String| {
            let name = format!("{}_{field}", quantity.about().field);
            column(name, move |m| {
                quantity.curvature(m).map(of).unwrap_or_default()
            })
        };
        return vec![
            part("outcome", |value| name_of(Some(&value.outcome))),
            part("relative_error", |value| number(value.relative_error)),
            part("standard_error", |value| number(value.standard_error)),
            part("residual", |value| number(value.residual)),
            part("reason", |value| said(value.reason.as_ref())),
            part("gradients", |value| value.gradients.to_string()),
            part("evaluations", |value| value.evaluations.to_string()),
            part("seconds", |value| number(Some(value.seconds))),
        ];
    }
    match quantity {
        Quantity::BaseLoss => vec![column("base_loss_source", |m| name_of(m.base_loss_source))],
        Quantity::Slope => vec![column("slope_source", |m| name_of(m.slope_source))],
        Quantity::EdgeRatio => vec![column("first_crossing_verified", |m| {
            said(m.first_crossing_verified)
        })],
        Quantity::VerifiedFrom => vec![
            column("loss_explodes", |m| said(m.loss_explodes)),
            column("batch_statistics", |m| said(m.batch_statistics)),
            column("limiting_task", |m| said(m.limiting_task.as_ref())),
        ],
        _ => Vec::new(),
    }
}

fn columns() -> Vec<Column> {
    let mut columns = vec![
        column("step", |m| m.step.to_string()),
        column("epoch", |m| said(m.epoch)),
        column("task", |m| m.task.clone()),
        column("outcome", |m| m.outcome.name().to_string()),
        column("reason", |m| said(m.reason.as_ref())),
    ];
    for quantity in Quantity::TABLE {
        let field = quantity.about().field;
        columns.push(column(field, |m| number(quantity.of(m))));
        columns.extend(beside(*quantity));
    }
    columns.push(column("version", |m| m.version.to_string()));
    columns
}

/// Writes measurements as CSV, with all fields of the record except `line`. A cell is empty if not measured.
///
/// pandas takes names such as `NA` for missing values, unless called with `keep_default_na=False, na_values=[""]`.
///
/// # Errors
///
/// Fails if the output cannot be written.
pub fn csv(runs: &[Run], output: impl Write) -> io::Result<()> {
    let columns = columns();
    let mut csv = csv::Writer::from_writer(output);
    let names = columns.iter().map(|column| column.name.as_str());
    csv.write_record(std::iter::once("run").chain(names))?;
    for run in runs {
        for measurement in &run.measurements {
            let cells = columns.iter().map(|column| (column.of)(measurement));
            csv.write_record(std::iter::once(run.name.clone()).chain(cells))?;
        }
    }
    csv.flush()
}

#[derive(Serialize)]
struct Exported<'a> {
    run: &'a str,
    #[serde(flatten)]
    measurement: &'a Measurement,
    edge_threshold: Option<f64>,
    edge_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relative_update: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise_scale: Option<f64>,
}

/// Writes measurements as a JSON array, an object a line: the fields of the record, `run`, `edge_threshold`,
/// `edge_ratio`, and `relative_update` and `noise_scale` if known; `null` if not measured.
///
/// # Errors
///
/// Fails if the output cannot be written.
pub fn json(runs: &[Run], mut output: impl Write) -> io::Result<()> {
    let all = runs
        .iter()
        .flat_map(|run| run.measurements.iter().map(move |m| (run, m)));
    let mut before = "[\n";
    for (run, measurement) in all {
        output.write_all(before.as_bytes())?;
        before = ",\n";
        let exported = Exported {
            run: &run.name,
            measurement,
            edge_threshold: measurement.edge_threshold(),
            edge_ratio: measurement.edge_ratio(),
            relative_update: measurement.relative_update(),
            noise_scale: measurement.noise_scale(),
        };
        serde_json::to_writer(&mut output, &exported)?;
    }
    let end: &[u8] = if before == "[\n" { b"[]\n" } else { b"\n]\n" };
    output.write_all(end)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn full() -> Measurement {
        let curvature = |first: u64| {
            let value = first as f64;
            json!({
                "outcome": "measured", "value": value + 0.1, "relative_error": value + 0.2,
                "standard_error": value + 0.25, "residual": value + 0.3, "reason": format!("because {first}"),
                "gradients": first, "evaluations": first + 1, "seconds": value + 0.4,
            })
        };
        let line = json!({
            "version": 1, "step": 2, "epoch": 3, "task": "NA", "limiting_task": "a \"b\", c",
            "learning_rate": 1e-20, "base_loss": 4.5, "base_loss_source": "training",
            "batch_fraction": 0.5, "workers": {"measured": 41, "of": 42}, "slope": 5.5, "slope_source": "known", "update_norm": 6.5,
            "gradient_norm": 6.6, "weight_norm": 6.7, "gradient_cosine": 0.68, "agreement": 0.69,
            "agreement_error": 0.071,
            "gradient_variance": 0.072, "gradient_signal": 0.073, "large_batch_threshold": 72.5, "small_batch_threshold": 73.5,
            "adam_threshold": 74.5,
            "outcome": "bracketed", "reason": "two\nlines", "lower": 0.125, "upper": 0.25,
            "critical_lr": 0.1875, "critical_lr_error": 0.0625, "critical_sharpness": 1e20,
            "critical_lr_interval": [0.11, 0.22], "critical_lr_spread": 0.33,
            "first_crossing_verified": true, "verified_from": 0.0078125, "loss_explodes": true,
            "batch_statistics": true, "evaluations": 7, "seconds": 8.5,
            "curvature": {
                "directional_sharpness": curvature(1100), "hessian_sharpness": curvature(1200),
                "preconditioned_sharpness": curvature(1300),
            },
            "batch_sharpness": curvature(1400), "interaction_aware_sharpness": curvature(1500),
        });
        serde_json::from_value(line).unwrap()
    }

    fn runs() -> [Run; 1] {
        let mut run = Run::of_file("null".as_ref());
        run.extend([full()]);
        [run]
    }

    fn leaves(value: &Value, all: &mut Vec<Value>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| leaves(value, all)),
            Value::Object(fields) => fields.values().for_each(|value| leaves(value, all)),
            leaf => all.push(leaf.clone()),
        }
    }

    #[test]
    fn csv_has_every_field_of_the_record() {
        let mut output = Vec::new();
        csv(&runs(), &mut output).unwrap();
        let mut reader = csv::Reader::from_reader(output.as_slice());
        let row = reader.records().next().unwrap().unwrap();
        let mut expected = Vec::new();
        leaves(&serde_json::to_value(full()).unwrap(), &mut expected);
        assert!(expected.len() > 55 && !expected.contains(&Value::Null));
        for leaf in expected {
            let is_there = |cell: &str| match &leaf {
                Value::String(text) => cell == text,
                Value::Bool(value) => cell == value.to_string(),
                leaf => cell.parse().ok() == leaf.as_f64(),
            };
            assert!(row.iter().any(is_there), "{leaf} is not in {row:?}");
        }
        assert_eq!(row.len(), reader.headers().unwrap().len());
    }

    #[test]
    fn json_is_the_record_with_the_run() {
        let mut output = Vec::new();
        json(&runs(), &mut output).unwrap();
        let read: Vec<Value> = serde_json::from_slice(&output).unwrap();
        assert_eq!(read[0]["run"], "null");
        assert_eq!(read[0]["task"], "NA");
        let measurement: Measurement = serde_json::from_value(read[0].clone()).unwrap();
        assert_eq!(measurement, full());
        output.clear();
        json(&[], &mut output).unwrap();
        assert_eq!(output, b"[]\n");
    }
}
