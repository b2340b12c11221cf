//! Checks that lines of version 1 are read and written again without a change.
//!
//! `fixtures/version-1.jsonl` has two lines of `gpt-pretrain --layers 1 --width 32 --heads 2 --context 32 --batch 4
//! --vocab 512 --every 5 --steps 40`, one each with `--lr 100` and `--lr 1e20` (loss NaN), and one of
//! `edge-of-stability --steps 3 --examples 50`. The lines of `fixtures/version-1-earlier.jsonl` lack newer fields.

use serde_json::Value;
use sharpness_record::{Measurement, MeasurementOutcome, parse};
use std::path::Path;

const WRITTEN: &str = include_str!("fixtures/version-1.jsonl");
const EARLIER: &str = include_str!("fixtures/version-1-earlier.jsonl");

fn measurements(text: &str) -> Vec<Measurement> {
    let reading = parse(Path::new("fixture"), text.as_bytes()).unwrap();
    assert!(reading.notes.is_empty(), "{:?}", reading.notes);
    assert_eq!(reading.measurements.len(), text.lines().count());
    reading.measurements
}

/// Asserts equality to the bit, except for new fields, which must be null in `again`.
fn assert_same(line: &Value, again: &Value) {
    match (line, again) {
        (Value::Object(line), Value::Object(again)) => {
            for (name, value) in line {
                assert_same(value, &again[name]);
            }
            let added = again.iter().filter(|(name, _)| !line.contains_key(*name));
            added.for_each(|(name, value)| assert!(value.is_null(), "{name}: {value}"));
        }
        (Value::Number(line), Value::Number(again)) => {
            let bits = |number: &serde_json::Number| number.as_f64().map(f64::to_bits);
            assert_eq!(bits(line), bits(again), "{line} became {again}");
        }
        _ => assert_eq!(line, again),
    }
}

#[test]
fn lines_of_todays_programs_are_written_again_byte_for_byte() {
    for (line, measurement) in WRITTEN.lines().zip(measurements(WRITTEN)) {
        assert_eq!(serde_json::to_string(&measurement).unwrap(), line);
    }
}

#[test]
fn lines_of_earlier_programs_keep_all_values() {
    for (line, measurement) in EARLIER.lines().zip(measurements(EARLIER)) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_same(&line, &serde_json::to_value(&measurement).unwrap());
    }
}

#[test]
fn the_numbers_are_those_of_the_text() {
    let all = measurements(WRITTEN);
    for (line, measurement) in WRITTEN.lines().zip(&all) {
        let says = |name: &str, value: Option<f64>| {
            let value = value.map_or("null".to_string(), |value| format!("{value:?}"));
            // Rust and JSON differ in how they write large exponents only.
            let field = format!("\"{name}\":{}", value.replace("e20", "e+20"));
            assert!(line.contains(&field), "{field} is not in {line}");
        };
        says("learning_rate", measurement.learning_rate);
        says("critical_sharpness", measurement.critical_sharpness);
        says("slope", measurement.slope);
    }
    let diverged = &all[3];
    assert_eq!(diverged.outcome, MeasurementOutcome::NonFiniteBaseLoss);
    assert_eq!((diverged.base_loss, diverged.critical_lr), (None, None));
    let curvature = all[4].curvature.as_ref().unwrap();
    assert_eq!(curvature.hessian_sharpness.value, Some(2.5950539112091064));
    assert_eq!(curvature.preconditioned_sharpness, None);
}
